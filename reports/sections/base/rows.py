"""A row of the comparison table in words: a main line, a second and a third a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tunebench.reports.analysis.energy import SCOPE_NAMES
from tunebench.reports.analysis.row import Median, MethodResult, ReasonCount
from tunebench.reports.figures.speedup import VERDICTS
from tunebench.reports.formatting.table import CellText
from tunebench.reports.formatting.training_words import training_words
from tunebench.reports.formatting.units import (
    clean,
    factor,
    joules,
    number,
    percent,
    seconds,
    significant,
    size,
)
from tunebench.reports.sections.base.validity import use_of


@dataclass(frozen=True)
class Row:
    """One row of the comparison table; ``cells`` and ``values`` belong to the columns of its table."""

    label: str
    badges: list[str]
    verdict: str
    verdict_css: str
    cells: list[CellText]
    validity: str
    use: str
    reasons: list[str]
    values: list[float | str | None]


@dataclass(frozen=True)
class Column:
    """A column of the comparison table.

    Attributes:
        name: its heading, which also stands before its cells where the page is too narrow for a table.
        meaning: of its values.
        key: its name in the page's address.
        kind: ``number`` or ``text``.
        first: which end interests first, ``high`` or ``low``.
    """

    name: str
    meaning: str
    key: str
    kind: str = "number"
    first: str = "low"


@dataclass(frozen=True)
class Table:
    """The rows of a comparison, and what is the same in all of them.

    Attributes:
        columns: those in which rows differ.
        shared: (what, value) of what is the same in every row.
        validity: of every row, where all have the same: (verdict, what it means, the reasons that all have); None: it has
            a column.
    """

    columns: list[Column]
    rows: list[Row]
    shared: list[tuple[str, str]]
    validity: tuple[str, str, list[str]] | None


_COLUMNS = (
    Column(
        "Speed-up",
        "baseline's time over this one's, paired by block; above 1 is faster",
        "speedup",
        first="high",
    ),
    Column("Time", "the fine-tuning window: median over repetitions, its interval, and its spread", "time"),
    Column("n", "repetitions that stand in the numbers", "n", first="high"),
    Column(
        "Peak memory",
        "largest resident set of the workload's process; what it adds to an idle interpreter with its engine loaded",
        "memory",
    ),
    Column("Energy", "gross, of one fine-tuning, with where and by what it was measured", "energy"),
    Column(
        "Accuracy",
        "on held-out target data, before and after; mean and standard deviation over seeds",
        "accuracy",
        first="high",
    ),
    Column("Update", "bytes to store or send after fine-tuning; parameters that train", "update"),
    Column("Engine", "what carried the method out, and its version", "runs", "text"),
)
_N, _MEMORY, _ENERGY, _ACCURACY, _UPDATE, _ENGINE = 2, 3, 4, 5, 6, 7


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


def comparison_table(rows: Sequence[MethodResult]) -> Table:
    """Put a comparison into words; what is the same in every row is said once."""
    shared: list[tuple[str, str]] = []
    words = [_words(row) for row in rows]
    # A table of one row has nothing that rows have in common; only what it ran on stands apart.
    dropped = {_ENGINE} if len({_full(cells[_ENGINE]) for cells in words}) == 1 else set()
    if dropped:
        # On what they ran stands in the caption: only the version is more.
        shared += [("engine", clean(version, 200))] if (version := rows[0].engine_version) else []
    if len(rows) > 1:
        dropped |= _shared_columns(words, shared)
        _shared_lines(rows, words, shared)
    columns_shown = [i for i in range(len(_COLUMNS)) if i not in dropped]
    table_rows = [_row(row, cells, columns_shown) for row, cells in zip(rows, words, strict=True)]
    return Table([_COLUMNS[i] for i in columns_shown], table_rows, shared, _shared_validity(table_rows))


def _shared_validity(rows: Sequence[Row]) -> tuple[str, str, list[str]] | None:
    """Return the validity of all rows if it is one, with the reasons that all have; further ones stand in their rows."""
    if len(rows) < 2 or len({(row.validity, row.use) for row in rows}) > 1:
        return None
    common = [reason for reason in rows[0].reasons if all(reason in row.reasons for row in rows)]
    return (rows[0].validity, rows[0].use, common) if common or not any(row.reasons for row in rows) else None


def _words(row: MethodResult) -> list[CellText]:
    return [
        _speed_up(row),
        _time(row),
        _count(row),
        _memory(row),
        _energy(row),
        _accuracy(row),
        _update(row),
        _engine(row),
    ]


def _full(cell: CellText) -> tuple[str, str, str]:
    return cell.main, cell.second, cell.third


def _shared_columns(words: Sequence[Sequence[CellText]], shared: list[tuple[str, str]]) -> set[int]:
    """Return the columns whose cells are all the same; their value goes to ``shared``, or notes say why it is missing."""
    dropped = set()
    for i, what in (
        (_N, "repetitions of each method"),
        (_MEMORY, ""),
        (_ENERGY, ""),
        (_ACCURACY, ""),
        (_UPDATE, ""),
    ):
        cells = [row[i] for row in words]
        if len({_full(cell) for cell in cells}) == 1 and (what or cells[0].missing):
            dropped.add(i)
            if what:
                shared.append((what, " ".join(part for part in _full(cells[0]) if part)))
    return dropped


def _shared_lines(
    rows: Sequence[MethodResult], words: Sequence[list[CellText]], shared: list[tuple[str, str]]
) -> None:
    """Take small lines that are the same under every value out of the cells."""
    sources = {(row.energy.scope, row.energy.source) for row in rows if row.energy}
    if len(sources) == 1:
        energy = next(row.energy for row in rows if row.energy)
        shared.append(("energy, gross", f"{SCOPE_NAMES[energy.scope]} {clean(energy.source, 24)}"))
        _without(words, _ENERGY, second=True, third=True)
    before = {words_of[_ACCURACY].second for words_of in words if not words_of[_ACCURACY].missing}
    if len(before) == 1 and "" not in before:
        shared.append(("accuracy before", before.pop().removeprefix("from ")))
        _without(words, _ACCURACY, second=True)
    trainings = {training_words(row.params) for row in rows if not row.own}
    if len(trainings) == 1 and "" not in trainings:
        shared.append(("trained by", clean(trainings.pop(), 200)))
    totals = {row.params_total for row in rows if row.params_total and row.params_trainable is not None}
    if len(totals) == 1:
        shared.append(("parameters of the model", number(totals.pop())))
        for place, row in enumerate(rows):
            if row.params_total and row.params_trainable is not None:
                share = percent(row.params_trainable / row.params_total)
                words[place][_UPDATE] = replace(words[place][_UPDATE], third=f"{share} of the model")
    idle = [row.idle_rss_b.median for row in rows if row.idle_rss_b]
    if idle:
        low, high = size(min(idle)), size(max(idle))
        shared.append(("idle interpreter", low if low == high else f"{low} to {high}"))


def _without(words: Sequence[list[CellText]], i: int, *, second: bool = False, third: bool = False) -> None:
    for cells in words:
        if not cells[i].missing:
            cells[i] = replace(
                cells[i], second="" if second else cells[i].second, third="" if third else cells[i].third
            )


def _row(row: MethodResult, cells: Sequence[CellText], columns_shown: Sequence[int]) -> Row:
    speed, values = row.speed_up, sort_values(row)
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
        cells=[cells[i] for i in columns_shown],
        validity=row.verdict,
        use=use_of(row.verdict, reasons=bool(row.reasons)),
        reasons=[_reason(reason, row) for reason in row.reasons[:3]],
        values=[values[i] for i in columns_shown],
    )


def _reason(reason: ReasonCount, row: MethodResult) -> str:
    """Return a reason's code, and how often it was met unless that is in every repetition."""
    times = "" if reason.n == row.n else f" ({reason.n} of {sum(row.counts.values())})"
    return f"{clean(reason.code, 40)}{times}"


def notes(rows: Sequence[MethodResult]) -> list[tuple[str, str]]:
    """Return the notes (what, sentence) under a table: why values are missing or repetitions not valid, each once."""
    labels_of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for what, missing in _MISSING:
            reason = missing(row)
            if reason and (row.n or what.startswith("Time")):
                labels_of.setdefault((what, reason), []).append(row.label)
        for validity in row.reasons:
            labels_of.setdefault((validity.code, validity.message), []).append(row.label)
        if row.speed_up is None and not row.is_baseline:
            labels_of.setdefault(("No speed-up", row.speed_up_missing or ""), []).append(row.label)
    return [
        (what, f"{clean(why, 300).rstrip('.')} ({_who(labels, len(rows))}).")
        for (what, why), labels in labels_of.items()
    ]


def _no_update(row: MethodResult) -> str | None:
    if row.update_b is not None or row.params_trainable is not None:
        return None
    return "the workload told neither its bytes nor what trains"


#: (what, why a row does not have it)
_MISSING: tuple[tuple[str, Callable[[MethodResult], str | None]], ...] = (
    ("Time not measured", lambda row: row.wall_missing),
    ("Peak memory not measured", lambda row: row.peak_rss_missing),
    ("Energy not measured", lambda row: row.energy_missing),
    ("Accuracy not measured", lambda row: row.accuracy_missing),
    ("Update not reported", _no_update),
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
    # One value has no spread.
    spread = f"IQR {_short(wall.iqr)}, MAD {_short(wall.mad)}" if wall.n > 1 else ""
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
    added = f"idle + {size(row.over_idle_b.median)}" if row.over_idle_b else ""
    buffers = [f"cache {size(row.cache_b)}"] if row.cache_b is not None else []
    buffers += [f"optimizer {size(row.optimizer_state_b)}"] if row.optimizer_state_b else []
    single = "one value" if peak.n == 1 and row.n > 1 else ""
    small = [*(part for part in (added, ", ".join(buffers), single) if part), "", ""]
    return CellText(size(peak.median), small[0], small[1])


def _energy(row: MethodResult) -> CellText:
    energy = row.energy
    if energy is None:
        return CellText("–", "not measured", missing=True)
    where = SCOPE_NAMES[energy.scope]
    single = ", one value" if energy.gross_j.n == 1 and row.n > 1 else ""
    return CellText(joules(energy.gross_j.median), where + single, clean(energy.source, 24))


def _accuracy(row: MethodResult) -> CellText:
    accuracy = row.accuracy
    if accuracy is None:
        return CellText("–", "not measured", missing=True)
    spread = f" ± {100 * accuracy.after_sd:.1f}" if accuracy.after_sd is not None else ""
    before = f"from {percent(accuracy.before_mean)}" if accuracy.before_mean is not None else ""
    single = "one seed" if accuracy.n == 1 else ""
    return CellText(percent(accuracy.after_mean) + spread, before, single)


def _update(row: MethodResult) -> CellText:
    trains, total = row.params_trainable, row.params_total
    second = f"trains {number(trains)}" if trains is not None else ""
    third = f"{percent(trains / total)} of {number(total)}" if trains is not None and total else ""
    if row.update_b is None:
        return CellText("–", second or "not reported", third, missing=True)
    return CellText(size(row.update_b), second, third)


def _engine(row: MethodResult) -> CellText:
    return CellText(clean(row.engine, 30), clean(row.engine_version or "", 60))
