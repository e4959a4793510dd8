"""The section on energy: joules of a fine-tuning, as a table and as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunebench.reports.analysis.energy import SCOPE_NAMES, SCOPES
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean, percent, significant

CAPTION = (
    "Energy of one fine-tuning: a window of k whole fine-tunings from the same start weights, its energy over k; "
    "median and interval over repetitions. Gross is all that the scope draws, net is less the idle board."
)
#: More time than this between fine-tunings of a window is told.
MAX_RESTART_SHARE = 0.01

Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


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
