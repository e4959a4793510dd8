"""The figures of a run that other tools keep: a value with its interval for each method on each board, in base units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunebench.reports.analysis.row import Median, MethodResult
from tunebench.reports.formatting.output import STDOUT, write_output
from tunebench.reports.formatting.privacy import scrubbed, scrubber, shown_names
from tunebench.reports.render.files import names_here
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader
from tunebench.reports.summary import Summary, summarise

Name = Literal["duration", "energy", "memory", "instructions", "accuracy"]


@dataclass(frozen=True)
class Figure:
    """One number of a row.

    Attributes:
        unit: ``seconds``, ``joules``, ``bytes``, ``instructions`` or ``ratio`` (0-1).
        low, high: the interval of the median (accuracy: none, its standard deviation is ``sd``).
        n: how many repetitions are behind it.
        smaller_is_better: which change is good news.
    """

    name: Name
    unit: str
    value: float
    low: float | None
    high: float | None
    n: int
    smaller_is_better: bool = True
    sd: float | None = None


def summary_of(reader: RunReader) -> Summary:
    """Return what the report shows of a run, without names of people and machines."""
    words = set(names_here()) - shown_names(reader.repetitions)
    return scrubbed(summarise(reader), scrubber(words))


def figures(row: MethodResult) -> list[Figure]:
    """Return what was measured of a row; a quantity that was not is left out, never zero."""
    measured = [
        _of("duration", "seconds", row.wall_s),
        _of("energy", "joules", None if row.energy is None else row.energy.gross_j),
        _of("memory", "bytes", row.peak_rss_b),
        _of("instructions", "instructions", None if row.pmu is None else row.pmu.instructions),
    ]
    if row.accuracy is not None:
        after = row.accuracy
        measured.append(
            Figure(
                "accuracy",
                "ratio",
                after.after_mean,
                None,
                None,
                after.n,
                smaller_is_better=False,
                sd=after.after_sd,
            )
        )
    return [figure for figure in measured if figure is not None]


def _of(name: Name, unit: str, median: Median | None) -> Figure | None:
    return None if median is None else Figure(name, unit, median.median, median.low, median.high, median.n)


def named(rows: list[MethodResult]) -> list[tuple[str, MethodResult]]:
    """Return each row with a name of its own: board, task and label, and where these are not enough its conditions."""
    plain = [f"{row.board_id} / {row.task} / {row.label}" for row in rows]
    pairs = []
    for name, row in zip(plain, rows, strict=True):
        conditions = (
            row.engine,
            row.engine_build,
            row.device,
            f"{row.threads} threads",
            row.dtype,
            row.power_mode,
        )
        beside = " / ".join(part for part in conditions if part)
        pairs.append((name if plain.count(name) == 1 else f"{name} / {beside}", row))
    return pairs


def identity(row: MethodResult) -> Mapping[str, str]:
    """Return what names a row, for labels and tags."""
    return {
        "board": row.board_id,
        "board_model": row.board_model or "",
        "task": row.task,
        "method": row.label,
        "engine": row.engine,
        "engine_build": row.engine_build or "",
        "device": row.device,
        "threads": str(row.threads),
        "dtype": row.dtype,
        "power_mode": row.power_mode or "",
    }


def write_text(text: str, to: str | None) -> str | None:
    """Write a text to the file that ``--to`` names; return its name, or None if it was printed.

    Raises:
        OutputError: the file cannot be written.
    """
    path = file_of(to)
    write_output(path, text.encode("utf-8", "replace"), "--to")
    return None if path == STDOUT else str(path)


def file_of(to: str | None) -> Path:
    """Return the file that ``--to`` names; standard output if it names none.

    Raises:
        ResultsError: it names a folder.
    """
    if to is not None and to.endswith("/"):
        raise ResultsError(f"--to {to}: is the name of a folder; name a file in it")
    return STDOUT if to is None else Path(to)
