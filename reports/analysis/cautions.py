"""What one may not conclude from a run, in words generated from its data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tunebench.reports.analysis.answers.options import failed_check
from tunebench.reports.analysis.energy import MISSES, PARTIAL, SCOPE_NAMES
from tunebench.reports.analysis.measured import Caution, Control, Measured
from tunebench.reports.analysis.row import MethodResult, SpeedUp, Verdict
from tunebench.reports.analysis.verdict_words import effect, settling
from tunebench.reports.formatting.units import clean, percent, seconds, signed_percent
from tunebench.reports.stats.attainable import verdict_possible
from tunebench.reports.stats.paired import MIN_BLOCKS

#: Below this many seeds a difference in accuracy is told but not claimed.
MIN_SEEDS = 5
#: So far apart (a share) two methods may start where the number of test items is not told.
_SAME_START = 0.002


def cautions(summary: Measured) -> list[Caution]:
    """Return the conclusions that this run does not support, the gravest first, in sentences made from its data."""
    return [caution for check in _CHECKS for caution in check(summary)]


def _names(values: list[str], limit: int = 4) -> str:
    names = [clean(value, 60) for value in dict.fromkeys(values)]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _records(summary: Measured) -> Iterator[Caution]:
    run, counts = summary.run, summary.counts
    if not run.complete:
        planned = counts.planned
        of = f" of {planned} planned" if planned else ""
        yield Caution(
            "incomplete",
            f"The run is not complete: {counts.recorded}{of} repetitions are recorded. "
            "Resume it before drawing conclusions.",
        )
    if summary.warnings:
        yield Caution("unreadable", f"Some records could not be read: {_names(summary.warnings, 3)}.")
    if not summary.rows:
        yield Caution("empty", "No repetition was recorded: there is nothing to conclude.")


def _aa(summary: Measured) -> Iterator[Caution]:
    results = summary.aa
    if not results and summary.rows:
        yield Caution(
            "no-aa",
            "No A/A control was run: how far two runs of the same method differ here is not known.",
        )
    for control in results:
        where = f"{clean(control.board_id, 60)} ({clean(control.task, 60)})"
        times = control.speed_up
        if times is not None and control.result == "failed":
            yield Caution(
                "aa-failed",
                f"The A/A control failed on {where}: "
                f"the same method under two names differs by {signed_percent(times.ratio - 1)}. "
                "No verdict on times is given there.",
            )
        elif times is not None and control.result != "passed" and times.n > 1:
            yield _aa_words(control, times)
        for name, quantity in control.quantities.items():
            if name != "time" and quantity.result == "failed" and isinstance(quantity.verdict, Verdict):
                yield Caution(
                    "aa-failed",
                    f"The A/A control failed in {name} on {where}: "
                    f"the same method under two names differs by {effect(quantity.verdict)}. "
                    f"No verdict on {name} is given there.",
                )


def _aa_words(control: Control, speed_up: SpeedUp) -> Caution:
    """Return the caution of an A/A control that was not judged SAME: how far the method differed from itself."""
    most = max(abs(speed_up.low - 1), abs(speed_up.high - 1))
    return Caution(
        "aa-open",
        f"On {clean(control.board_id, 60)} ({clean(control.task, 60)}) the same method under two names differed "
        f"from itself by up to {percent(most)}: a difference of that size may be noise.",
    )


def _correctness(summary: Measured) -> Iterator[Caution]:
    for check in summary.checks:
        if failed_check(check):
            why = clean(check.reason or "cached and recomputed training disagree")
            yield Caution(
                "incorrect",
                f"{clean(check.label, 60)} did not pass its correctness check on "
                f"{clean(check.board_id, 60)} ({why}): its speed means nothing.",
            )


def _failed(summary: Measured) -> Iterator[Caution]:
    timed = summary.counts.timed
    lost = {name: timed[name] for name in ("failed", "invalid") if timed[name]}
    if lost:
        counts = " and ".join(f"{n} {name}" for name, n in lost.items())
        total = sum(timed.values())
        yield Caution(
            "left-out",
            f"{counts} of {total} timed repetitions stand in no number. "
            "If a method fails more often than the others, its median flatters it.",
        )


def _shared(summary: Measured) -> Iterator[Caution]:
    boards = [board.board_id for board in summary.environment if board.kind == "loopback"]
    if boards:
        yield Caution(
            "shared-machine",
            f"{_names(boards)}: a loopback board is the host's own machine, shared with the host and "
            "whatever else runs there. Its times are degraded and say nothing about a Pi or a Jetson.",
        )


def _emulated(summary: Measured) -> Iterator[Caution]:
    boards = [board.board_id for board in summary.environment if board.emulated]
    if boards:
        yield Caution(
            "emulated",
            f"{_names(boards)}: emulated. Its times are the emulator's, not a board's; "
            "accuracy, sizes and counts hold, times, temperatures and energy do not.",
        )


def _blocks(summary: Measured) -> Iterator[Caution]:
    few = [
        (row, row.speed_up.n, needed.blocks or 1)
        for row in summary.rows
        if row.speed_up
        and not row.aa_control
        and row.speed_up.verdict == "NO VERDICT"
        and (needed := settling(row.speed_up)) is not None
    ]
    if few:
        least = min(n for _, n, _ in few)
        # Holm's correction asks for more blocks where more methods are compared.
        needed_of = sorted({n + more for _, n, more in few})
        compared = [row for row in summary.rows if row.speed_up and not row.aa_control]
        where = _where([row for row, _, _ in few], compared)
        fewest = " or ".join(dict.fromkeys(str(needed) for needed in (needed_of[0], needed_of[-1])))
        interval_note = "the intervals shown are the range seen, not a claim about the next run"
        if least == 1:
            interval_note = "one block shows no spread at all"
        yield Caution(
            "few-blocks",
            f"{least} block{'s' if least != 1 else ''}{where}: too few for a verdict, which needs at least {fewest}"
            f"{' with so many methods' if needed_of[-1] > MIN_BLOCKS else ''}; {interval_note}.",
        )


def _where(rows: Sequence[MethodResult], among: Sequence[MethodResult]) -> str:
    """Name the boards and tasks of some rows, as words behind a number; nothing where all rows' are meant."""
    some = dict.fromkeys((row.board_id, row.task) for row in rows)
    if len(some) == len({(row.board_id, row.task) for row in among}):
        return ""
    return f" in {_names([f'{task} on {board}' for board, task in some])}"


def _added_blocks(summary: Measured) -> Iterator[Caution]:
    """Caution where blocks were added to a run that could have had verdicts before: each time was a look at them."""
    compared = Counter(
        (row.board_id, row.task) for row in summary.rows if not row.is_baseline and not row.aa_control
    )
    looks = [
        blocks
        for blocks in summary.run.earlier_blocks or ()
        if any(verdict_possible(blocks, claims) for claims in compared.values())
    ]
    if looks:
        counts = " and ".join(str(blocks) for blocks in looks)
        yield Caution(
            "added-blocks",
            f"Blocks were added after verdicts had been possible (at {counts} blocks). Whoever adds blocks until a "
            f"verdict pleases is wrong more often than one look says: up to {len(looks) + 1} times as often.",
        )


def _pairs(summary: Measured) -> Iterator[Caution]:
    """Say of each verdict on time that is open what would settle it: methods of which the same holds stand together."""
    groups = {(row.board_id, row.task) for row in summary.rows}
    by_words: dict[str, list[str]] = {}
    for row in summary.rows:
        if row.speed_up is None or row.speed_up.verdict != "UNCLEAR" or row.aa_control:
            continue
        needed = settling(row.speed_up)
        if needed is not None:
            where = f" ({clean(row.board_id, 30)}, {clean(row.task, 30)})" if len(groups) > 1 else ""
            by_words.setdefault(needed.words, []).append(f"{clean(row.label, 40)}{where}")
    for words, labels in by_words.items():
        yield Caution(
            "unclear",
            f"{_names(labels)}: whether the times differ by more than ±{percent(summary.delta['time'], 0)} is open; "
            f"{words}.",
        )


def _work(summary: Measured) -> Iterator[Caution]:
    for row in summary.rows:
        if row.unequal_params:
            yield Caution(
                "unequal-work",
                f"{clean(row.label, 60)} did not do the baseline's work "
                f"({_names(row.unequal_params)}): its speed-up is not the method's alone.{_once_an_epoch(row, summary)}",
            )


def _baseline_of(row: MethodResult, summary: Measured) -> MethodResult | None:
    """Return the baseline's row on the same board and task, under the same conditions if there is one."""
    others = [
        other
        for other in summary.rows
        if other.is_baseline and (other.board_id, other.task) == (row.board_id, row.task)
    ]
    alike = [other for other in others if (other.engine, other.device) == (row.engine, row.device)]
    return next(iter(alike or others), None)


def _once_an_epoch(row: MethodResult, summary: Measured) -> str:
    """Return what most likely happened where a module of one's own made as many times more steps as it had epochs."""
    base, epochs = _baseline_of(row, summary), row.params.get("epochs")
    if base is None or not row.own or not isinstance(epochs, int) or epochs < 2:
        return ""
    if not row.steps or not base.steps or row.steps != epochs * base.steps:
        return ""
    return (
        f" It made {epochs} times as many steps in {epochs} epochs: batches(spec) is called once an epoch and returns the"
        " batches of that epoch alone."
    )


def _start(summary: Measured) -> Iterator[Caution]:
    """Find methods that did not start where their baseline did: other start weights, other test data, or a mistake."""
    for row in summary.rows:
        base = _baseline_of(row, summary)
        if base is None or base is row or row.accuracy is None or base.accuracy is None:
            continue
        own, theirs = row.accuracy, base.accuracy
        if own.before_mean is None or theirs.before_mean is None or own.metric != theirs.metric:
            continue
        items = [accuracy.n_items for accuracy in (own, theirs) if accuracy.n_items]
        # Engines round differently: one test item may fall on the other side.
        tolerated = 1.5 / min(items) if items else _SAME_START
        if abs(own.before_mean - theirs.before_mean) > tolerated:
            yield Caution(
                "unequal-start",
                f"{clean(row.label, 60)} starts at {own.metric} {percent(own.before_mean)} on "
                f"{clean(row.board_id, 60)}, its baseline {clean(base.label, 60)} at {percent(theirs.before_mean)}: they"
                " had not the same start weights or test data, so where they end does not compare.",
            )


def _conditions(summary: Measured) -> Iterator[Caution]:
    if len({row.board_id for row in summary.rows}) > 1:
        yield Caution(
            "boards",
            "Boards are never pooled: every number is of one board, and speed-ups are within a board.",
        )
    names = ("engine_build", "device", "threads", "dtype", "power_mode")
    if len({tuple(getattr(row, name) for name in names) for row in summary.rows}) > 1:
        yield Caution(
            "conditions",
            "Rows that differ in engine build, device, threads, dtype or power mode are not compared.",
        )
    for task in dict.fromkeys(row.task for row in summary.rows):
        engines = list(dict.fromkeys(row.engine for row in summary.rows if row.task == task))
        if len(engines) > 1:
            yield Caution(
                "engines",
                f"{clean(task, 60)} holds rows of different engines ({_names(engines)}): "
                "a difference between them is the method's and the engine's together.",
            )


def _energy(summary: Measured) -> Iterator[Caution]:
    without: dict[str, list[str]] = {}
    for row in summary.rows:
        if row.energy is None and row.n:
            without.setdefault(str(row.energy_missing), []).append(row.board_id)
    for reason, boards in without.items():
        yield Caution(
            "no-energy", f"Nothing about energy on {_names(boards)}: {clean(reason, 300).rstrip('.')}."
        )
    sources = {(row.energy.scope, row.energy.source) for row in summary.rows if row.energy}
    if len({scope for scope, _ in sources}) > 1:
        yield Caution(
            "energy-scopes",
            "Energy was measured at different points of the supply "
            f"({_names(sorted(scope for scope, _ in sources))}): joules of different scopes do not compare.",
        )
    for scope in sorted({scope for scope, _ in sources} & set(PARTIAL)):
        where = {row.board_id for row in summary.rows if row.energy and row.energy.scope == scope}
        yield Caution(
            "energy-partial",
            f"Energy on {_names(sorted(where))} is not the whole board's: {SCOPE_NAMES[scope]} {MISSES[scope]}.",
        )


def _accuracy(summary: Measured) -> Iterator[Caution]:
    known = [row.accuracy for row in summary.rows if row.accuracy]
    if not known:
        return
    seeds = min(accuracy.n for accuracy in known)
    able = [row for row in summary.rows if row.accuracy]
    where = _where([row for row in able if row.accuracy and row.accuracy.n < MIN_SEEDS], able)
    items = [accuracy.n_items for accuracy in known if accuracy.n_items]
    if seeds < MIN_SEEDS:
        grain = f" One test item of {min(items)} is {percent(1 / min(items), 2)}." if items else ""
        yield Caution(
            "few-seeds",
            f"Accuracy rests on {seeds} seed{'s' if seeds != 1 else ''}{where} (at least {MIN_SEEDS} are needed to "
            f"claim a difference): read small gaps as equal.{grain}",
        )


def _environment(summary: Measured) -> Iterator[Caution]:
    for board in summary.environment:
        if board.changed:
            keys = _names([f"{change.tier}.{change.key}" for change in board.changed])
            yield Caution(
                "environment-changed", f"{clean(board.board_id, 60)} changed during the campaign: {keys}."
            )


def _skipped(summary: Measured) -> Iterator[Caution]:
    skipped = summary.skipped
    if skipped:
        gaps = [f"{skip.get('label') or 'all methods'} on {skip.get('board_id')}" for skip in skipped]
        yield Caution("skipped", f"Not measured: {_names(gaps)} (reasons stand under Environment).")
    # A runtime's row tells the median of many calls: its window is longer.
    calls = {(row.task, row.label) for row in summary.rows if row.inference is not None}
    timed = [rep for rep in summary.repetitions if rep.role == "timed" and (rep.task, rep.label) not in calls]
    windows = [rep.wall_s for rep in timed if rep.wall_s]
    if windows and min(windows) < 0.05:
        yield Caution(
            "short-window",
            f"The shortest window lasts {seconds(min(windows))}: clock reads and scheduling weigh on it.",
        )


_CHECKS: tuple[Callable[[Measured], Iterator[Caution]], ...] = (
    _records, _aa, _correctness, _failed, _shared, _emulated, _blocks, _added_blocks, _pairs, _work, _start,
    _conditions, _energy, _accuracy, _environment, _skipped,
)  # fmt: skip
