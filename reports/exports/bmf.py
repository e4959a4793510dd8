"""Bencher Metric Format: JSON by benchmark and measure (https://bencher.dev/docs/reference/bencher-metric-format/).

Bencher's own measure ``latency`` is in nanoseconds. The others are created at the first upload; their units are said in
docs/formats.md, since the format has no place for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tunebench.reports.exports.figures import Figure, figures, named, summary_of, write_text
from tunebench.reports.results.reader import RunReader
from tunebench.reports.summary import Summary

#: Figure -> (slug of the measure, what a value is multiplied with).
_MEASURES: Mapping[str, tuple[str, float]] = {
    "duration": ("latency", 1e9),
    "energy": ("energy", 1.0),
    "memory": ("peak-memory", 1.0),
    "instructions": ("instructions", 1.0),
    "accuracy": ("accuracy", 1.0),
}
#: The longest name of a benchmark that Bencher takes, in characters.
_MAX_NAME = 1024


def export(reader: RunReader, to: str | None) -> str | None:
    """Write the run for ``bencher run --adapter json --file FILE``."""
    return write_text(json.dumps(value_of(summary_of(reader)), indent=2, allow_nan=False) + "\n", to)


def value_of(summary: Summary) -> dict[str, dict[str, dict[str, float]]]:
    """Return the benchmarks of a run; a method of which nothing was measured is left out."""
    benchmarks = {}
    for name, row in named(list(summary.rows)):
        measures = dict(_measure(figure) for figure in figures(row))
        if measures:
            benchmarks[name[:_MAX_NAME]] = measures
    return benchmarks


def _measure(figure: Figure) -> tuple[str, dict[str, float]]:
    slug, factor = _MEASURES[figure.name]
    metric = {"value": figure.value * factor}
    for name, bound in (("lower_value", figure.low), ("upper_value", figure.high)):
        if bound is not None:
            metric[name] = bound * factor
    return slug, metric
