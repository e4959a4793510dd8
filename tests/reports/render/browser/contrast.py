"""How well text stands out from what is behind it, as WCAG counts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_MOST = 40  # of each selector

_RATIOS = r"""([selectors, most]) => {
  const lum = c => { const [r, g, b] = c.match(/[\d.]+/g).slice(0, 3).map(v => {
    v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!c.startsWith('rgba(0, 0, 0, 0')) return c; } return 'rgb(255, 255, 255)'; };
  return selectors.flatMap(s => [...document.querySelectorAll(s)].slice(0, most).map(e => {
    const a = lum(getComputedStyle(e).color), b = lum(back(e));
    return [s + ' ' + e.textContent.slice(0, 20), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; })); }"""


def too_faint(page: Any, selectors: Sequence[str]) -> list[tuple[str, float]]:
    """Return what has less than 4.5 to 1 (WCAG AA for text), with its ratio.

    Raises:
        AssertionError: the page has nothing of these kinds, so that nothing would be looked at.
    """
    ratios = page.evaluate(_RATIOS, [list(selectors), _MOST])
    assert ratios, selectors
    return [(name, ratio) for name, ratio in ratios if ratio < 4.5]
