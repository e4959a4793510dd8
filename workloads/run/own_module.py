"""Bring your own method as a module: four functions, measured like a built-in method.

``my_ft.py``::

    def build(spec): ...            # -> state: model, data, whatever the others need
    def batches(spec): ...          # -> iterable of batches of one epoch; spec["epoch"] says which
    def step(state, batch): ...     # one update -> the batch's loss (a number)
    def evaluate(state): ...        # -> accuracy 0..1, or a dict, see OwnSession.evaluate

    def facts(state): ...           # optional -> {"params_trainable": .., "params_total": .., "cache_b": ..}

``spec`` is the workload as a dict (epochs, batch, lr, rank, seed, threads, device, params, ...) with
``spec["paths"]``: data, weights, src, out. It is the same dict in all calls, so ``build`` may add to it what
``batches`` needs.
"""

import importlib.util
import math
import os
import sys
from typing import Any, Dict, List, Optional

from tunebench.workloads.engines.session import Evaluation, Mark, Session
from tunebench.workloads.marks import engine_version
from tunebench.workloads.tasks.spec import Spec, SpecError

NEEDED = ("build", "batches", "step", "evaluate")
FACTS = ("params_total", "params_trainable", "update_b", "optimizer_state_b", "cache_b", "cache_hit_ratio")


def load_module(path: str) -> Any:
    """Import a user's module by its path; its folder goes on the import path, behind the standard library.

    So a ``random.py`` or ``json.py`` beside the module is not taken for Python's own by the libraries that need that.

    Raises:
        SpecError: no such file, or one of the four functions is missing.
    """
    if not os.path.isfile(path):
        raise SpecError("workload.module: no file %s; list it under 'files' so that it travels" % path)
    sys.path.insert(_behind_the_standard_library(), os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    loadable = importlib.util.spec_from_file_location(name, path)
    if loadable is None or loadable.loader is None:
        raise SpecError("workload.module: %s is not a Python file" % path)
    module = importlib.util.module_from_spec(loadable)
    sys.modules[name] = module
    loadable.loader.exec_module(module)
    missing = [function for function in NEEDED if not callable(getattr(module, function, None))]
    if missing:
        raise SpecError(
            "workload.module: %s lacks %s; it needs %s"
            % (path, ", ".join(name + "()" for name in missing), ", ".join(NEEDED))
        )
    return module


def _behind_the_standard_library() -> int:
    """Return where installed packages begin on the import path: a user's modules may stand in their place."""
    for index, entry in enumerate(sys.path):
        if os.path.basename(entry) in ("site-packages", "dist-packages"):
            return index
    return len(sys.path)


def as_dict(spec: Spec, paths: Dict[str, str]) -> Dict[str, Any]:
    """Return the spec as a user's module gets it."""
    given = dict(spec._asdict(), paths=dict(paths), epoch=0)
    # The first three are refused, see OwnSession; of the last, scale holds what it gives.
    del given["training"], given["skips"], given["checkpoint"], given["alpha"], given["seq_len"]
    del given["targets"], given["quantized_base"]
    return given


class OwnSession(Session):
    """A user's module behind the runner's interface.

    Raises:
        SpecError: no such module, or keys of training: only the module could honour them, and nobody would see whether it
            does.
    """

    first_phase = "batches"
    marks_per_step = 2

    def __init__(self, spec: Spec, paths: Dict[str, str]) -> None:
        asked = spec.training.changed + spec.skips.changed + (("checkpoint",) if spec.checkpoint else ())
        asked += tuple(key for key in ("targets", "quantized_base") if getattr(spec, key) is not None)
        if asked:
            raise SpecError(
                "workload.%s goes with built-in methods; hand a module of your own what it needs by 'params'"
                % asked[0]
            )
        path = os.path.join(paths.get("src", ""), spec.module or "")
        self.module = load_module(path)
        self.given, self.paths = spec, paths
        self.spec = as_dict(spec, paths)
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(spec.threads)
            if spec.device == "cuda":
                self.synchronise = torch.cuda.synchronize
        self.state = self.module.build(self.spec)
        self.steps = 0

    def steps_per_epoch(self) -> Optional[int]:
        return None

    def warm_up(self, steps: int) -> None:
        if steps < 1:
            return
        spec = dict(self.spec, epoch=0)
        copy = self.module.build(spec)
        for index, batch in enumerate(self.module.batches(spec)):
            if index == steps:
                break
            self.module.step(copy, batch)

    def restart(self) -> None:
        """Build anew: only the module knows what its state is. What ``build`` costs is part of the window."""
        self.spec = as_dict(self.given, self.paths)
        self.state = self.module.build(self.spec)
        self.steps = 0

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        losses: List[Any] = []
        mark("batches")
        self.spec["epoch"] = epoch
        for batch in self.module.batches(self.spec):
            mark("step")
            losses.append(self.module.step(self.state, batch))
            mark("batches")
        if not losses:
            raise SpecError("workload.module: batches(spec) gave no batch in epoch %d" % epoch)
        self.steps += len(losses)
        if any(loss is None for loss in losses):
            raise SpecError("workload.module: step(state, batch) must return the batch's loss, got None")
        return sum(float(loss) for loss in losses) / len(losses)

    def evaluate(self) -> Evaluation:
        """Evaluate by the user's module.

        It gives an accuracy, or a dict of ``accuracy`` and, if told, ``labels`` and ``predictions`` (lists of
        class numbers of equal length), ``n_items``, and further numbers of its own.
        """
        value = self.module.evaluate(self.state)
        quality = dict(value) if isinstance(value, dict) else {"accuracy": value}
        if "accuracy" not in quality:
            raise SpecError("workload.module: evaluate(state) must return an accuracy, or a dict with one")
        accuracy = float(quality.pop("accuracy"))
        if not (math.isfinite(accuracy) and 0.0 <= accuracy <= 1.0):
            raise SpecError("workload.module: evaluate(state) gave accuracy %r, expected 0..1" % accuracy)
        labels, guesses = quality.pop("labels", None), quality.pop("predictions", None)
        if (labels is None) != (guesses is None) or (labels is not None and len(labels) != len(guesses)):
            raise SpecError("workload.module: evaluate(state) gave unequal numbers of labels and predictions")
        if labels is not None:
            labels, guesses = [int(item) for item in labels], [int(item) for item in guesses]
        n_items = quality.pop("n_items", None if labels is None else len(labels))
        metrics = {key: float(item) for key, item in quality.items()}
        return Evaluation(accuracy, n_items, labels, guesses, metrics)

    def facts(self) -> Dict[str, Any]:
        facts = dict(self.module.facts(self.state)) if hasattr(self.module, "facts") else {}
        result = {key: facts.pop(key, None) for key in FACTS}
        if result["update_b"] is None and result["params_trainable"] is not None:
            result["update_b"] = 4 * result["params_trainable"]
        torch = sys.modules.get("torch")
        if torch is not None and self.given.device == "cuda":
            facts.setdefault("cuda_max_allocated_b", torch.cuda.max_memory_allocated())
            facts.setdefault("cuda_max_reserved_b", torch.cuda.max_memory_reserved())
        return dict(result, steps=self.steps, engine_version=engine_version(), metrics=facts)
