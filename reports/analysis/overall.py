"""Beyond one comparison: a method over several boards, and what it takes to reach the baseline's quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.quantities import values
from tunebench.reports.stats.across_boards import across_boards
from tunebench.reports.stats.paired import median_interval
from tunebench.reports.stats.time_to_accuracy import (
    ToQuality,
    compare_to_quality,
    to_quality,
    value_at_quality,
)

_BY_BOARD = ("time", "energy")


def across(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ratios of each method over the boards that measured it: per board first, then the geometric mean.

    Only boards under the same conditions meet (engine build and power mode may differ: they are the board's); for
    energy only those with the same scope and source. Emulated boards are left out: their times are the emulator's.
    """
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["aa_control"] or row["is_baseline"]:
            continue
        for name in _BY_BOARD:
            told = row["verdicts"].get(name)
            if told and told["verdict"]:
                same = (row["engine"], row["device"], row["threads"], row["dtype"])
                key = (row["task"], row["label"], row["baseline"], name, told["kind"], same)
                found.setdefault(key, []).append(row)
    return [one for key, members in found.items() if (one := _over_boards(key, members)) is not None]


def _over_boards(key: tuple[Any, ...], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    task, label, baseline, name, kind, same = key
    real = [row for row in rows if not row["emulated"]]
    by_board = {row["board_id"]: row["verdicts"][name] for row in real}
    # A board that ran a method twice (two builds, two power modes) has no one ratio: it is told, not chosen.
    twice = [board for board in by_board if sum(row["board_id"] == board for row in real) > 1]
    by_board = {board: told for board, told in by_board.items() if board not in twice}
    if len(by_board) < 2:
        return None
    one = across_boards([told["value"] for told in by_board.values()])
    left_out = {row["board_id"]: "emulated" for row in rows if row["emulated"]}
    left_out |= dict.fromkeys(twice, "measured under more than one build or power mode")
    return {
        "quantity": name,
        "task": task,
        "label": label,
        "baseline": baseline,
        "kind": kind,
        "engine": same[0],
        "device": same[1],
        "threads": same[2],
        "dtype": same[3],
        "ratio": one.ratio,
        "low": one.low,
        "high": one.high,
        "interval": one.interval,
        "spread": one.spread,
        "boards": [
            {"board_id": board, "ratio": told["value"], "verdict": told["verdict"], "n": told["n"]}
            for board, told in by_board.items()
        ],
        "left_out": left_out,
    }


def quality_target(base: Cell | None, given: float | None, delta_points: float) -> tuple[float, str] | None:
    """(target, where it comes from): the suite's, else the baseline's median end less what does not matter."""
    if given is not None:
        return given, "the suite's target"
    ends = [rep.quality.curve[-1][2] for rep in base.instrumented if rep.quality.curve] if base else []
    if base is None or not ends:
        return None
    target = median_interval(ends).median - delta_points / 100
    return target, f"where {base.first.label} ends, less {delta_points:g} points"


def reach(cell: Cell, base: Cell | None, target: tuple[float, str] | None, delta: float) -> dict[str, Any]:
    """What a cell's instrumented repetitions took to reach the target; runs that never did are counted as such."""
    runs = _runs(cell)
    if target is None or not runs:
        return {"target": None, "missing": "no instrumented repetition tells its quality on the way"}
    level, source = target
    seconds = {block: value_at_quality(times, marks, level) for block, (times, marks) in runs.items()}
    joules, why = _joules(cell, runs, seconds)
    told: dict[str, Any] = {
        "target": level,
        "target_source": source,
        "missing": None,
        "time_s": _told(to_quality(list(seconds.values()))),
        "energy_j": _told(to_quality(joules)) if joules else None,
        "energy_missing": why,
        "against_baseline": None,
    }
    theirs = {b: value_at_quality(t, m, level) for b, (t, m) in _runs(base).items()} if base else {}
    blocks = sorted(b for b in set(seconds) & set(theirs) if seconds[b] != 0 and theirs[b] != 0)
    if base is not None and base is not cell and blocks:
        found = compare_to_quality([theirs[b] for b in blocks], [seconds[b] for b in blocks], delta=delta)
        told["against_baseline"] = {
            "ratio": found.ratio,
            "low": found.low,
            "high": found.high,
            "verdict": found.verdict,
            "n": found.n,
            "neither": found.neither,
        }
    return told


def _runs(cell: Cell) -> dict[int, tuple[list[float], list[float]]]:
    """Block -> (seconds of training so far, quality) of its instrumented repetition."""
    return {
        rep.block: ([point[1] for point in rep.quality.curve], [point[2] for point in rep.quality.curve])
        for rep in cell.instrumented
        if rep.quality.curve
    }


def _joules(
    cell: Cell, runs: Mapping[int, tuple[list[float], list[float]]], seconds: Mapping[int, float | None]
) -> tuple[list[float | None], str | None]:
    """Joules to the target: the cell's median of a whole fine-tuning times the share of training it took.

    Marks cost energy, so joules come from unmarked repetitions; that power is even over the training is assumed.
    """
    known = values(cell, "energy")
    if not known.by_source:
        return [], known.missing
    whole = median_interval(list(next(iter(known.by_source.values())).values())).median
    shares = [
        None if at is None else at / runs[block][0][-1]
        for block, at in seconds.items()
        if runs[block][0][-1] > 0
    ]
    return [None if share is None else whole * share for share in shares], None


def _told(found: ToQuality) -> dict[str, Any]:
    return {
        "n": found.n,
        "reached": found.reached,
        "median": found.median,
        "low": found.low,
        "high": found.high,
        "interval": found.kind,
        "olympic": found.olympic,
    }
