"""Train a session in a test."""

from __future__ import annotations

from typing import Any

from tunebench.workloads.engines.session import no_mark


def losses_of(session: Any, epochs: int | None = None) -> list[float]:
    """Train, all of a session's epochs or the first of them; return every step's loss."""
    losses: list[float] = []
    for epoch in range(epochs or session.task.spec.epochs):
        session.train_epoch(epoch, no_mark)
        losses += [float(loss) for loss in session.step_losses]
    return losses
