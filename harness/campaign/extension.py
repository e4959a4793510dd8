"""Find the finished run to which blocks are added, and say what of it stays as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunebench.harness.config.suite import MAX_BLOCKS
from tunebench.harness.errors import UsageError
from tunebench.harness.hints import anew
from tunebench.reports.records import Skip
from tunebench.reports.results import ResultsError, RunReader


def finished_run(out: Path, suite: str, command: Sequence[str]) -> RunReader:
    """Return the newest run of a suite below a results root (or in the run's directory itself) if it can be extended.

    Args:
        out: the results root, or the run's directory.
        suite: the suite's name.
        command: the command line that asks for more blocks: what is told to do instead is made of it.

    Raises:
        UsageError: there is none; or it has not ended, was measured until it was decided, or is damaged.
    """
    run = _newest(out, suite)
    if run is None:
        raise UsageError(f"--add-blocks: no run of suite {suite!r} below {out}; `{anew(command)}` begins one")
    if run.manifest is None:
        raise UsageError(
            f"{run.path}: has not ended yet; `{anew(command)} --resume` ends it, then blocks can be added"
        )
    if run.plan_view.suite.looks:
        more = min(2 * blocks_of(run), MAX_BLOCKS)
        new = f"{anew(command, leave_out=['--blocks'])} --until-decided --max-blocks {more}"
        raise UsageError(
            f"{run.path}: was measured until it was decided, and its looks have spent what they may be wrong;"
            f" `{new}` begins a new run that may have more blocks"
        )
    problems = run.verify()
    if problems:
        raise UsageError(f"{run.path}: no blocks are added to a damaged run: {problems[0]}")
    return run


def _newest(out: Path, suite: str) -> RunReader | None:
    for path in sorted(out.glob("**/plan.json"), key=lambda path: path.parent.name, reverse=True):
        try:
            reader = RunReader(path.parent)
        except ResultsError:
            continue
        if reader.plan_view.suite.name == suite:
            return reader
    return None


def blocks_of(run: RunReader) -> int:
    """Return how many blocks a run has, or was to have."""
    of_plan = run.plan_view.suite.blocks
    return of_plan if of_plan is not None else run.manifest.blocks if run.manifest else 0


def extensions(run: RunReader, at_utc: str) -> list[Any]:
    """Return the plan's account of when blocks were added, with this time: from how many blocks on."""
    entries = run.plan.get("extended")
    before: Sequence[Any] = entries if isinstance(entries, list) else []
    now: Mapping[str, Any] = {"from_blocks": blocks_of(run), "at_utc": at_utc}
    return [*before, now]


def left_out_before(run: RunReader) -> list[Skip]:
    """Return what a run had left out when it ended last and what stays out: a block holds what those before it hold.

    A board that was out of reach is no such thing: it may measure all its blocks now. Empty for a run that never ended.
    """
    manifest = run.manifest or next(iter(reversed(run.earlier_manifests)), None)
    skipped = manifest.skipped if manifest is not None else []
    return [skip for skip in skipped if skip.label is not None or skip.role is not None]
