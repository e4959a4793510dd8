"""Read what a writer remembers of the records in ``reps.jsonl``: a few facts of each; the records stay on disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tunebench.reports.records import Outcome, Repetition, Role, Verdict
from tunebench.reports.results.layout import REPS, ResultsError, parse_line


@dataclass(frozen=True, slots=True)
class Stored:
    """The facts of a stored record that a campaign needs; named as in the record.

    Attributes:
        check_passed: of a correctness check; None for all else, and where it has no figures.
        temp_start_c: the board's temperature when it began.
    """

    rep_id: str
    board_id: str
    role: Role
    attempt: int
    outcome: Outcome
    verdict: Verdict
    check_passed: bool | None
    temp_start_c: float | None
    task: str = ""
    method: str = ""

    @classmethod
    def of(cls, rep: Repetition) -> Stored:
        """Extract the facts from a record."""
        return cls(
            rep_id=rep.rep_id,
            board_id=sys.intern(rep.board_id),
            role=rep.role,
            attempt=rep.attempt,
            outcome=rep.outcome,
            verdict=rep.verdict,
            check_passed=None if rep.check is None else rep.check.get("passed") is True,
            temp_start_c=rep.conditions.temp_start_c,
            task=sys.intern(rep.task),
            method=sys.intern(rep.method),
        )


@dataclass
class Scan:
    """The contents of a file of records.

    Attributes:
        size_b: of the file; ``whole_b``: up to the end of its last whole line.
        warnings: lines that could not be read.
    """

    size_b: int = 0
    whole_b: int = 0
    stored: dict[str, Stored] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def scan(path: Path) -> Scan:
    """Read a file of records line by line; only one record is in memory at a time."""
    contents = Scan(size_b=path.stat().st_size)
    for number, line in _whole_lines(path):
        contents.whole_b += len(line)
        try:
            rep = parse_line(line[:-1])
        except ResultsError as error:
            contents.warnings.append(f"{REPS}: line {number} was left out: {error}")
            continue
        contents.stored[rep.rep_id] = Stored.of(rep)
    return contents


def records(path: Path) -> Iterator[Repetition]:
    """Yield every readable record of a file."""
    for _, line in _whole_lines(path):
        try:
            yield parse_line(line[:-1])
        except ResultsError:
            continue  # named when the run was opened


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line) of each line that ends with a newline.

    A power cut may leave a line's length on disk without its bytes: they read as zeros, which JSON never holds. So
    the last line counts only if it has none.
    """
    held: bytes | None = None
    number = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            if held is not None:
                number += 1
                yield number, held
            held = line
    if held is not None and b"\0" not in held:
        yield number + 1, held
