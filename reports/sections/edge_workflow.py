"""The section on the edge workflow: steps upon one another, promise against measurement, pairs, fronts, break-even."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tunebench.reports.analysis.energy import SCOPE_NAMES
from tunebench.reports.analysis.row import MethodResult, Served
from tunebench.reports.analysis.within.served import keys_of, served_rows
from tunebench.reports.figures import DataTable
from tunebench.reports.figures.base.model import Figure
from tunebench.reports.figures.pareto import frontier, pareto_figure, points
from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.table import captioned
from tunebench.reports.formatting.units import clean, factor, joules, number, percent, seconds, size
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.stats.paired import compare
from tunebench.reports.summary import Summary

STEPS = (
    "Step upon step: from the plainest chain to the longest, each with what it adds. Speed-ups are over the baseline of "
    "the same runtime, threads and board; accuracy is of the test set, and what changed is against the line above."
)
PROMISE = (
    "Promise against measurement: what the chain saves by count (multiply-adds, parameters, bytes) beside the speed-up "
    "over the baseline in the same runtime, threads and board. Simulated: compressed in name only, which "
    "bars it from claims of speed: raw bytes at least 0.9 of the uncompressed network's, or under half of the kernels' "
    "time (of the nodes, where a runtime gives no times) in the type that is claimed."
)
PAIRS = (
    "Float and its 8 or 16 bit twin: the same chain without and with its last step, paired by block. Above 1 the twin "
    "is faster. Agreement: share of items with the class of the float parent, computed on the board."
)
FRONT = (
    "Accuracy against the time of a call: which chains no other of the same task beats in both, by their centres. Chains "
    "compressed in name only and A/A controls are left out."
)
ENERGY = (
    "Energy of one inference, and break-even: after how many inferences what a chain saves on each has repaid one "
    "fine-tuning on the same board, in gross joules. What the host spends on compressing is not measured, and not in it. "
    "A saving counts where the interval of the ratio to the baseline's joules lies below 1."
)
_STEPS = (
    "board", "task", "chain", "adds", "multiply-adds", "bytes", "p50 of a call", "speed-up", "accuracy", "changed",
)  # fmt: skip
_PROMISE = (
    "board", "task", "chain", "parameters", "multiply-adds", "bytes", "packed", "speed-up", "accuracy", "claimed type",
    "simulated",
)  # fmt: skip
_PAIRS = ("board", "task", "float", "twin", "n", "speed-up", "accuracy", "agreement", "largest difference")
_FRONT = ("board", "task", "chain", "p50 of a call", "accuracy", "unbeaten")
_ENERGY = (
    "board", "task", "chain", "scope", "gross", "net", "of a fine-tuning", "saved on each", "break-even",
)  # fmt: skip
_NONE = "–"
_SIMULATED = "simulated: no claim"
#: steps that a chain has before there is a workflow to show
_FEW = 3
_Row = tuple[MethodResult, Served]


@dataclass(frozen=True)
class _View:
    tables: Sequence[DataTable]
    fronts: Sequence[Figure]


class EdgeWorkflowSection(Section):
    """The section on the edge workflow; left out of runs in which no network ran in a runtime."""

    ident = "edge-workflow"
    nav = "Edge workflow"
    text_place = 44

    def template(self) -> str:
        """Return the section's partial."""
        return partial("edge_workflow")

    def view(self, page: Page) -> _View | None:
        """Return the tables, and a front for each task with more than one chain that may claim its speed."""
        tables = _tables(page.summary.rows)
        if not tables:
            return None
        fronts = []
        for group in page.groups:
            rows = [row for row in group.rows if row.inference is not None and not row.inference.simulated]
            if len([point for point in points(rows, "time") if not point.control]) > 1:
                fronts.append(
                    pareto_figure(
                        f"front-edge-{group.ident}",
                        rows,
                        "time",
                        page.styles,
                        heading=group.heading,
                        half=False,
                    )
                )
        return _View(tables, page.lighter(fronts))

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the tables."""
        return captioned(_tables(summary.rows))

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return a line a chain: multiply-adds saved beside the speed-up."""
        lines = ["Edge workflow, saved by count and by measurement:"]
        for row, served in served_rows(summary.rows):
            if not row.aa_control and not row.is_baseline:
                lines.append(
                    f"- {escaped(clean(row.task, 60))} {escaped(clean(row.label, 40))}: "
                    f"multiply-adds {escaped(_saved(served.dense_madds, served.madds))}; {escaped(_speed_up(row))}"
                )
        text = "\n".join(lines)
        return text if len(lines) > 1 and len(text) <= limit else ""


def _tables(rows: Sequence[MethodResult]) -> list[DataTable]:
    chosen = [(row, served) for row, served in served_rows(rows) if not row.aa_control]
    if not chosen:
        return []
    named = [
        (STEPS, _STEPS, _steps(chosen)),
        (PROMISE, _PROMISE, [_promise(row, served) for row, served in chosen]),
        (PAIRS, _PAIRS, _pairs(chosen)),
        (FRONT, _FRONT, _fronts(chosen)),
        (ENERGY, _ENERGY, _energies(chosen, rows)),
    ]
    return [DataTable(caption, columns, cells) for caption, columns, cells in named if cells]


def _by_task(served: Sequence[_Row]) -> list[list[_Row]]:
    """Return the rows that may be compared: those of a board and a task side by side."""

    def key(item: _Row) -> tuple[str, str]:
        return item[0].board_id, item[0].task

    places = list(dict.fromkeys(key(item) for item in served))
    ordered = sorted(served, key=lambda item: places.index(key(item)))
    return [list(items) for _, items in groupby(ordered, key)]


# --- step upon step


def _steps(served: Sequence[_Row]) -> list[list[str]]:
    rows = []
    for task in _by_task(served):
        before: _Row | None = None
        for item in _path(task):
            rows.append(_step(*item, before))
            before = item
    return rows


def _path(task: Sequence[_Row]) -> list[_Row]:
    """Return chains of which each holds the one before it, up to the longest; none where that is too short.

    Of several that could come before a chain the longest does, of equals the first of the suite.
    """
    current = max(task, key=lambda item: len(item[1].chain))
    if len(current[1].chain) < _FEW:
        return []
    path = [current]
    while within := [item for item in task if _holds(current[1].chain, item[1].chain)]:
        current = max(within, key=lambda item: len(item[1].chain))
        path.append(current)
    return path[::-1] if len(path) > 1 else []


def _holds(chain: Sequence[str], part: Sequence[str]) -> bool:
    """Tell whether a chain has all steps of a shorter one, in their order."""
    steps = iter(chain)
    return len(part) < len(chain) and all(step in steps for step in part)


def _step(row: MethodResult, served: Served, before: _Row | None) -> list[str]:
    earlier = before[1].chain if before is not None else []
    changed = _NONE
    if before is not None and row.accuracy is not None and before[0].accuracy is not None:
        changed = _points(row.accuracy.after_mean - before[0].accuracy.after_mean)
    return [
        *keys_of(row),
        clean(", ".join(step for step in served.chain if step not in earlier), 80),
        _saved(served.dense_madds, served.madds),
        _bytes(served.dense_b, served.model_b),
        seconds(served.p50_s.median),
        _speed_up(row),
        _accuracy(row),
        changed,
    ]


# --- promise against measurement


def _promise(row: MethodResult, served: Served) -> list[str]:
    return [
        *keys_of(row),
        _saved(served.dense_params, served.params),
        _saved(served.dense_madds, served.madds),
        _bytes(served.dense_b, served.model_b),
        size(served.model_zlib_b) if served.model_zlib_b is not None else _NONE,
        _speed_up(row),
        _accuracy(row),
        _claimed(served),
        _simulated(served),
    ]


def _accuracy(row: MethodResult) -> str:
    return percent(row.accuracy.after_mean) if row.accuracy is not None else _NONE


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points".replace("-", "−")


def _speed_up(row: MethodResult) -> str:
    if row.is_baseline:
        return "baseline"
    if row.speed_up is None:
        return clean(row.speed_up_missing or "not compared", 120)
    up = row.speed_up
    return f"{factor(up.factor)} ({factor(up.low)} to {factor(up.high)}), {up.verdict}"


def _simulated(served: Served) -> str:
    if served.simulated is None:
        return clean(f"not known: {served.simulated_reason or 'nothing tells'}", 120)
    return clean(f"yes: {served.simulated_reason}", 120) if served.simulated else "no"


def _claimed(served: Served) -> str:
    if served.claimed is None:
        return _NONE
    shares = [
        f"{percent(share, 0)} of the {what}"
        for share, what in ((served.time_share, "time"), (served.node_share, "nodes"))
        if share is not None
    ]
    return f"{served.claimed}: {', '.join(shares)}" if shares else served.claimed


def _saved(before: int | None, after: int | None) -> str:
    """Return a count, and how many times less it is than before."""
    if before is None or not after:
        return _NONE
    return f"{number(after)} ({factor(before / after)} less)" if after < before else number(after)


def _bytes(before: int | None, after: int | None) -> str:
    if before is None or not after:
        return _NONE
    return f"{size(after)} ({factor(before / after)} less)" if after < before else size(after)


# --- float and fewer bits


def _pairs(served: Sequence[_Row]) -> list[list[str]]:
    """Return a row for each network whose chain is another's and one step more, which claims a type."""
    rows = []
    for row, twin in served:
        if twin.claimed is None:
            continue
        for other, plain in served:
            same = (other.board_id, other.task, other.threads) == (row.board_id, row.task, row.threads)
            if same and plain.claimed is None and plain.chain == twin.chain[:-1]:
                rows.append(_pair(other, plain, row, twin))
                break
    return rows


def _pair(float_row: MethodResult, plain: Served, row: MethodResult, twin: Served) -> list[str]:
    blocks = sorted(set(plain.own_p50_s) & set(twin.own_p50_s))
    speed = _NONE
    if twin.simulated:
        speed = _SIMULATED
    elif blocks:
        # The twin stands as the baseline, so that above 1 it is the faster of the two.
        made = compare([twin.own_p50_s[b] for b in blocks], [plain.own_p50_s[b] for b in blocks], delta=0.02)
        speed = f"{factor(made.ratio)} ({factor(made.low)} to {factor(made.high)})"
    points = _NONE
    if row.accuracy is not None and float_row.accuracy is not None:
        points = _points(row.accuracy.after_mean - float_row.accuracy.after_mean)
    return [
        clean(row.board_id, 40),
        clean(row.task, 60),
        clean(float_row.label, 40),
        clean(row.label, 40),
        str(len(blocks)),
        speed,
        points,
        percent(twin.agreement) if twin.agreement is not None else _NONE,
        f"{twin.max_difference:.3g}" if twin.max_difference is not None else _NONE,
    ]


# --- accuracy against time, energy


def _fronts(served: Sequence[_Row]) -> list[list[str]]:
    rows = []
    for task in _by_task(served):
        able = [row for row, numbers in task if not numbers.simulated]
        known = points(able, "time")
        if len(known) < 2:
            continue
        best = {point.label for point in frontier(known)}
        shown = {point.label: point for point in known}
        for row in able:
            if row.label in shown:
                point = shown[row.label]
                word = "yes" if row.label in best else "no"
                rows.append([*keys_of(row), seconds(point.cost), percent(point.good), word])
    return rows


def _energies(served: Sequence[_Row], rows: Sequence[MethodResult]) -> list[list[str]]:
    """Return a row for each chain whose energy was measured; none where none was."""
    cells = []
    for task in _by_task(served):
        baseline = next((row for row, _ in task if row.is_baseline), None)
        for row, numbers in task:
            if row.energy is not None:
                net = joules(row.energy.net_j.median) if row.energy.net_j is not None else _NONE
                cells.append(
                    [
                        *keys_of(row),
                        SCOPE_NAMES.get(row.energy.scope, row.energy.scope),
                        joules(row.energy.gross_j.median),
                        net,
                        *_repaid(row, numbers, baseline, _tuning(row, rows)),
                    ]
                )
    return cells


def _tuning(row: MethodResult, rows: Sequence[MethodResult]) -> MethodResult | None:
    """Return the fine-tuning that was measured on the same board, data and model: a baseline before others."""
    able = [
        other
        for other in rows
        if other.inference is None
        and not other.aa_control
        and (other.board_id, other.dataset, other.model) == (row.board_id, row.dataset, row.model)
        and other.energy is not None
        and row.energy is not None
        and other.energy.scope == row.energy.scope
    ]
    return max(able, key=lambda other: other.is_baseline, default=None)


def _repaid(
    row: MethodResult, served: Served, baseline: MethodResult | None, tuning: MethodResult | None
) -> list[str]:
    """Return three cells: joules of a fine-tuning, joules saved on each inference, inferences until those are repaid."""
    spent, spent_j = _NONE, None
    if tuning is not None and tuning.energy is not None:
        spent_j = tuning.energy.gross_j.median
        spent = f"{joules(spent_j)} ({clean(tuning.label, 40)})"
    words, saved_j = _saved_j(row, served, baseline)
    if saved_j is None:
        return [spent, words, _NONE]
    if spent_j is None:
        return [spent, words, "no fine-tuning's energy was measured on this board"]
    return [spent, words, number(round(spent_j / saved_j))]


def _saved_j(row: MethodResult, served: Served, baseline: MethodResult | None) -> tuple[str, float | None]:
    """Return what a chain saves on each inference, in words and in joules; None where no saving is shown."""
    if row.is_baseline:
        return "baseline", None
    if served.simulated:
        return _SIMULATED, None
    compared = row.judged("energy")
    if baseline is None or baseline.energy is None or compared is None:
        return "not compared with the baseline's", None
    if compared.high >= 1 or compared.withheld:
        low, high = factor(compared.low), factor(compared.high)
        return f"none is shown: {factor(compared.value)} ({low} to {high})", None
    saved_j = baseline.energy.gross_j.median * (1 - compared.value)
    return joules(saved_j), saved_j


SECTION = EdgeWorkflowSection()
