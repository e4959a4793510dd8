# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""The correctness gate: no speed is believed before it.

A method that caches is trained twice from the same start, with and without the cache; the losses of the first
100 steps must agree, and the cached activations must equal recomputed ones. For a method that caches nothing
the two trainings are equal by construction, so it checks that a training can be repeated. A method without steps has no
losses: its two networks must predict alike.
"""

import math
from typing import Any, Callable, Dict, Optional

from tunebench.workloads.engines import load_engine
from tunebench.workloads.engines.session import Session, no_mark
from tunebench.workloads.tasks.task import Task

STEPS = 100
LOSS_ABSOLUTE, LOSS_RELATIVE = 1e-6, 1e-4
#: In half precision a text's values depend on what it is batched with, by rounding: some units of its last place.
LOSS_RELATIVE_OF = {"float32": LOSS_RELATIVE, "bfloat16": 8 * 2.0**-8, "float16": 8 * 2.0**-11}
ACTIVATION_ABSOLUTE = 1e-6


def check(task: Task, after_epoch: Optional[Callable[[Any, int], None]] = None) -> Dict[str, Any]:
    """Compare cached and uncached training.

    Args:
        task: what to check.
        after_epoch: called with (cached session, epoch) after each epoch: tests damage the cache here.

    Returns:
        ``passed``, ``max_loss_diff`` (None without steps), ``max_activation_diff`` (None if nothing is cached),
        ``steps``.
    """
    engine = load_engine(task.spec.engine, task.spec.model)
    if task.steps_per_epoch == 0:
        return _without_steps(engine.Session(task), engine.Session(task, cache=False))
    # at least two epochs, or the cache would only have been filled, never read
    steps = max(STEPS, 2 * task.steps_per_epoch)
    epochs = -(-steps // task.steps_per_epoch)
    longer = task._replace(spec=task.spec._replace(epochs=epochs))
    cached, plain = engine.Session(longer), engine.Session(longer, cache=False)
    relative = LOSS_RELATIVE_OF[task.spec.dtype]
    worst, agree, done = 0.0, True, 0
    for epoch in range(epochs):
        cached.train_epoch(epoch, no_mark)
        plain.train_epoch(epoch, no_mark)
        for loss, reference in zip(cached.step_losses, plain.step_losses):
            if done < steps:
                a, b = float(loss), float(reference)
                # a NaN on either side compares false, and fails
                agree = agree and abs(a - b) <= LOSS_ABSOLUTE + relative * abs(b)
                worst = max(worst, float("inf") if math.isnan(a - b) else abs(a - b))
                done += 1
        if after_epoch is not None:
            after_epoch(cached, epoch)
    difference = cached.cache_error()
    exact = difference is None or difference <= ACTIVATION_ABSOLUTE
    return {
        "passed": agree and exact,
        "max_loss_diff": worst,
        "max_activation_diff": difference,
        "steps": done,
    }


def _without_steps(first: Session, second: Session) -> Dict[str, Any]:
    """Compare two networks that are only begun, by their quality and predictions."""
    for session in (first, second):
        session.begin(no_mark)
    return {
        "passed": first.evaluate() == second.evaluate(),
        "max_loss_diff": None,
        "max_activation_diff": None,
        "steps": 0,
    }
