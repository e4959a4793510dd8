"""Power samples -> energy of the marked window, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from reports.records import Energy

#: Below these a figure would be noise (EEMBC: >= 10 s; MLPerf power: >= 60 samples, here per window of 10 s+).
MIN_WINDOW_S = 10.0
MIN_SAMPLES = 60
MIN_COVERAGE = 0.99

#: Whole-board figures first: a rail never stands for the board.
_SCOPES = ("wall_ac", "dc_input", "board_input", "module", "rails_sum", "soc_rail")


def energy_of_window(
    channels: Sequence[Mapping[str, Any]], rows: Sequence[Sequence[float | None]], window_ns: tuple[int, int]
) -> Energy | str:
    """Integrate the widest power channel over the window by trapezoid, edges interpolated.

    Args:
        channels: descriptions in column order (``kind``, ``scope``, ``source``, ``quantum``).
        rows: ``[t_ns, value, ...]``; ``None`` where a channel was not read. Held values do not occur.
        window_ns: the fine-tuning, on the board's CLOCK_MONOTONIC.

    Returns:
        The energy, or a sentence saying why it is not given.
    """
    power = [
        (_SCOPES.index(channel["scope"]), column)
        for column, channel in enumerate(channels)
        if channel.get("kind") == "power" and channel.get("scope") in _SCOPES
    ]
    if not power:
        return "no power sensor on this board"
    column = min(power)[1]
    channel = channels[column]
    points = [
        (int(row[0] or 0), float(row[column + 1] or 0.0)) for row in rows if row[column + 1] is not None
    ]
    start_ns, end_ns = window_ns
    window_s = (end_ns - start_ns) / 1e9
    if window_s < MIN_WINDOW_S:
        return f"the window of {window_s:.2f} s is shorter than the {MIN_WINDOW_S:g} s a meter needs"
    inside = [point for point in points if start_ns <= point[0] <= end_ns]
    if len(inside) < MIN_SAMPLES:
        return f"{len(inside)} power samples in the window; {MIN_SAMPLES} are needed"
    covered_s = (min(points[-1][0], end_ns) - max(points[0][0], start_ns)) / 1e9
    if covered_s < MIN_COVERAGE * window_s:
        return f"power samples cover {100 * covered_s / window_s:.1f}% of the window; {100 * MIN_COVERAGE:g}% needed"
    clipped = _clip(points, start_ns, end_ns)
    gross_j = sum((b[0] - a[0]) / 1e9 * (a[1] + b[1]) / 2 for a, b in pairwise(clipped))
    gaps = [(b[0] - a[0]) / 1e9 for a, b in pairwise(clipped)]
    return Energy(
        gross_j=gross_j,
        scope=channel["scope"],
        source=str(channel.get("source") or channel.get("id")),
        mean_w=gross_j / window_s,
        n_samples=len(inside),
        rate_hz=len(inside) / window_s,
        max_gap_s=max(gaps),
        quantum_w=channel.get("quantum"),
    )


def _clip(points: Sequence[tuple[int, float]], start_ns: int, end_ns: int) -> list[tuple[int, float]]:
    """The points inside the window, with interpolated ones at both edges where neighbours exist."""
    inside = [point for point in points if start_ns <= point[0] <= end_ns]
    before = [point for point in points if point[0] < start_ns]
    after = [point for point in points if point[0] > end_ns]
    if before:
        inside.insert(0, (start_ns, _between(before[-1], inside[0], start_ns)))
    if after:
        inside.append((end_ns, _between(inside[-1], after[0], end_ns)))
    return inside


def _between(a: tuple[int, float], b: tuple[int, float], t_ns: int) -> float:
    return a[1] + (b[1] - a[1]) * (t_ns - a[0]) / (b[0] - a[0])
