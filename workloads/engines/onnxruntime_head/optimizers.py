# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""Optimizers in numpy, in place: the torch engine's arithmetic, with clipping, decay and LoRA+'s two rates.

State is made when the session is, not in its first step: no measured window holds the allocation.
"""

import math
from typing import Any, List, Sequence

import numpy

from tunebench.workloads.tasks.training import BETA1, BETA2, EPSILON, MOMENTUM, Training

#: as torch's clip_grad_norm_ adds to the norm that it divides by
_NORM_EPSILON = 1e-6


class Optimizer(object):
    """Plain SGD, momentum or AdamW, as a training asks for.

    Args:
        training: optimizer, clipping, decay and LoRA+'s ratio.
        trained: float32 arrays to update.
        mappers: those of them that are an adapter's B, whose rate is ``lora_plus`` times the others'.

    Attributes:
        state: what is kept from step to step, a list of arrays for each quantity.
    """

    def __init__(self, training: Training, trained: Sequence[Any], mappers: Sequence[Any]) -> None:
        self.training, self.trained = training, list(trained)
        self.ratios = [
            training.lora_plus if any(item is mapper for mapper in mappers) else 1.0 for item in self.trained
        ]
        self.state: List[List[Any]] = [
            [numpy.zeros_like(item) for item in self.trained] for _ in range(training.state_floats)
        ]
        self.steps = 0
        rules = {"sgd": self._descend, "momentum": self._follow, "adamw": self._adapt}
        self._rule = rules[training.optimizer]

    @property
    def state_b(self) -> int:
        """Return the bytes that the state takes."""
        return sum(item.nbytes for quantity in self.state for item in quantity)

    def reset(self) -> None:
        """Go back to the state before the first step."""
        for quantity in self.state:
            for item in quantity:
                item.fill(0)
        self.steps = 0

    def step(self, gradients: Sequence[Any], lr: float) -> None:
        """Update the arrays; the gradients are overwritten."""
        if self.training.clip is not None:
            clip_norm(gradients, self.training.clip)
        self.steps += 1
        for at, (item, gradient) in enumerate(zip(self.trained, gradients)):
            self._rule(at, item, gradient, lr * self.ratios[at])

    def _decay(self, item: Any, gradient: Any) -> None:
        if self.training.weight_decay:
            gradient += self.training.weight_decay * item

    def _descend(self, at: int, item: Any, gradient: Any, lr: float) -> None:
        self._decay(item, gradient)
        gradient *= lr
        item -= gradient

    def _follow(self, at: int, item: Any, gradient: Any, lr: float) -> None:
        self._decay(item, gradient)
        velocity = self.state[0][at]
        velocity *= MOMENTUM
        velocity += gradient
        item -= lr * velocity

    def _adapt(self, at: int, item: Any, gradient: Any, lr: float) -> None:
        first, second = self.state[0][at], self.state[1][at]
        if self.training.weight_decay:
            item *= 1.0 - lr * self.training.weight_decay
        first += (1.0 - BETA1) * (gradient - first)
        second *= BETA2
        gradient *= gradient
        second += (1.0 - BETA2) * gradient
        # The gradient is done with: its memory takes the divisor.
        numpy.sqrt(second, out=gradient)
        gradient /= math.sqrt(1.0 - BETA2**self.steps)
        gradient += EPSILON
        item -= lr / (1.0 - BETA1**self.steps) * first / gradient


def clip_norm(gradients: Sequence[Any], most: float) -> None:
    """Scale gradients in place so that their Euclidean norm, all taken together, is at most ``most``.

    A norm that is not finite makes them all NaN, and the loss then says so.
    """
    norm = math.sqrt(sum(float((gradient * gradient).sum()) for gradient in gradients))
    factor = min(1.0, most / (norm + _NORM_EPSILON)) if math.isfinite(norm) else float("nan")
    for gradient in gradients:
        numpy.multiply(gradient, factor, out=gradient)
