"""What is objected to, and where."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import REPS


@dataclass(frozen=True)
class Discrepancy:
    """One objection.

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
class Lined:
    """A record and the line on which it stands."""

    line: int
    rep: Repetition

    def finding(self, code: str, message: str) -> Discrepancy:
        """An objection to this record."""
        return Discrepancy(code, REPS, self.line, f"{self.rep.rep_id}: {message}")
