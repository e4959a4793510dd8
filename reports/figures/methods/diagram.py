"""A small diagram of a method: what of three layers trains, where adapters sit, what is kept, how far gradients go."""

from __future__ import annotations

from markupsafe import Markup

from tunebench.reports.figures.base.svg import Canvas, num
from tunebench.reports.figures.methods.known import KnownMethod

_WIDTH, _HEIGHT = 236, 96
_LAYERS = 3
_BOX_W, _BOX_H, _STEP = 36, 24, 68
_LEFT, _TOP = 30, 22
_MIDDLE = _TOP + _BOX_H / 2
#: Lanes of adapters below the layers.
_LANE, _LANE_STEP = _TOP + _BOX_H + 14, 14
_ADAPTER_W, _ADAPTER_H = 18, 8

#: (class, words) of everything that a diagram may hold, for the legend.
LEGEND = (
    ("m-trains", "trains"),
    ("m-frozen", "frozen"),
    ("m-adapter", "adapter, trains"),
    ("m-kept", "kept in the first epoch, read later"),
    ("m-back", "how far gradients go"),
)


def method_diagram(ident: str, name: str, method: KnownMethod, words: str) -> Markup:
    """Draw a method applied to three layers, the input at the left.

    Args:
        ident: unique on the page.
        name: of the method.
        method: what it does.
        words: the same for those who do not see it.
    """
    canvas = Canvas(_WIDTH, _HEIGHT)
    end = _left(_LAYERS - 1) + _BOX_W + 34
    canvas.line(6, _MIDDLE, end - 6, _MIDDLE, "m-flow")
    _arrow(canvas, end, _MIDDLE, "m-head")
    _gradients(canvas, method)
    for i in range(_LAYERS):
        _layer(canvas, method, i)
    if method.adapters == "skip":
        for i in range(_LAYERS):
            _skip(canvas, i)
    else:
        for i in range(_LAYERS):
            if _adapted(method, i):
                _own(canvas, i)
    for x in _kept(method):
        _store(canvas, x)
    return canvas.render(ident, f"Diagram of {name}", words)


def _left(i: int) -> float:
    return _LEFT + i * _STEP


def _chosen(which: str, i: int) -> bool:
    return which == "all" or (which == "last" and i == _LAYERS - 1)


def _layer(canvas: Canvas, method: KnownMethod, i: int) -> None:
    x = _left(i)
    canvas.rect(x, _TOP, _BOX_W, _BOX_H, "m-trains" if _chosen(method.weights, i) else "m-frozen", r=3)
    # The bias, or BatchNorm's scale and shift, is a strip at the layer's end: it may train alone.
    affine = method.batchnorm.endswith("affine") and i < _LAYERS - 1
    css = "m-trains" if affine or _chosen(method.biases, i) else "m-frozen"
    canvas.rect(x + _BOX_W - 7, _TOP, 7, _BOX_H, css, r=2)
    if method.adapters == "convolutions":
        canvas.text(x + 3, _MIDDLE + 4, "conv", "m-word")


def _gradients(canvas: Canvas, method: KnownMethod) -> None:
    if method.objective == "none" or method.gradient == "forward-only":
        return
    first = 0 if method.reach == "all" else _LAYERS - 1
    y, x = _TOP - 10, _left(first) + _BOX_W / 2
    canvas.line(x + 6, y, _left(_LAYERS - 1) + _BOX_W + 22, y, "m-back", dash="4 3")
    canvas.add(f'<path d="M{num(x)} {num(y)}l7 -3.5v7z" class="m-back-head"/>')


def _adapted(method: KnownMethod, i: int) -> bool:
    return method.adapters in ("own-all", "convolutions") or (
        method.adapters == "own-last" and i == _LAYERS - 1
    )


def _own(canvas: Canvas, i: int) -> None:
    """Draw an adapter from a layer's input to its own output."""
    x = _left(i)
    canvas.polyline(
        [(x - 9, _MIDDLE), (x - 9, _LANE), (x + _BOX_W + 9, _LANE), (x + _BOX_W + 9, _MIDDLE)], "m-path"
    )
    _adapter(canvas, x + _BOX_W / 2, _LANE)


def _skip(canvas: Canvas, i: int) -> None:
    """Draw an adapter from a layer's input to the last layer's output."""
    x, y, out = _left(i) - 9 - 3 * i, _LANE + i * _LANE_STEP, _left(_LAYERS - 1) + _BOX_W + 9
    canvas.polyline([(x, _MIDDLE), (x, y), (out, y), (out, _MIDDLE)], "m-path")
    _adapter(canvas, _left(i) + _BOX_W / 2, y)


def _adapter(canvas: Canvas, x: float, y: float) -> None:
    canvas.rect(x - _ADAPTER_W / 2, y - _ADAPTER_H / 2, _ADAPTER_W, _ADAPTER_H, "m-adapter", r=2)


def _kept(method: KnownMethod) -> list[float]:
    """Return where values are kept: what the head and the adapters read, and what a frozen last layer gives."""
    if not method.cache:
        return []
    inputs = range(1, _LAYERS) if method.adapters == "skip" else [_LAYERS - 1]
    places = [_left(i) - 18 for i in inputs]
    if method.weights == "none" and method.biases == "none":
        places.append(_left(_LAYERS - 1) + _BOX_W + 16)
    return places


def _store(canvas: Canvas, x: float) -> None:
    canvas.rect(x - 3.5, _MIDDLE - 7, 7, 14, "m-kept", r=3)


def _arrow(canvas: Canvas, x: float, y: float, css: str) -> None:
    canvas.add(f'<path d="M{num(x)} {num(y)}l-7 -3.5v7z" class="{css}"/>')
