"""Find the run that `--resume` continues, or say why there is none; the command that continues a run.

A run is unfinished as long as it has no ``run.json``: it was interrupted, its host died, or boards were missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tunebench.harness.hints import anew
from tunebench.harness.hints import command as hint
from tunebench.reports.records import PLAN_SCHEMA
from tunebench.reports.results import ResultsError, RunReader
from tunebench.reports.results.layout import MANIFEST, PLAN, load_object
from tunebench.reports.results.plan_view import PlanView

_RESUME = "--resume"
#: So many other runs are named, at most, where there is nothing to resume.
_MOST_NAMED = 3
#: A store of years holds thousands.
_MOST_LOOKED_AT = 200


def unfinished_run(root: Path, suite: str, *, within_s: float | None = None) -> RunReader | None:
    """Return the newest unfinished run of a suite below a results root, or in the run's directory itself.

    Args:
        root: a results root, or a run's directory.
        suite: the suite's name.
        within_s: leave runs out that were begun longer ago; None: however long.
    """
    for path in _newest_first(root):
        if (path / MANIFEST).exists():
            continue
        reader = _opened(path)
        if reader is None or reader.plan_view.suite.name != suite:
            continue
        if within_s is None or _age_s(reader) <= within_s:
            return reader
    return None


def nothing_to_resume(root: Path, suite: str, command: Sequence[str]) -> str:
    """Return the sentences that say that there is no run to continue: where it was looked for and what is there instead.

    Args:
        root: where it was looked for.
        suite: the suite's name.
        command: the command line that asked.
    """
    lines = [f"--resume: nothing to resume: no unfinished run of suite {suite!r} below {root.resolve()}"]
    complete, others = _there_instead(root, suite)
    if complete is not None:
        lines.append(f"  the newest run of this suite there is complete: {complete}")
    lines += [f"  unfinished, of suite {name!r}: {path}" for path, name in others]
    if complete is None and not others:
        lines.append("  there is no run at all; if it lies elsewhere, name its folder with --out DIR")
    if list(command[:1]) == ["tunebench"]:
        lines.append(f"A new run begins with: {anew(command)}")
    return "\n".join(lines)


def continuing(command: Sequence[str]) -> str | None:
    """Return the command line that continues a run begun by ``command``; None where no command line does.

    >>> continuing(["tunebench", "run", "-i", "my lab.toml"]).rpartition("tunebench ")[2]
    "run -i 'my lab.toml' --resume"
    >>> continuing(["tunebench", "run", "--add-blocks", "4"]).rpartition("tunebench ")[2]
    'run --resume'
    >>> continuing(["tunebench", "demo"]) is None
    True
    """
    words = list(command[1:])
    names = [word for word in words if not word.startswith("-")]
    if list(command[:1]) != ["tunebench"] or names[:1] not in (["run"], ["nightly"]):
        return None
    # An extension that was cut off is an unfinished run like any other: --add-blocks would ask for more.
    return f"{anew(command)} {_RESUME}" if names[0] == "run" else hint(*words)


def _there_instead(root: Path, suite: str) -> tuple[Path | None, list[tuple[Path, str]]]:
    """Return the newest complete run of a suite, and the unfinished runs of other suites."""
    complete: Path | None = None
    others: list[tuple[Path, str]] = []
    for path in _newest_first(root)[:_MOST_LOOKED_AT]:
        finished = (path / MANIFEST).exists()
        if finished and complete is not None:
            continue
        name = _suite_of(path)
        if finished and name == suite:
            complete = path
        elif not finished and name is not None and name != suite and len(others) < _MOST_NAMED:
            others.append((path, name))
    return complete, others


def _newest_first(root: Path) -> list[Path]:
    return sorted((plan.parent for plan in root.glob(f"**/{PLAN}")), key=lambda path: path.name, reverse=True)


def _suite_of(path: Path) -> str | None:
    try:
        return PlanView.of(load_object(path / PLAN, PLAN_SCHEMA)).suite.name
    except ResultsError:
        return None


def _opened(path: Path) -> RunReader | None:
    try:
        return RunReader(path, check=False)
    except (ResultsError, OSError):
        return None


def _age_s(reader: RunReader) -> float:
    """Return how long ago a run was begun; 0 where its plan does not say it, or says a time to come."""
    try:
        began = datetime.fromisoformat(str(reader.plan_view.started_utc))
    except ValueError:
        return 0.0
    began = began if began.tzinfo is not None else began.replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - began).total_seconds())
