"""MeZO: a step of two forward passes, whose difference estimates the slope along one random direction.

Malladi et al., Fine-Tuning Language Models with Just Forward Passes, NeurIPS 2023. For a direction z of independent
standard normal values: g = (loss(p + epsilon z) - loss(p - epsilon z)) / (2 epsilon), then p -= lr g z. The weights are
moved in place and z is drawn anew from its seed each time, tensor by tensor, so that no second copy of the weights, no
gradient and no activation is ever kept.
"""

import hashlib
from typing import Any, Callable, Sequence

import torch

from tunebench.workloads.engines.session import Mark

#: as published
EPSILON = 1e-3


def seed_of(seed: int, step: int) -> int:
    """Return the seed of a step's direction."""
    digest = hashlib.sha256(("mezo/%d/%d" % (seed, step)).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def move(trained: Sequence[Any], seed: int, by: float) -> None:
    """Add ``by`` times the direction of a seed to the tensors, in place; at most one tensor's direction lives at once."""
    generator = torch.Generator(device=trained[0].device)
    generator.manual_seed(seed)
    for item in trained:
        direction = torch.randn(item.shape, generator=generator, device=item.device)
        item.add_(direction, alpha=by)


def step(trained: Sequence[Any], loss_of: Callable[[], Any], seed: int, lr: float, mark: Mark) -> Any:
    """Do one update; return the mean of both losses, which is the loss before it but for terms of epsilon squared.

    Args:
        trained: tensors to update.
        loss_of: runs the network forward on the step's batch.
        seed: of the step's direction.
        lr: learning rate.
        mark: opens a phase.
    """
    with torch.no_grad():
        losses = []
        for by in (EPSILON, -2.0 * EPSILON):
            mark("update")
            move(trained, seed, by)
            mark("forward")
            losses.append(loss_of())
        mark("update")
        slope = float(losses[0] - losses[1]) / (2.0 * EPSILON)
        move(trained, seed, EPSILON - lr * slope)
        return (losses[0] + losses[1]) / 2.0
