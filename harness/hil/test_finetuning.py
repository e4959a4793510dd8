"""The suite that runs against an inventory: ``pytest --pyargs tunebench.harness.hil --inventory lab.toml``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry
    from tunebench.harness.config.suite import Workload
    from tunebench.harness.hil.timer import Result


def test_fine_tuning_adapts_the_model_to_the_drift(
    remote: Callable[[], Result], board: BoardEntry, workload: Workload
) -> None:
    """Held-out accuracy on the drifted domain is higher after fine-tuning than before it."""
    result = remote()
    assert result.quality_before is not None, f"{board.id}: {workload.label} reported no accuracy before"
    assert result.quality_after is not None, f"{board.id}: {workload.label} reported no accuracy after"
    assert result.quality_after > result.quality_before
