"""What is wrong in a run, and where."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import REPS


@dataclass(frozen=True)
class Discrepancy:
    """One thing that is wrong.

    Attributes:
        code: its kind, for scripts.
        file: below the run's directory.
        line: counts from 1; None: the whole file.
        message: what is wrong, and what would be right.
    """

    code: str
    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.message} [{self.code}]"


@dataclass(frozen=True)
class RecordLine:
    """A record and the number of its line in ``reps.jsonl``."""

    number: int
    record: Repetition

    def discrepancy(self, code: str, message: str) -> Discrepancy:
        """Return what is wrong with this record."""
        return Discrepancy(code, REPS, self.number, f"{self.record.rep_id}: {message}")
