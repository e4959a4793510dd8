"""Energy of one fine-tuning: medians over a cell's energy repetitions, a column of its own for each scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, get_args

from tunebench.reports.figures import DataTable
from tunebench.reports.layout import rep_class
from tunebench.reports.records import Energy, Repetition, Scope
from tunebench.reports.stats import median_interval
from tunebench.reports.units import clean, percent, significant

SCOPES: tuple[str, ...] = get_args(Scope)
SCOPE_NAMES = {
    "wall_ac": "at the wall",
    "dc_input": "DC input",
    "board_input": "board input",
    "module": "module only",
    "rails_sum": "sum of rails",
    "soc_rail": "SoC rail only",
}
#: What a number of this scope does not tell.
MISSES = {
    "wall_ac": "holds the power supply's own losses (10 to 25%)",
    "dc_input": "leaves out the power supply's losses",
    "board_input": "leaves out the power supply's losses",
    "module": "leaves out the carrier board, its converters and the power supply (some 15% of a small board's input)",
    "rails_sum": "is a lower bound: what is fed straight from the input (USB, storage, fan, HATs) and the converters' "
    "losses are missing",
    "soc_rail": "is one rail: the rest of the board is missing, memory as a rule too",
}
#: Scopes that do not hold all that the board draws.
PARTIAL = ("module", "rails_sum", "soc_rail")
CAPTION = (
    "Energy of one fine-tuning: a window of k whole fine-tunings from the same start weights, its energy over k; "
    "median and interval over repetitions. Gross is all that the scope draws, net is less the idle board."
)
#: More time than this between fine-tunings of a window is told.
MAX_RESTART_SHARE = 0.01

Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def energy_reps(reps: Sequence[Repetition]) -> list[Repetition]:
    """Those of role ``energy`` that may stand in a number; of several attempts in one block the last."""
    kept = {
        rep.block: rep for rep in reps if rep.role == "energy" and rep_class(rep) in ("valid", "degraded")
    }
    return list(kept.values())


def joules(reps: Sequence[Repetition]) -> dict[str, Any]:
    """``joules`` (one entry a scope and source, widest scope first) and ``joules_missing`` of a cell.

    Args:
        reps: all of a cell's repetitions.
    """
    wanted = [rep for rep in reps if rep.role == "energy"]
    if not wanted:
        return {"joules": [], "joules_missing": "no energy repetition was run"}
    kept = energy_reps(reps)
    if not kept:
        told = next((rep.outcome_reason for rep in wanted if rep.outcome_reason), None)
        told = told or next((one.message for rep in wanted for one in rep.reasons), None)
        return {"joules": [], "joules_missing": told or "no energy repetition that may be used"}
    found = by_source(kept)
    if not found:
        reasons = [rep.missing.get("energy") or rep.missing.get("power") for rep in kept]
        told = next((reason for reason in reasons if reason), "the records give no reason")
        return {"joules": [], "joules_missing": told}
    order = sorted(found, key=lambda key: SCOPES.index(key[0]))
    return {"joules": [_entry(found[key], len(kept)) for key in order], "joules_missing": None}


Pair = tuple[Repetition, Energy]


def by_source(reps: Sequence[Repetition]) -> dict[tuple[str, str], list[Pair]]:
    """Energies by scope and source: never pooled over either."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for rep in reps:
        for one in [rep.energy, *rep.energy_other]:
            if one is not None and one.repeats:
                found.setdefault((one.scope, one.source), []).append((rep, one))
    return found


def _entry(pairs: Sequence[Pair], n_all: int) -> dict[str, Any]:
    energies = [one for _, one in pairs]
    first = energies[0]
    gross = [one.gross_j / one.repeats for one in energies]
    nets = [one.net_j / one.repeats for one in energies if one.net_j is not None]
    reasons = [one.net_reason for one in energies if one.net_j is None]
    idle = [w for one in energies for w in (one.idle_before_w, one.idle_after_w) if w is not None]
    errors = [one.error_j / one.gross_j for one in energies if one.error_j is not None and one.gross_j > 0]
    bounds = [one.clock_bound_s for one in energies if one.clock_bound_s is not None]
    shares = [1 - sum(rep.repeats_s) / rep.wall_s for rep, _ in pairs if _is_whole(rep) and rep.wall_s]
    return {
        "scope": first.scope,
        "source": first.source,
        "rails": first.rails,
        "corrected": any(one.corrected for one in energies),
        "n": len(energies),
        "n_refused": n_all - len(energies),
        "k": sorted(one.repeats for one in energies)[len(energies) // 2],
        "j": _spread(gross),
        "net_j": _spread(nets) if nets else None,
        "net_missing": (reasons[0] or "no reason recorded") if reasons else None,
        "mean_w": median(one.mean_w for one in energies),
        "idle_w": median(idle) if idle else None,
        "quantum_w": first.quantum_w,
        "min_samples": min(one.n_samples for one in energies),
        "max_gap_s": max(one.max_gap_s for one in energies),
        "error_share": max(errors, default=None),
        "clock_bound_s": max(bounds, default=None),
        "restart_share": max(shares, default=None),
        "rep_ids": [rep.rep_id for rep, _ in pairs],
        "misses": MISSES[first.scope],
    }


def _is_whole(rep: Repetition) -> bool:
    """Whether the record holds the seconds of every fine-tuning: a long series is thinned."""
    return bool(rep.repeats_s) and rep.repeats == len(rep.repeats_s)


def _spread(values: Sequence[float]) -> dict[str, Any]:
    found = median_interval(list(values))
    return {
        "n": found.n,
        "median": found.median,
        "low": found.low,
        "high": found.high,
        "interval": found.kind,
        "confidence": found.confidence,
    }


def one_scope_a_column(rows: Sequence[dict[str, Any]]) -> None:
    """Keep one scope a board and task in ``energy``, the widest: what differs stands under its own in ``joules``."""
    widest: dict[tuple[str, str], str] = {}
    for row in rows:
        if row["energy"]:
            key, scope = (row["board_id"], row["task"]), row["energy"]["scope"]
            widest[key] = min(widest.get(key, scope), scope, key=SCOPES.index)
    for row in rows:
        kept = widest.get((row["board_id"], row["task"]))
        if row["energy"] and row["energy"]["scope"] != kept:
            scope = row["energy"]["scope"]
            row["energy"] = None
            row["energy_missing"] = (
                f"measured as {SCOPE_NAMES[scope]} only; this column holds {SCOPE_NAMES[str(kept)]}"
            )


def joules_lines(rows: Sequence[Mapping[str, Any]], grid: Grid) -> str | None:
    """For the text table; ``None`` without energy repetitions."""
    table = joules_table(rows)
    return f"{CAPTION}\n{grid(table.columns, table.rows)}" if table else None


def joules_table(rows: Sequence[Mapping[str, Any]]) -> DataTable | None:
    """One row a method, two columns a scope; ``None`` without energy repetitions."""
    rows = [row for row in rows if row["joules"]]
    if not rows:
        return None
    scopes = [
        scope for scope in SCOPES if any(one["scope"] == scope for row in rows for one in row["joules"])
    ]
    columns = ["method", "board", "task", "k"]
    for scope in scopes:
        columns += [f"gross J ({SCOPE_NAMES[scope]})", f"net J ({SCOPE_NAMES[scope]})"]
    columns += ["against the baseline", "power", "source"]
    return DataTable(CAPTION, columns, [_row(row, scopes) for row in rows])


def _row(row: Mapping[str, Any], scopes: Sequence[str]) -> list[str]:
    cells = [clean(row["label"], 32), clean(row["board_id"], 40), clean(row["task"], 40)]
    cells.append(str(row["joules"][0]["k"]))
    for scope in scopes:
        # Two sources of one scope (two meters): each is told, neither is pooled.
        found = [one for one in row["joules"] if one["scope"] == scope]
        cells.append(" / ".join(_words(one["j"]) for one in found) or "-")
        cells.append(" / ".join(_words(one["net_j"]) if one["net_j"] else "-" for one in found) or "-")
    cells.append(_against_words(row.get("energy_ratio")))
    cells.append(" / ".join(_watts(one) for one in row["joules"]))
    cells.append(" / ".join(clean(one["source"], 40) for one in row["joules"]))
    return cells


def _words(spread: Mapping[str, Any]) -> str:
    middle = significant(spread["median"])
    if spread["n"] == 1:
        return f"{middle}, one value"
    star = "*" if spread["interval"] == "range" else ""
    return f"{middle} [{significant(spread['low'])}, {significant(spread['high'])}]{star}, n {spread['n']}"


def _against_words(ratio: Mapping[str, Any] | None) -> str:
    if ratio is None:
        return "-"
    return f"{significant(ratio['ratio'])} ({ratio['verdict'].lower()}, {SCOPE_NAMES[ratio['scope']]})"


def _watts(one: Mapping[str, Any]) -> str:
    idle = f", idle {significant(one['idle_w'])} W" if one["idle_w"] is not None else ""
    return f"{significant(one['mean_w'])} W{idle}"


def notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the energies leave out, and why some are missing; each sentence once."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for one in row["joules"]:
            scope = SCOPE_NAMES[one["scope"]]
            found.setdefault(f"Energy of the scope '{scope}' {one['misses']}", [])
            if one["corrected"]:
                found.setdefault(f"Energy of the scope '{scope}' was corrected by a model: an estimate", [])
            if one["net_missing"]:
                told = f"No net energy ({scope}): {clean(one['net_missing'], 300).rstrip('.')}"
                found.setdefault(told, []).append(row["label"])
            if (one["restart_share"] or 0.0) > MAX_RESTART_SHARE:
                share = percent(one["restart_share"], 1)
                told = f"Going back to the start weights took {share} of the window and is part of its energy"
                found.setdefault(told, []).append(row["label"])
    return [f"{text}{_labels(names)}." for text, names in found.items()]


def _labels(names: Sequence[str]) -> str:
    shown = [clean(name, 32) for name in dict.fromkeys(names)]
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return f" ({', '.join(shown[:6])}{more})" if shown else ""
