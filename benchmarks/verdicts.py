"""How often verdicts are wrong, and how often they see: simulated campaigns on drifting boards.

    python -m benchmarks.verdicts [--campaigns 2000]

Prints Markdown tables: the acceptance figures, what they rest on (other boards, other sizes of outliers, Wilcoxon's
uncapped ranks, sequential order), and Holm's procedure over several methods.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tunebench.reports.stats.holm import compare_all
from tunebench.reports.stats.paired import Comparison, compare, judge
from tunebench.reports.stats.signed_rank import signed_rank_interval
from tunebench.reports.stats.simulate import TYPICAL, rates, simulate, variants

BLOCKS = (6, 8, 10, 12, 15, 20)
DELTA = 0.02


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--campaigns", type=int, default=2000)
    count = parser.parse_args().campaigns
    started = time.monotonic()
    print(f"# Verdicts on {count} simulated campaigns each, ±{DELTA:.0%}, one candidate\n")
    for name, board in variants().items():
        print(f"## {name}: {board}\n")
        _table(count, board=board)
    print("## typical, outliers of other sizes\n")
    for low, high in ((1.0, 1.1), (1.0, 1.2), (1.5, 3.0)):
        print(f"slower by {low:g}-{high:g}×:\n")
        _table(count, board=replace(TYPICAL, outlier_low=low, outlier_high=high), blocks=(10, 15))
    print("## typical, six methods a block\n")
    _table(count, methods=6, blocks=(10, 15))
    print("## typical, judged by Wilcoxon's uncapped ranks\n")
    _table(count, judge=wilcoxon)
    print("## typical without outliers, capped and uncapped ranks\n")
    _table(count, board=replace(TYPICAL, outliers=0.0), blocks=(10, 15))
    _table(count, board=replace(TYPICAL, outliers=0.0), blocks=(10, 15), judge=wilcoxon)
    print("## typical, all of A before all of B (what not to do)\n")
    _table(count, order="sequential", blocks=(10, 20))
    _holm(max(1, count // 4))
    print(f"({time.monotonic() - started:.0f} s)")


def wilcoxon(baseline_s: Sequence[float], candidate_s: Sequence[float], *, delta: float) -> Comparison:
    """:func:`tunebench.reports.stats.paired.compare` with Wilcoxon's own ranks: the textbook's interval."""
    comparison = compare(baseline_s, candidate_s, delta=delta)
    interval = signed_rank_interval(np.log(np.asarray(candidate_s) / np.asarray(baseline_s)))
    if interval is None:
        return comparison
    low, high = interval
    verdict = judge(low, high, math.log1p(delta))
    return replace(comparison, low=math.exp(low), high=math.exp(high), verdict=verdict)


def _table(count: int, *, blocks: Sequence[int] = BLOCKS, **settings: object) -> None:
    run: Callable[..., object] = functools.partial(rates, campaigns=count, delta=DELTA, **settings)
    print(
        "| blocks | A/A: false verdicts | A/A: SAME | A/A: cover | +5%: found | +5%: wrong | +5%: cover | width |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for n in blocks:
        same, slow = run(1.0, blocks=n, seed=1000 + n), run(1.05, blocks=n, seed=2000 + n)
        cells = (
            same.rate("FASTER", "SLOWER"), same.rate("SAME"), same.coverage, slow.rate("SLOWER"),
            slow.rate("FASTER", "SAME"), slow.coverage, slow.width,
        )  # fmt: skip
        print(f"| {n} | " + " | ".join(f"{100 * cell:.1f}%" for cell in cells) + " |")
    print()


def _holm(count: int) -> None:
    print(f"## Five methods at once, 12 blocks, {count} campaigns: any false verdict, alone and after Holm\n")
    print("| true ratios | any false, alone | any false, Holm | true verdicts found, alone | Holm |")
    print("|---|---|---|---|---|")
    for ratios in ([1.0] * 5, [1.02] * 5, [1.0, 1.0, 1.05, 1.05, 1.3], [1.02, 1.02, 1.02, 1.3, 0.5]):
        times = simulate([1.0, *ratios], blocks=12, campaigns=count, seed=12)
        rows = [_judged(campaign, ratios) for campaign in times]
        cells = np.asarray(rows, dtype=float).mean(axis=0)
        print(f"| {ratios} | " + " | ".join(f"{100 * cell:.1f}%" for cell in cells) + " |")
    print()


def _judged(times: np.ndarray, ratios: Sequence[float]) -> tuple[bool, bool, float, float]:
    """(any false verdict alone, with Holm; share of true verdicts found alone, with Holm) of one campaign."""
    base, *others = times
    comparisons = compare_all([base] * len(others), others, delta=DELTA)
    # On the edge of the band both SAME and a difference count as false.
    true = ["SLOWER" if r > 1 + DELTA else "FASTER" if r < 1 / (1 + DELTA) else "SAME" for r in ratios]
    true = ["-" if r == 1 + DELTA else name for r, name in zip(ratios, true, strict=True)]
    verdicts = [[pair.alone.verdict for pair in comparisons], [pair.verdict for pair in comparisons]]
    false = [any(v not in (t, "UNCLEAR") for v, t in zip(names, true, strict=True)) for names in verdicts]
    known = max(1, sum(t != "-" for t in true))
    seen = [sum(v == t for v, t in zip(names, true, strict=True)) / known for names in verdicts]
    return false[0], false[1], seen[0], seen[1]


if __name__ == "__main__":
    main()
