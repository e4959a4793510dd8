"""A row of the comparison table in words: a main line, a second and a third a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.energy import SCOPE_NAMES
from tunebench.reports.analysis.row import Median, MethodResult
from tunebench.reports.figures.speedup import VERDICTS
from tunebench.reports.formatting.table import CellText
from tunebench.reports.formatting.units import clean, factor, number, percent, seconds, significant, size


@dataclass(frozen=True)
class Row:
    """One row of the comparison table."""

    label: str
    badges: list[str]
    verdict: str
    verdict_css: str
    cells: list[CellText]
    validity: str
    reasons: list[str]
    values: list[float | str | None]


#: Headings of ``Row.cells``, each with what it means.
COLUMNS = (
    ("Speed-up", "baseline's time over this one's, paired by block; above 1 is faster"),
    (
        "Time",
        "the fine-tuning window: median over repetitions, its interval, and its spread",
    ),
    ("n", "repetitions that stand in the numbers"),
    ("Peak memory", "largest resident set of the workload's process"),
    ("Energy", "gross, of one fine-tuning, with where and by what it was measured"),
    ("Accuracy", "on held-out target data, before and after; mean and standard deviation over seeds"),
    ("Update", "bytes to store or send after fine-tuning; parameters that train"),
    (
        "Runs on",
        "engine and its build, device, threads, number format: rows that differ in any but the engine are never compared",
    ),
)
#: For each heading: its name in the page's address, what its values are, and which end interests first.
SORTING = (
    ("speedup", "number", "high"), ("time", "number", "low"), ("n", "number", "high"), ("memory", "number", "low"),
    ("energy", "number", "low"), ("accuracy", "number", "high"), ("update", "number", "low"), ("runs", "text", "low"),
)  # fmt: skip


def sort_values(row: MethodResult) -> list[float | str | None]:
    """Return the value by which each column is sorted; None is last in both directions."""
    wall, peak, energy, accuracy = row.wall_s, row.peak_rss_b, row.energy, row.accuracy
    return [
        1.0 if row.is_baseline else row.speed_up.factor if row.speed_up else None,
        wall.median if wall else None,
        row.n,
        peak.median if peak else None,
        energy.gross_j.median if energy else None,
        accuracy.after_mean if accuracy else None,
        row.update_b,
        None,
    ]


def comparison_row(row: MethodResult) -> Row:
    """Put one row of the comparison into words."""
    speed = row.speed_up
    badges = []
    if row.is_baseline:
        badges.append("baseline")
    if row.aa_control:
        badges.append("A/A control")
    if row.own:
        badges.append("own")
    return Row(
        label=clean(row.label, 60),
        badges=badges,
        verdict=speed.verdict.lower() if speed else "",
        verdict_css=VERDICTS[speed.verdict][1] if speed else "",
        cells=[
            _speed_up(row),
            _time(row),
            _count(row),
            _memory(row),
            _energy(row),
            _accuracy(row),
            _update(row),
            _runs_on(row),
        ],
        validity=row.verdict,
        reasons=[f"{clean(reason.code, 40)} ({reason.n}×)" for reason in row.reasons[:3]],
        values=sort_values(row),
    )


def notes(rows: Sequence[MethodResult]) -> list[tuple[str, str]]:
    """Return the notes (what, sentence) under a table: why values are missing or repetitions not valid, each once."""
    labels_of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for what, missing in _MISSING:
            reason = missing(row)
            if reason and (row.n or what == "Time"):
                labels_of.setdefault((f"{what} not measured", reason), []).append(row.label)
        for validity in row.reasons:
            labels_of.setdefault((validity.code, validity.message), []).append(row.label)
        if row.speed_up is None and not row.is_baseline:
            labels_of.setdefault(("No speed-up", row.speed_up_missing or ""), []).append(row.label)
    return [
        (what, f"{clean(why, 300).rstrip('.')} ({_who(labels, len(rows))}).")
        for (what, why), labels in labels_of.items()
    ]


#: (what, why a row does not have it)
_MISSING: tuple[tuple[str, Callable[[MethodResult], str | None]], ...] = (
    ("Time", lambda row: row.wall_missing),
    ("Peak memory", lambda row: row.peak_rss_missing),
    ("Energy", lambda row: row.energy_missing),
    ("Accuracy", lambda row: row.accuracy_missing),
)


def _who(labels: Sequence[str], everyone: int) -> str:
    if len(labels) == everyone and everyone > 1:
        return "every method"
    names = [clean(label, 40) for label in dict.fromkeys(labels)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def interval_words(spread: Median) -> str:
    """Return a spread in words, naming what kind of interval it is."""
    low, high = seconds(spread.low), seconds(spread.high)
    if low.split()[1:] == high.split()[1:]:
        low = low.split()[0]
    span = f"{low} – {high}"
    if spread.confidence is None:
        return f"range {span}" if spread.n > 1 else "one value"
    return f"{percent(spread.confidence, 0)} {span}"


def _speed_up(row: MethodResult) -> CellText:
    speed = row.speed_up
    if speed is None:
        if row.is_baseline:
            return CellText("1", "by definition")
        return CellText("–", "not compared", missing=True)
    kind = "range" if speed.interval == "range" else "95%"
    second = f"{kind} {significant(speed.low)} – {significant(speed.high)}"
    if speed.n == 1:
        second = "one block"
    unequal = row.unequal_params
    if unequal:
        return CellText(factor(speed.factor), second, f"unequal {', '.join(unequal)}")
    return CellText(factor(speed.factor), second)


def _time(row: MethodResult) -> CellText:
    wall = row.wall_s
    if wall is None:
        return CellText("–", "not measured", missing=True)
    spread = f"IQR {_short(wall.iqr)}, MAD {_short(wall.mad)}"
    return CellText(seconds(wall.median), interval_words(wall), spread)


def _short(value_s: float) -> str:
    """Format a spread with two digits: more digits would mean nothing.

    >>> _short(0.03434), _short(0.0)
    ('34 ms', '0 s')
    """
    return seconds(value_s, 2)


def _count(row: MethodResult) -> CellText:
    counts = row.counts
    lost = counts["invalid"] + counts["failed"]
    return CellText(str(row.n), f"{lost} left out" if lost else "")


def _memory(row: MethodResult) -> CellText:
    peak = row.peak_rss_b
    if peak is None:
        return CellText("–", "not measured", missing=True)
    cache = f"cache {size(row.cache_b)}" if row.cache_b is not None else ""
    return CellText(size(peak.median), cache)


def _energy(row: MethodResult) -> CellText:
    energy = row.energy
    if energy is None:
        return CellText("–", "not measured", missing=True)
    where = SCOPE_NAMES[energy.scope]
    return CellText(f"{significant(energy.gross_j.median)} J", where, clean(energy.source, 24))


def _accuracy(row: MethodResult) -> CellText:
    accuracy = row.accuracy
    if accuracy is None:
        return CellText("–", "not measured", missing=True)
    spread = f" ± {100 * accuracy.after_sd:.1f}" if accuracy.after_sd is not None else ""
    before = f"from {percent(accuracy.before_mean)}" if accuracy.before_mean is not None else ""
    return CellText(percent(accuracy.after_mean) + spread, before)


def _update(row: MethodResult) -> CellText:
    trains, total = row.params_trainable, row.params_total
    second = f"trains {number(trains)}" if trains is not None else ""
    third = f"{percent(trains / total)} of {number(total)}" if trains is not None and total else ""
    if row.update_b is None:
        return CellText("–", second or "not reported", third, missing=True)
    return CellText(size(row.update_b), second, third)


def _runs_on(row: MethodResult) -> CellText:
    threads = f"{row.threads} thread{'s' if row.threads != 1 else ''}, {row.dtype}"
    version = row.power_mode or row.engine_version or ""
    engine = " ".join(part for part in (row.engine, row.engine_build, row.device) if part)
    return CellText(clean(engine, 30), clean(threads, 30), clean(version, 26))
