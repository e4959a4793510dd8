"""github-action-benchmark's JSON for its tool ``customSmallerIsBetter``: a list of name, unit, value, range and extra.

A file holds what is better the smaller it is: time, energy, memory, instructions. Accuracy, for which the action has
another tool (``customBiggerIsBetter``), is not in it.
"""

from __future__ import annotations

import json

from tunebench.reports.exports.figures import Figure, figures, named, summary_of, write_text
from tunebench.reports.results.reader import RunReader
from tunebench.reports.summary import Summary

_UNITS = {"seconds": "s", "joules": "J", "bytes": "B", "instructions": "instructions"}


def export(reader: RunReader, to: str | None) -> str | None:
    """Write the run for the action's ``output-file-path``."""
    return write_text(json.dumps(value_of(summary_of(reader)), indent=2, allow_nan=False) + "\n", to)


def value_of(summary: Summary) -> list[dict[str, str | float]]:
    """Return an entry for each figure of each method on each board."""
    return [
        _entry(f"{name} / {figure.name}", figure, summary.run.run_id)
        for name, row in named(list(summary.rows))
        for figure in figures(row)
        if figure.smaller_is_better
    ]


def _entry(name: str, figure: Figure, run_id: str) -> dict[str, str | float]:
    entry: dict[str, str | float] = {"name": name, "unit": _UNITS[figure.unit], "value": figure.value}
    if figure.low is not None and figure.high is not None:
        # One number: the action's chart shows it as ± behind the value.
        entry["range"] = f"± {max(figure.value - figure.low, figure.high - figure.value):.4g}"
    entry["extra"] = f"median of {figure.n} repetitions, run {run_id}"
    return entry
