# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""What the sessions on torch share: order of the data, start and restart, an epoch, the update, the facts.

Nothing here knows what the model is. Re-estimating BatchNorm's statistics, where the plan says so, comes before the first
step and the filling of a cache.
"""

from typing import Any, Callable, Dict, List, Optional, Sequence

import torch

from tunebench.workloads import seeds
from tunebench.workloads.artefact import Tensor
from tunebench.workloads.engines.pytorch import forward_only
from tunebench.workloads.engines.pytorch.optimizers import Optimizer, make_optimizer
from tunebench.workloads.engines.session import Mark
from tunebench.workloads.engines.session import Session as BaseSession
from tunebench.workloads.methods.plan import Plan, counts
from tunebench.workloads.methods.table import FORWARD_ONLY
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.task import Task
from tunebench.workloads.tasks.training import learning_rates


def version() -> str:
    """Return the engine's version, e.g. ``torch 2.13.0+cpu``."""
    return "torch %s" % torch.__version__


def to_torch(item: Tensor) -> Any:
    """Copy an artefact's tensor into a torch tensor of its own memory."""
    dtype = {"float32": torch.float32, "int32": torch.int32, "uint8": torch.uint8}[item.dtype]
    if item.size == 0:
        return torch.empty(item.shape, dtype=dtype)
    return torch.frombuffer(item.array(), dtype=dtype).reshape(item.shape)


def exact_float32() -> None:
    """Let float32 mean float32: no TF32 on a GPU, and the same convolution algorithm every time."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


class TorchSession(BaseSession):
    """A fine-tuning on torch. Base class: says what each model's session must do.

    Args:
        task: what to train.

    Attributes:
        batches: rows of each epoch's updates, on the device.
        trained: the trained tensors; set by the model's session, see :meth:`will_train`.
        optimizer: what updates them, with its state; set likewise.
        rates: learning rate of each step of the fine-tuning.
        statistics: means and variances of BatchNorm that a fine-tuning changes; set by the model's session.
        cache: what a plan that caches keeps, None without; set by the model's session.
        filled_epoch: the epoch in which the cache was filled; None: not yet.
        step_losses: losses of the last epoch's steps, on the device.

    Raises:
        SpecError: no CUDA device where one is asked for.
    """

    task: Task
    plan: Plan
    trained: List[Any]
    optimizer: Optimizer
    statistics: List[Any]
    cache: Optional[Any]

    def __init__(self, task: Task) -> None:
        spec = task.spec
        if spec.device == "cuda" and not torch.cuda.is_available():
            raise SpecError("workload.device is 'cuda', but %s finds no CUDA device" % version())
        torch.set_num_threads(spec.threads)
        exact_float32()
        self.task, self.plan = task, task.plan
        self.device = torch.device(spec.device)
        self.synchronise = torch.cuda.synchronize if spec.device == "cuda" else None
        self.batches = [self._epoch_batches(epoch) for epoch in range(spec.epochs)]
        self.rates = learning_rates(spec.training, spec.lr, spec.epochs * task.steps_per_epoch)
        self.filled_epoch: Optional[int] = None
        self.step_losses: List[Any] = []
        self.steps = self.lookups = self.hits = 0
        self.start: List[Any] = []
        self.begun = False
        if self.plan.gradient == FORWARD_ONLY:
            self.marks_per_step = 6
        self.changes = self.plan.trains or bool(self.plan.statistics)

    def will_train(self, trained: Sequence[Any], mappers: Sequence[Any]) -> None:
        """Take the tensors that train, on their device.

        Args:
            trained: in the order of the updates.
            mappers: those of them that are an adapter's B.
        """
        self.trained = [item.requires_grad_(True) for item in trained]
        self.optimizer = make_optimizer(self.task.spec.training, self.trained, mappers)

    def step(self, rows: Any, mark: Mark) -> Any:
        """Do one update on the samples ``rows``; return the loss before it, detached, on the device."""
        raise NotImplementedError

    def _epoch_batches(self, epoch: int) -> List[Any]:
        spec = self.task.spec
        rows = seeds.batches(self.task.n_train, spec.update_batch, spec.seed, epoch)
        return [torch.tensor(row, dtype=torch.int64, device=self.device) for row in rows]

    def steps_per_epoch(self) -> Optional[int]:
        return self.task.steps_per_epoch

    def hold_start(self) -> None:
        self.start = [item.detach().clone() for item in self.trained + self.statistics]

    def restart(self) -> None:
        with torch.no_grad():
            for item, first in zip(self.trained + self.statistics, self.start):
                item.copy_(first)
            self.optimizer.reset()
        self.begun = False
        self.filled_epoch = None  # the cache is computed anew and overwritten row by row
        self.steps = self.lookups = self.hits = 0

    def begin(self, mark: Mark) -> None:
        if self.begun:
            return
        self.begun = True
        if self.plan.statistics:
            mark("reestimate")
            self.reestimate(self.batches[0])

    def reestimate(self, batches: List[Any]) -> None:
        """Set BatchNorm's statistics to those of the fine-tuning inputs; no labels, no gradients.

        One forward pass over the first epoch's batches, in which every BatchNorm normalises by the batch's own
        statistics, as in training. A layer's new mean is the mean of its batches' means, its new variance that of their
        (unbiased) variances, each batch weighed by its samples: torch's cumulative average (``momentum=None``), but for
        the last, shorter batch. A last batch of one sample has no variance and joins the one before it.
        """
        if len(batches) > 1 and len(batches[-1]) == 1:
            batches = batches[:-2] + [torch.cat(batches[-2:])]
        seen = 0
        with torch.no_grad():
            for rows in batches:
                seen += len(rows)
                self.observe(rows, len(rows) / seen)

    def observe(self, rows: Any, share: float) -> None:
        """Run the samples ``rows`` forward; each BatchNorm's statistics move by ``share`` towards the batch's own."""
        raise NotImplementedError

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        self.begin(mark)
        self.step_losses = [self.step(rows, mark) for rows in self.batches[epoch]]
        if self.cache is not None and self.filled_epoch is None:
            self.filled_epoch = epoch
        sizes = torch.tensor([float(len(rows)) for rows in self.batches[epoch]], device=self.device)
        mean: float = float(torch.dot(torch.stack(self.step_losses), sizes)) / self.task.n_train
        return mean

    def _descend(self, loss: Any, mark: Mark) -> Any:
        """Finish a step: compute the gradients and update the weights; return the loss, detached."""
        mark("backward")
        gradients = torch.autograd.grad(loss, self.trained)
        mark("update")
        # Whoever goes on behind the schedule's end (a warm-up of few epochs) stays at its last rate.
        self.optimizer.step(gradients, self.rates[min(self.steps, len(self.rates) - 1)])
        self.steps += 1
        return loss.detach()

    def _forward_only(self, loss_of: Callable[[], Any], mark: Mark) -> Any:
        """Do a whole step without a gradient; return its loss."""
        lr = self.rates[min(self.steps, len(self.rates) - 1)]
        seed = forward_only.seed_of(self.task.spec.seed, self.steps)
        self.steps += 1
        return forward_only.step(self.trained, loss_of, seed, lr, mark)

    def _metrics(self) -> Dict[str, float]:
        """Return further numbers of the result: on CUDA the allocator's peak memory, bytes."""
        if self.device.type != "cuda":
            return {}
        # Tensors, and what the caching allocator holds for them: on a Jetson neither is in VmHWM.
        return {
            "cuda_max_allocated_b": torch.cuda.max_memory_allocated(),
            "cuda_max_reserved_b": torch.cuda.max_memory_reserved(),
        }

    def facts(self) -> Dict[str, Any]:
        counted = counts(self.plan)
        return {
            "steps": self.steps,
            "params_total": counted.total,
            "params_trainable": counted.updated,
            "update_b": counted.update_b,
            "optimizer_state_b": self.optimizer.state_b,
            "cache_b": None if self.cache is None else 4 * counted.cache_floats * self.task.n_train,
            "cache_hit_ratio": self.hits / self.lookups if self.cache is not None and self.lookups else None,
            "engine_version": version(),
            "metrics": self._metrics(),
        }
