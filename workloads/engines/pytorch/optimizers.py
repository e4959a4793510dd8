# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""Optimizers written out in place: plain SGD, momentum and AdamW, with clipping, decay and LoRA+'s two rates.

The same arithmetic, operation for operation, as ``torch.nn.utils.clip_grad_norm_`` followed by ``torch.optim.SGD`` or
``torch.optim.AdamW`` (one tensor at a time), with a parameter group of its own for the adapters' B. State is made when
the session is, not in its first step: no measured window holds the allocation.
"""

import math
from typing import Any, List, Sequence

import torch

from tunebench.workloads.tasks.training import BETA1, BETA2, EPSILON, MOMENTUM, Training

#: torch's clip_grad_norm_ adds it to the norm that it divides by.
_NORM_EPSILON = 1e-6


class Optimizer:
    """Plain SGD; base class of those that keep state.

    Args:
        training: clipping, decay and LoRA+'s ratio.
        trained: tensors to update, on their device.
        mappers: those of them that are an adapter's B, whose rate is ``lora_plus`` times the others'.

    Attributes:
        state: what is kept from step to step, a list of tensors for each quantity.
    """

    def __init__(self, training: Training, trained: Sequence[Any], mappers: Sequence[Any]) -> None:
        self.training, self.trained = training, list(trained)
        self.ratios = [
            training.lora_plus if any(item is mapper for mapper in mappers) else 1.0 for item in self.trained
        ]
        self.state: List[List[Any]] = [
            [torch.zeros_like(item, requires_grad=False) for item in self.trained]
            for _ in range(training.state_floats)
        ]
        self.steps = 0

    @property
    def state_b(self) -> int:
        """Return the bytes that the state takes."""
        return sum(item.numel() * item.element_size() for quantity in self.state for item in quantity)

    def reset(self) -> None:
        """Go back to the state before the first step."""
        for quantity in self.state:
            for item in quantity:
                item.zero_()
        self.steps = 0

    def step(self, gradients: Sequence[Any], lr: float) -> None:
        """Update the tensors; the gradients are overwritten."""
        with torch.no_grad():
            if self.training.clip is not None:
                clip_norm(gradients, self.training.clip)
            self.steps += 1
            for at, (item, gradient) in enumerate(zip(self.trained, gradients)):
                self._update(at, item, gradient, lr * self.ratios[at])

    def _update(self, at: int, item: Any, gradient: Any, lr: float) -> None:
        """Update tensor number ``at``: p -= lr (g + decay p)."""
        item.add_(self._decayed(item, gradient), alpha=-lr)

    def _decayed(self, item: Any, gradient: Any) -> Any:
        """Add the weight decay to a gradient, where there is one."""
        return (
            gradient.add_(item, alpha=self.training.weight_decay) if self.training.weight_decay else gradient
        )


class _Momentum(Optimizer):
    """Polyak's momentum: v = 0.9 v + g + decay p, p -= lr v."""

    def _update(self, at: int, item: Any, gradient: Any, lr: float) -> None:
        velocity = self.state[0][at].mul_(MOMENTUM).add_(self._decayed(item, gradient))
        item.add_(velocity, alpha=-lr)


class _AdamW(Optimizer):
    """Adam with decoupled decay: both moments corrected for their start at zero."""

    def _update(self, at: int, item: Any, gradient: Any, lr: float) -> None:
        first, second = self.state[0][at], self.state[1][at]
        if self.training.weight_decay:
            item.mul_(1.0 - lr * self.training.weight_decay)
        first.lerp_(gradient, 1.0 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1.0 - BETA2)
        corrected = math.sqrt(1.0 - BETA2**self.steps)
        # The gradient is done with: its memory takes the divisor, so that a step needs no more than with SGD.
        divisor = torch.sqrt(second, out=gradient).div_(corrected).add_(EPSILON)
        item.addcdiv_(first, divisor, value=-lr / (1.0 - BETA1**self.steps))


def make_optimizer(training: Training, trained: Sequence[Any], mappers: Sequence[Any] = ()) -> Optimizer:
    """Return the optimizer that a training asks for, with its state at zero."""
    made = {"sgd": Optimizer, "momentum": _Momentum, "adamw": _AdamW}[training.optimizer]
    return made(training, trained, mappers)


def clip_norm(gradients: Sequence[Any], most: float) -> None:
    """Scale gradients in place so that their Euclidean norm, all taken together, is at most ``most``.

    Nothing is read back from the device. A norm that is not finite makes them all NaN, and the loss then says so.
    """
    norm = torch.norm(torch.stack([torch.norm(gradient) for gradient in gradients]))
    factor = torch.clamp(most / (norm + _NORM_EPSILON), max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
