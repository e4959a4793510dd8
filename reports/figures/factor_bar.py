"""A speed-up with its interval, small enough to stand in a row of a table."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tunebench.reports.analysis.answers.options import Option
from tunebench.reports.figures.base.svg import Canvas, Scale
from tunebench.reports.figures.speedup import VERDICTS

_WIDTH, _HEIGHT, _EDGE = 116.0, 20.0, 9.0


def factor_bars(options: Sequence[Option]) -> list[Markup | None]:
    """Draw the speed-up of each option on one logarithmic axis; None for those that were not compared.

    The numbers stand beside the drawing, which is hidden from those who do not see it.
    """
    known = [option for option in options if option.verdict is not None and option.low and option.high]
    if not known:
        return [None for _ in options]
    low = min(1.0, *(option.low or 1.0 for option in known))
    high = max(1.0, *(option.high or 1.0 for option in known))
    scale = Scale(low, high, _EDGE, _WIDTH - _EDGE, log=True)
    return [_bar(option, scale) if option in known else None for option in options]


def _bar(option: Option, scale: Scale) -> Markup:
    shape, css = VERDICTS[option.verdict or "NO VERDICT"]
    canvas = Canvas(_WIDTH, _HEIGHT)
    middle = _HEIGHT / 2
    canvas.line(scale(1), 1, scale(1), _HEIGHT - 1, "rule")
    ends = (scale(option.low or 1.0), scale(option.high or 1.0))
    canvas.interval(*ends, middle, f"interval {css}", cap=3, dashed=option.interval == "range")
    canvas.marker(scale(option.factor or 1.0), middle, shape, css, size=4.5)
    body = "".join(canvas.parts)
    return Markup(  # noqa: S704 - numbers and our own class names only
        f'<svg class="bar-of" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" width="{_WIDTH:g}" height="{_HEIGHT:g}" '
        f'aria-hidden="true" focusable="false">{body}</svg>'
    )
