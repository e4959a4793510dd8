"""The suite that runs against an inventory: ``pytest --pyargs tunebench.harness.hil --inventory lab.toml``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

# As this module's own, they come before those that a project's conftest.py may have by these names.
from tunebench.harness.hil.plugin import board, remote, workload  # noqa: F401

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry
    from tunebench.harness.config.suite import Workload
    from tunebench.harness.hil.timer import Result


def test_fine_tuning_adapts_the_model_to_the_drift(
    remote: Callable[[], Result],  # noqa: F811
    board: BoardEntry,  # noqa: F811
    workload: Workload,  # noqa: F811
) -> None:
    """Held-out accuracy on the drifted domain is higher after fine-tuning than before it."""
    result = remote()
    assert result.quality_before is not None, f"{board.id}: {workload.label} reported no accuracy before"
    assert result.quality_after is not None, f"{board.id}: {workload.label} reported no accuracy after"
    assert result.quality_after > result.quality_before
