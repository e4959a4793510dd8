"""Fine-tuning behind a frozen trunk without torch: ONNX Runtime runs the trunk, numpy trains what stands behind it.

A plan that caches runs the trunk once an image, in the first epoch; the others run it in every step. Start, order and
arithmetic are torch's.
"""

from typing import Any, Dict, List, Optional

from tunebench.workloads import seeds
from tunebench.workloads.engines import check_plan, check_training
from tunebench.workloads.engines.head import head_of
from tunebench.workloads.engines.onnxruntime_head import NAME
from tunebench.workloads.engines.session import Evaluation, Mark, no_mark
from tunebench.workloads.engines.session import Session as BaseSession
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods.plan import counts
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.task import Task
from tunebench.workloads.tasks.training import learning_rates

try:
    import numpy
    import onnxruntime

    from tunebench.workloads.engines.onnxruntime_head.layers import Layers, cross_entropy
    from tunebench.workloads.engines.onnxruntime_head.memory import predict
    from tunebench.workloads.engines.onnxruntime_head.optimizers import Optimizer
    from tunebench.workloads.engines.onnxruntime_head.trunk import PARENT, Trunk
except ImportError as missing:
    raise WorkloadError(
        "engine %r needs onnxruntime and numpy (%s); `tunebench setup BOARD --runtime onnxruntime` brings them"
        % (NAME, missing)
    ) from None

#: test images that are run together: bounds the memory of an evaluation
_EVALUATED = 64


def version() -> str:
    """Return the engine's version, e.g. ``onnxruntime 1.32.0, numpy 2.4.6``."""
    return "onnxruntime %s, numpy %s" % (onnxruntime.__version__, numpy.__version__)


class Session(BaseSession):
    """A fine-tuning of what stands behind a network's frozen trunk.

    Args:
        task: what to train; its weights are a trunk.
        cache: None follows the plan; False recomputes what the plan would cache (the correctness check).

    Attributes:
        step_losses: losses of the last epoch's steps.

    Raises:
        SpecError: the task asks for what this engine does not have.
        ArtefactError: the weights are no trunk for this method.
    """

    def __init__(self, task: Task, cache: Optional[bool] = None) -> None:
        spec = task.spec
        check_training(NAME, spec.training, spec.model)
        check_plan(NAME, str(spec.method), task.plan)
        if spec.device != "cpu":
            raise SpecError("workload.engine %r runs on the CPU, not on %r" % (NAME, spec.device))
        self.task, self.plan, self.changes = task, task.plan, task.plan.trains
        self._head = head_of(task.plan, NAME)
        self.trunk = Trunk(task.weights, self._head, spec.threads)
        self.layers = Layers(self._head, task.weights, spec.rank, spec.scale, spec.seed)
        mappers = [self.layers.mapper] * bool(self._head.adapters)
        self.optimizer = Optimizer(spec.training, self.layers.trained, mappers)
        self._images = {part: _array(task, part + "_x", numpy.uint8) for part in ("finetune", "test")}
        self._labels = {part: _array(task, part + "_y", "<i4") for part in ("finetune", "test")}
        self._batches = [
            [numpy.array(rows) for rows in seeds.batches(task.n_train, spec.batch, spec.seed, epoch)]
            for epoch in range(spec.epochs)
        ]
        self._rates = learning_rates(spec.training, spec.lr, spec.epochs * task.steps_per_epoch)
        self.cache: Any = None
        if task.plan.caches and cache is not False:
            self.cache = numpy.full((task.n_train, self._head.floats), numpy.nan, numpy.float32)
        self._filled = False
        self._start: List[Any] = []
        self.step_losses: List[float] = []
        self.steps = self._lookups = self._hits = 0

    # training ----------------------------------------------------------------------------------------------

    def steps_per_epoch(self) -> int:
        return self.task.steps_per_epoch

    def warm_up(self, steps: int) -> None:
        """Run steps on this session itself and take them back afterwards: a copy would have a runtime of its own."""
        self.hold_start()
        with numpy.errstate(all="ignore"):
            for _ in range(1 if self.cache is None else 2):  # a cached plan has two kinds of step
                for rows in self._batches[0][:steps] if self.plan.trains else ():
                    self._step(rows, no_mark)
                self._filled = True
        self.restart()
        self._start = []

    def hold_start(self) -> None:
        self._start = [item.copy() for item in self.layers.trained]

    def restart(self) -> None:
        for item, first in zip(self.layers.trained, self._start):  # noqa: B905  Python 3.10
            item[...] = first
        self.optimizer.reset()
        self._filled = False  # the cache is computed anew and overwritten row by row
        self.steps = self._lookups = self._hits = 0

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        batches = self._batches[epoch]
        with numpy.errstate(all="ignore"):  # a loss that is not finite is told as such
            self.step_losses = [self._step(rows, mark) for rows in batches]
        self._filled = True
        pairs = zip(self.step_losses, batches)  # noqa: B905  Python 3.10
        return sum(loss * len(rows) for loss, rows in pairs) / self.task.n_train

    def _step(self, rows: Any, mark: Mark) -> float:
        """Do one update on the samples ``rows``; return the loss before it."""
        mark("gather")
        values = self._values(rows, mark)
        scores, low = self.layers.scores(values)
        loss, slope = cross_entropy(scores, self._labels["finetune"][rows])
        mark("backward")
        gradients = self.layers.gradients(values, low, slope)
        mark("update")
        # Whoever goes on behind the schedule's end (a warm-up of few epochs) stays at its last rate.
        self.optimizer.step(gradients, self._rates[min(self.steps, len(self._rates) - 1)])
        self.steps += 1
        return loss

    def _values(self, rows: Any, mark: Mark) -> Any:
        """Return what the trunk gives of a batch; a cache is filled in the first epoch, then read."""
        if self.cache is None:
            mark("forward")
            return self.trunk.values(self._images["finetune"][rows])
        self._lookups += len(rows)
        if self._filled:
            self._hits += len(rows)
            values = self.cache[rows]
        else:
            mark("cache_fill")
            values = self.cache[rows] = self.trunk.values(self._images["finetune"][rows])
        mark("forward")
        return values

    # results -----------------------------------------------------------------------------------------------

    def evaluate(self) -> Evaluation:
        predicted = self._classes(self.trunk)
        labels = self._labels["test"].tolist()
        right = sum(label == guess for label, guess in zip(labels, predicted))  # noqa: B905  Python 3.10
        return Evaluation(right / len(labels), len(labels), labels, predicted)

    def _classes(self, trunk: Trunk) -> List[int]:
        """Return the class of each test image."""
        images = self._images["test"]
        predicted: List[int] = []
        for at in range(0, len(images), _EVALUATED):
            scores, _ = self.layers.scores(trunk.values(images[at : at + _EVALUATED]))
            predicted += scores.argmax(1).tolist()
        return predicted

    def cache_error(self) -> Optional[float]:
        """Return the largest |cached - recomputed| over the fine-tuning set; None if nothing is cached."""
        if self.cache is None:
            return None
        worst = 0.0
        for rows in self._batches[0]:
            difference = float(
                abs(self.cache[rows] - self.trunk.values(self._images["finetune"][rows])).max()
            )
            if numpy.isnan(difference):  # a row that was never filled
                return float("inf")
            worst = max(worst, difference)
        return worst

    def agreement(self) -> Dict[str, float]:
        """Compare with the float32 trunk on the test set, here: int8 differs between processors.

        Returns:
            ``trunk_agreement``, the share of images of which both tell the same class by what is trained now, and
            ``trunk_max_difference`` of a value; empty of a trunk in float32.
        """
        if PARENT not in self.task.weights.tensors:
            return {}
        parent = Trunk(self.task.weights, self._head, self.task.spec.threads, PARENT)
        pairs = zip(self._classes(self.trunk), self._classes(parent))  # noqa: B905  Python 3.10
        same = [ours == theirs for ours, theirs in pairs]
        few = self._images["test"][:_EVALUATED]
        largest = float(abs(self.trunk.values(few) - parent.values(few)).max())
        return {"trunk_agreement": sum(same) / len(same), "trunk_max_difference": largest}

    def facts(self) -> Dict[str, Any]:
        amount, spec = counts(self.plan), self.task.spec
        metrics = {"predicted_step_b": float(predict(self.plan, spec.batch).step_b)}
        if spec.mode == "instrumented":  # the float32 trunk is no part of a timed run's memory
            metrics.update(self.agreement())
        return {
            "steps": self.steps,
            "params_total": amount.total,
            "params_trainable": amount.trainable,
            "update_b": amount.update_b,
            "optimizer_state_b": self.optimizer.state_b,
            "cache_b": None if self.cache is None else self.cache.nbytes,
            "cache_hit_ratio": self._hits / self._lookups if self._lookups else None,
            "engine_version": version(),
            "metrics": metrics,
        }


def _array(task: Task, name: str, dtype: Any) -> Any:
    """Return a tensor of the data as an array, where it lies."""
    item = task.data.need(name)
    return numpy.frombuffer(item.data, dtype).reshape(item.shape)
