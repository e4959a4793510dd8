"""Speed-up over the baseline with its interval: log axis, delta band, verdict by shape and word."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult, SpeedUp
from tunebench.reports.figures.base.model import HALF, WIDE, Figure, figure
from tunebench.reports.figures.base.svg import (
    Canvas,
    Scale,
    log_ticks,
    plain,
)
from tunebench.reports.figures.base.verdict_rows import VerdictRow, draw_row, frame
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import factor, significant

#: verdict -> (marker shape, colour class)
VERDICTS = {
    "FASTER": ("right", "v-faster"),
    "SLOWER": ("left", "v-slower"),
    "SAME": ("square", "v-same"),
    "UNCLEAR": ("ring", "v-unclear"),
    "NO VERDICT": ("open-diamond", "v-none"),
}


def speedup_figure(
    ident: str,
    rows: Sequence[MethodResult],
    domain: tuple[float, float],
    *,
    baseline: str,
    heading: str,
    half: bool = False,
) -> Figure:
    """Draw one row for each method; all figures of a report share ``domain``, so that boards can be compared."""
    known = [(row.label, row.speed_up) for row in rows if row.speed_up]
    described = "; ".join(f"{label}: {_words(speed)}" for label, speed in known)
    table = DataTable(
        caption=f"Speed-up over {baseline}, paired by block",
        columns=(
            "method",
            "speed-up",
            "low",
            "high",
            "interval",
            "verdict",
            "blocks",
            "further blocks needed",
        ),
        rows=[_table_row(label, speed) for label, speed in known],
    )
    return figure(
        ident,
        f"Speed-up over {baseline}",
        f"Times faster than {baseline}, logarithmic axis. {described}.",
        lambda width: _draw(width, known, domain),
        table=table,
        heading=heading,
        wide=HALF if half else WIDE,
    )


def speedup_domain(rows: Sequence[MethodResult]) -> tuple[float, float]:
    """Return the axis that all speed-up figures share: every interval, 1 and the band, with a margin on both sides."""
    speeds = [row.speed_up for row in rows if row.speed_up]
    band = max((speed.delta for speed in speeds), default=0.02)
    low = min([speed.low for speed in speeds] + [1 / (1 + band)])
    high = max([speed.high for speed in speeds] + [1 + band])
    air = max((high / low) ** 0.06, 1.02)
    return low / air, high * air


def _draw(width: int, known: Sequence[tuple[str, SpeedUp]], domain: tuple[float, float]) -> Canvas:
    drawing = frame(width, [label for label, _ in known], [_in_short(speed) for _, speed in known], 272)
    canvas, left, right, bottom = drawing.canvas, drawing.left, drawing.right, drawing.bottom
    scale = Scale(*domain, left, width - right, log=True)
    delta = max((speed.delta for _, speed in known), default=0.02)
    band_low, band_high = scale(1 / (1 + delta)), scale(1 + delta)
    canvas.rect(
        band_low, 0, band_high - band_low, bottom, "band", hint=f"±{100 * delta:g}%: counts as the same"
    )
    marks = log_ticks(*domain, most=5 if drawing.narrow else 8)
    for tick in marks:
        canvas.line(scale(tick), 0, scale(tick), bottom, "grid")
    canvas.ticks_below(scale, marks, bottom + 18, lambda tick: f"{plain(tick)}×", keep=1.0)
    canvas.line(scale(1), 0, scale(1), bottom, "rule")
    canvas.text(left, bottom + 38, "← slower", "tick")
    canvas.text(width - right, bottom + 38, "faster →", "tick", anchor="end")
    for index, (label, speed) in enumerate(known):
        draw_row(drawing, scale, _row(label, speed), index)
    return canvas


def _row(label: str, speed: SpeedUp) -> VerdictRow:
    shape, css = VERDICTS[speed.verdict]
    span = f"[{significant(speed.low)}, {significant(speed.high)}]" if speed.n > 1 else "one block"
    value = f"{factor(speed.factor)}  {span}"
    return VerdictRow(
        label=label, value=value, value_right=258, short=_in_short(speed), narrow=f"{value} {speed.verdict.lower()}",
        verdict=speed.verdict, shape=shape, css=css, point=speed.factor, low=speed.low, high=speed.high, n=speed.n,
        interval=speed.interval, hint=f"{label}: {_words(speed)}",
    )  # fmt: skip


def _in_short(speed: SpeedUp) -> str:
    return f"{factor(speed.factor)} {speed.verdict.lower()}"


def _words(speed: SpeedUp) -> str:
    kind = "range" if speed.interval == "range" else "95% interval"
    if speed.n == 1:
        return f"{factor(speed.factor)}, one block, {speed.verdict.lower()}"
    return (
        f"{factor(speed.factor)}, {kind} {significant(speed.low)} to {significant(speed.high)}, "
        f"{speed.verdict.lower()}, {speed.n} blocks"
    )


def _table_row(label: str, speed: SpeedUp) -> list[str]:
    kind = "range seen" if speed.interval == "range" else "95%, exact Wilcoxon"
    kind = kind if speed.n > 1 else "one block"
    return [
        label,
        factor(speed.factor),
        *((factor(speed.low), factor(speed.high)) if speed.n > 1 else ("–", "–")),
        kind,
        speed.verdict,
        str(speed.n),
        str(speed.blocks_needed),
    ]
