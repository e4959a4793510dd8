"""Close a run for its user: the answer to each task in one line, and the report as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunebench.reports.history.gating import Judgement


@dataclass(frozen=True)
class WrittenReport:
    """The report of a run.

    Attributes:
        path: the page; None if it could not be written, and ``reason`` says why.
    """

    path: Path | None
    reason: str = ""

    @property
    def line(self) -> str:
        """Return what the user is told of it."""
        if self.path is not None:
            return f"Report: {self.path}"
        return f"tunebench: the report could not be written: {self.reason}"


def answer_lines(run_dir: Path, gate: Judgement | None = None) -> list[str]:
    """Return one line for each board and task: what to use there, by the verdicts that the report shows.

    Args:
        gate: the verdict on its night: what regressed is told first, never as the fastest.
    """
    from tunebench.reports.analysis import answers
    from tunebench.reports.render.gate_block import regressed
    from tunebench.reports.results import RunReader
    from tunebench.reports.summary import summarise

    reader = RunReader(run_dir, check=False)
    return answers.answer_lines(summarise(reader), regressed(gate, reader.repetitions))


def write_report(
    run_dir: Path, html: Path | None = None, *, store: Path | None = None, gate: Judgement | None = None
) -> WrittenReport:
    """Write the page of a run: beside its directory, or where it is told. What was measured is safe either way.

    Args:
        store: a results root whose nights it shows.
        gate: the verdict on its night, with which it begins.
    """
    from tunebench.reports.formatting.output import OutputError
    from tunebench.reports.render import files

    try:
        page, _ = files.report(run_dir, html, None, None, store=store, gate=gate)
    except OutputError as error:
        return WrittenReport(None, str(error))
    return WrittenReport(page)
