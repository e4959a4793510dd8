"""Differences from the baseline in energy, memory and accuracy, each with its interval and its verdict."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult, Verdict
from tunebench.reports.analysis.verdict_words import BETTER, effect, span
from tunebench.reports.figures.base.model import HALF, NARROW, WIDE, Figure, figure
from tunebench.reports.figures.base.svg import (
    Canvas,
    Scale,
    log_ticks,
    plain,
    ticks,
)
from tunebench.reports.figures.base.verdict_rows import VerdictRow, draw_row, frame
from tunebench.reports.formatting.table import DataTable

#: Whether a verdict is good news -> (marker shape, colour class); shape tells it without colour too.
_LOOKS = {True: ("right", "v-faster"), False: ("left", "v-slower")}
_OTHERS = {"SAME": ("square", "v-same"), "UNCLEAR": ("ring", "v-unclear")}
#: quantity -> (what it is, words at the axis' left and right end)
WORDS = {
    "energy": ("Energy of a fine-tuning", "← less", "more →"),
    "memory": ("Peak memory", "← less", "more →"),
    "accuracy": ("Accuracy", "← lower", "higher →"),
}


def known(rows: Sequence[MethodResult], quantity: str) -> list[tuple[str, Verdict]]:
    """Return (label, verdict) of the rows that were compared in this quantity."""
    return [(row.label, verdict) for row in rows if (verdict := row.judged(quantity)) is not None]


def effects_figure(
    ident: str,
    rows: Sequence[MethodResult],
    quantity: str,
    *,
    baseline: str,
    heading: str,
    half: bool = False,
) -> Figure:
    """Draw one row for each method: ratios on a logarithmic axis, accuracy in points on a linear axis."""
    judged = known(rows, quantity)
    name, _, _ = WORDS[quantity]
    words = "; ".join(
        f"{label}: {effect(verdict)} {span(verdict)}, {verdict.verdict.lower()}" for label, verdict in judged
    )
    table = DataTable(
        caption=f"{name} against {baseline}, paired by block",
        columns=("method", "difference", "interval", "kind", "verdict", "blocks"),
        rows=[
            [label, effect(verdict), span(verdict), _kind(verdict), verdict.verdict, str(verdict.n)]
            for label, verdict in judged
        ],
    )
    return figure(
        ident,
        f"{name} against {baseline}",
        f"Difference from {baseline}. {words}.",
        lambda width: _draw(width, judged, quantity),
        table=table,
        heading=heading,
        wide=HALF if half else WIDE,
    )


def _kind(verdict: Verdict) -> str:
    if verdict.n == 1:
        return "one block"
    return "range seen" if verdict.interval == "range" else f"95%, {verdict.interval}"


def _scale(judged: Sequence[tuple[str, Verdict]], start: float, end: float) -> Scale:
    """Return an axis that holds every interval, the value of no difference, and the band of the tolerance."""
    points = judged[0][1].unit == "points"
    delta = max(verdict.delta for _, verdict in judged)
    low, high = (-delta, delta) if points else (1 / (1 + delta), 1 + delta)
    low = min([low] + [verdict.low for _, verdict in judged])
    high = max([high] + [verdict.high for _, verdict in judged])
    if points:
        air = max(0.08 * (high - low), 0.1)
        return Scale(low - air, high + air, start, end)
    air = max((high / low) ** 0.06, 1.005)
    return Scale(low / air, high * air, start, end, log=True)


def _draw(width: int, judged: Sequence[tuple[str, Verdict]], quantity: str) -> Canvas:
    drawing = frame(width, [label for label, _ in judged], [_in_short(verdict) for _, verdict in judged], 290)
    canvas, left, right, bottom = drawing.canvas, drawing.left, drawing.right, drawing.bottom
    scale = _scale(judged, left, width - right)
    points = not scale.log
    delta = max(verdict.delta for _, verdict in judged)
    band = (-delta, delta) if points else (1 / (1 + delta), 1 + delta)
    canvas.rect(scale(band[0]), 0, scale(band[1]) - scale(band[0]), bottom, "band", hint="counts as the same")
    most = 4 if drawing.narrow else 6
    places = ticks(scale.low, scale.high, most) if points else log_ticks(scale.low, scale.high, most)
    for tick in places:
        canvas.line(scale(tick), 0, scale(tick), bottom, "grid")
    say = _signed if points else lambda tick: f"{plain(tick)}×"
    canvas.ticks_below(scale, places, bottom + 18, say, keep=0.0 if points else 1.0)
    none = scale(0.0 if points else 1.0)
    canvas.line(none, 0, none, bottom, "rule")
    _, less, more = WORDS[quantity]
    # A small drawing has its unit in the values beside it.
    unit = "" if NARROW < width <= HALF else "points, " if points else "× "
    canvas.text(left, bottom + 38, less, "tick")
    canvas.text(width - right, bottom + 38, f"{unit}{more}", "tick", anchor="end")
    for index, (label, verdict) in enumerate(judged):
        draw_row(drawing, scale, _row(label, verdict), index)
    return canvas


def _in_short(verdict: Verdict) -> str:
    return f"{effect(verdict)} {verdict.verdict.lower()}"


def _signed(points: float) -> str:
    return f"{'+' if points > 0 else ''}{plain(points)}".replace("-", "−")


def _row(label: str, verdict: Verdict) -> VerdictRow:
    word = verdict.verdict
    shape, css = _LOOKS[BETTER[word]] if word in BETTER else _OTHERS.get(word, ("open-diamond", "v-none"))
    value, short = f"{effect(verdict)}  {span(verdict)}", _in_short(verdict)
    return VerdictRow(
        label=label, value=value, value_right=276, short=short, narrow=short, verdict=word, shape=shape, css=css,
        point=verdict.value, low=verdict.low, high=verdict.high, n=verdict.n, interval=verdict.interval,
        hint=f"{label}: {value}, {word.lower()}",
    )  # fmt: skip
