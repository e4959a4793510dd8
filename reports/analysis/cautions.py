"""What one may not conclude from a run, in words generated from its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunebench.reports.analysis.energy import MISSES, PARTIAL, SCOPE_NAMES
from tunebench.reports.analysis.verdict_words import effect
from tunebench.reports.formatting.units import clean, percent, seconds, signed_percent
from tunebench.reports.stats.paired import MAX_BLOCKS_NEEDED, MIN_BLOCKS

#: Below this many seeds a difference in accuracy is told but not claimed.
MIN_SEEDS = 5

Caution = dict[str, str]


def cautions(summary: Mapping[str, Any]) -> list[Caution]:
    """Sentences ``{"code", "message"}``, the gravest first; each is true of this very run."""
    found: list[Caution] = []
    for check in (_records, _aa, _correctness, _failed, _shared, _emulated, _blocks, _pairs, _work):
        found += check(summary)
    for check in (_conditions, _energy, _accuracy, _environment, _skipped):
        found += check(summary)
    return found


def _caution(code: str, message: str) -> Caution:
    return {"code": code, "message": message}


def _names(values: list[str], limit: int = 4) -> str:
    names = [clean(value, 60) for value in dict.fromkeys(values)]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _records(summary: Mapping[str, Any]) -> Iterator[Caution]:
    run, counts = summary["run"], summary["counts"]
    if not run["complete"]:
        planned = counts["planned"]
        of = f" of {planned} planned" if planned else ""
        yield _caution(
            "incomplete",
            f"The run is not complete: {counts['recorded']}{of} repetitions are recorded. "
            "Resume it before drawing conclusions.",
        )
    if summary["warnings"]:
        yield _caution("unreadable", f"Some records could not be read: {_names(summary['warnings'], 3)}.")
    if not summary["rows"]:
        yield _caution("empty", "No repetition was recorded: there is nothing to conclude.")


def _aa(summary: Mapping[str, Any]) -> Iterator[Caution]:
    results = summary["aa"]
    if not results and summary["rows"]:
        yield _caution(
            "no-aa",
            "No A/A control was run: how far two runs of the same method differ here is not known.",
        )
    for one in results:
        if one["result"] == "failed":
            yield _caution(
                "aa-failed",
                f"The A/A control failed on {clean(one['board_id'], 60)} ({clean(one['task'], 60)}): "
                f"the same method under two names differs by {signed_percent(one['ratio'] - 1)}. "
                "No verdict on times is given there.",
            )
        elif "factor" in one and one["result"] != "passed" and one["n"] > 1:
            yield _aa_words(one)
        for name, told in one["quantities"].items():
            if name != "time" and told["result"] == "failed":
                yield _caution(
                    "aa-failed",
                    f"The A/A control failed in {name} on {clean(one['board_id'], 60)} "
                    f"({clean(one['task'], 60)}): the same method under two names differs by {effect(told)}. "
                    f"No verdict on {name} is given there.",
                )


def _aa_words(one: Mapping[str, Any]) -> Caution:
    """How far the same method differed from itself where that was not judged the same."""
    most = max(abs(one["low"] - 1), abs(one["high"] - 1))
    return _caution(
        "aa-open",
        f"On {clean(one['board_id'], 60)} ({clean(one['task'], 60)}) the same method under two names differed "
        f"from itself by up to {percent(most)}: a difference of that size may be noise.",
    )


def _correctness(summary: Mapping[str, Any]) -> Iterator[Caution]:
    for one in summary["checks"]:
        if one["passed"] is False or one["outcome"] != "ok":
            why = clean(one["reason"] or "cached and recomputed training disagree")
            yield _caution(
                "incorrect",
                f"{clean(one['label'], 60)} did not pass its correctness check on "
                f"{clean(one['board_id'], 60)} ({why}): its speed means nothing.",
            )


def _failed(summary: Mapping[str, Any]) -> Iterator[Caution]:
    timed = summary["counts"]["timed"]
    lost = {name: timed[name] for name in ("failed", "invalid") if timed[name]}
    if lost:
        told = " and ".join(f"{n} {name}" for name, n in lost.items())
        total = sum(timed.values())
        yield _caution(
            "left-out",
            f"{told} of {total} timed repetitions stand in no number. "
            "If a method fails more often than the others, its median flatters it.",
        )


def _shared(summary: Mapping[str, Any]) -> Iterator[Caution]:
    boards = [one["board_id"] for one in summary["environment"] if one["kind"] == "loopback"]
    if boards:
        yield _caution(
            "shared-machine",
            f"{_names(boards)}: a loopback board is the host's own machine, shared with the host and "
            "whatever else runs there. Its times are degraded and say nothing about a Pi or a Jetson.",
        )


def _emulated(summary: Mapping[str, Any]) -> Iterator[Caution]:
    boards = [one["board_id"] for one in summary["environment"] if one["emulated"]]
    if boards:
        yield _caution(
            "emulated",
            f"{_names(boards)}: emulated. Its times are the emulator's, not a board's; "
            "accuracy, sizes and counts hold, times, temperatures and energy do not.",
        )


def _blocks(summary: Mapping[str, Any]) -> Iterator[Caution]:
    few = [row["speed_up"]["n"] for row in summary["rows"] if _too_few(row)]
    if few:
        least = min(few)
        seen = "the intervals shown are the range seen, not a claim about the next run"
        if least == 1:
            seen = "one block shows no spread at all"
        yield _caution(
            "few-blocks",
            f"{least} block{'s' if least != 1 else ''}: too few for a verdict. A 95% interval needs at "
            f"least {MIN_BLOCKS}; {seen}.",
        )


def _too_few(row: Mapping[str, Any]) -> bool:
    speed = row["speed_up"]
    return speed is not None and speed["verdict"] == "NO VERDICT" and not speed["withheld"]


def _pairs(summary: Mapping[str, Any]) -> Iterator[Caution]:
    unclear = [row for row in summary["rows"] if row["speed_up"] and row["speed_up"]["verdict"] == "UNCLEAR"]
    if unclear:
        more = max(row["speed_up"]["blocks_needed"] for row in unclear)
        told = f"About {more} more block{'s' if more != 1 else ''} would settle it."
        if more >= MAX_BLOCKS_NEEDED:
            told = "No reasonable number of blocks would settle it."
        yield _caution(
            "unclear",
            f"{_names([row['label'] for row in unclear])}: whether the times differ by more than "
            f"±{percent(summary['delta']['time'], 0)} is open. {told}",
        )


def _work(summary: Mapping[str, Any]) -> Iterator[Caution]:
    for row in summary["rows"]:
        if row.get("unequal_params"):
            yield _caution(
                "unequal-work",
                f"{clean(row['label'], 60)} did not do the baseline's work "
                f"({_names(row['unequal_params'])}): its speed-up is not the method's alone.",
            )


def _conditions(summary: Mapping[str, Any]) -> Iterator[Caution]:
    if len({row["board_id"] for row in summary["rows"]}) > 1:
        yield _caution(
            "boards",
            "Boards are never pooled: every number is of one board, and speed-ups are within a board.",
        )
    names = ("engine_build", "device", "threads", "dtype", "power_mode")
    if len({tuple(row[name] for name in names) for row in summary["rows"]}) > 1:
        yield _caution(
            "conditions",
            "Rows that differ in engine build, device, threads, dtype or power mode are not compared.",
        )
    for task in dict.fromkeys(row["task"] for row in summary["rows"]):
        engines = list(dict.fromkeys(row["engine"] for row in summary["rows"] if row["task"] == task))
        if len(engines) > 1:
            yield _caution(
                "engines",
                f"{clean(task, 60)} holds rows of different engines ({_names(engines)}): "
                "a difference between them is the method's and the engine's together.",
            )


def _energy(summary: Mapping[str, Any]) -> Iterator[Caution]:
    without: dict[str, list[str]] = {}
    for row in summary["rows"]:
        if row["energy"] is None and row["n"]:
            without.setdefault(str(row["energy_missing"]), []).append(row["board_id"])
    for reason, boards in without.items():
        yield _caution(
            "no-energy", f"Nothing about energy on {_names(boards)}: {clean(reason, 300).rstrip('.')}."
        )
    sources = {(row["energy"]["scope"], row["energy"]["source"]) for row in summary["rows"] if row["energy"]}
    if len({scope for scope, _ in sources}) > 1:
        yield _caution(
            "energy-scopes",
            "Energy was measured at different points of the supply "
            f"({_names(sorted(scope for scope, _ in sources))}): joules of different scopes do not compare.",
        )
    for scope in sorted({scope for scope, _ in sources} & set(PARTIAL)):
        where = {
            row["board_id"] for row in summary["rows"] if row["energy"] and row["energy"]["scope"] == scope
        }
        yield _caution(
            "energy-partial",
            f"Energy on {_names(sorted(where))} is not the whole board's: {SCOPE_NAMES[scope]} {MISSES[scope]}.",
        )


def _accuracy(summary: Mapping[str, Any]) -> Iterator[Caution]:
    known = [row["accuracy"] for row in summary["rows"] if row["accuracy"]]
    if not known:
        return
    seeds = min(one["n"] for one in known)
    items = [one["n_items"] for one in known if one["n_items"]]
    if seeds < MIN_SEEDS:
        grain = f" One test item of {min(items)} is {percent(1 / min(items), 2)}." if items else ""
        yield _caution(
            "few-seeds",
            f"Accuracy rests on {seeds} seed{'s' if seeds != 1 else ''} (at least {MIN_SEEDS} are needed to "
            f"claim a difference): read small gaps as equal.{grain}",
        )


def _environment(summary: Mapping[str, Any]) -> Iterator[Caution]:
    for one in summary["environment"]:
        if one["changed"]:
            keys = _names([f"{change['tier']}.{change['key']}" for change in one["changed"]])
            yield _caution(
                "environment-changed", f"{clean(one['board_id'], 60)} changed during the campaign: {keys}."
            )


def _skipped(summary: Mapping[str, Any]) -> Iterator[Caution]:
    skipped = summary["skipped"]
    if skipped:
        told = [f"{one.get('label') or 'all methods'} on {one.get('board_id')}" for one in skipped]
        yield _caution("skipped", f"Not measured: {_names(told)} (reasons stand under Environment).")
    windows = [rep["wall_s"] for rep in summary["repetitions"] if rep["wall_s"] and rep["role"] == "timed"]
    if windows and min(windows) < 0.05:
        yield _caution(
            "short-window",
            f"The shortest window lasts {seconds(min(windows))}: clock reads and scheduling weigh on it.",
        )
