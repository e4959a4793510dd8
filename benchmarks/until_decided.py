"""How often runs that stop when they are decided are wrong, and how many blocks they save: simulated campaigns.

    python -m benchmarks.until_decided [--campaigns 2000] [--max-blocks 30]

Boards and noise are those of :mod:`tunebench.reports.stats.simulate`; the looks and the verdicts are the campaigns' own
code. False is a FASTER or SLOWER of a method that is as fast as the baseline, a SAME of one that is not, and on the edge
of the band every verdict. Saved are blocks of the maximum. At the end stands what not to do: look after every block.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunebench.reports.stats.sequential import MAX_BLOCKS, Look, Stopped, plan_looks, run_until_decided
from tunebench.reports.stats.simulate import TYPICAL, DriftingBoard, simulate, variants

DELTA = 0.02


@dataclass(frozen=True)
class Tally:
    """What became of many campaigns, as shares.

    Attributes:
        false: campaigns with any false verdict of any method at any look that was taken.
        decided: campaigns that ended with every comparison decided.
        right: comparisons with the right verdict.
        blocks: mean number of blocks.
    """

    false: float
    decided: float
    right: float
    blocks: float


def tally(
    ratios: Sequence[float],
    *,
    campaigns: int,
    seed: int,
    looks: Sequence[Look],
    board: DriftingBoard = TYPICAL,
) -> Tally:
    """Run simulated campaigns of methods with these true ratios against their baseline.

    >>> tally([1.3], campaigns=5, seed=1, looks=plan_looks(1)).right
    1.0
    """
    most = looks[-1].blocks
    times = simulate([1.0, *ratios], blocks=most, campaigns=campaigns, seed=seed, board=board)
    ended = [run_until_decided(base, others, looks, delta=DELTA) for base, *others in times]
    return _tally(ended, ratios)


def looked_at_every_block(ratios: Sequence[float], *, campaigns: int, seed: int, most: int) -> Tally:
    """Run campaigns of a person who looks after every block from the sixth on, and stops when all is decided."""
    every = [Look(blocks, 0.05) for blocks in range(6, most + 1)]
    return tally(ratios, campaigns=campaigns, seed=seed, looks=every)


def _tally(ended: Sequence[Stopped], ratios: Sequence[float]) -> Tally:
    true = [_true(ratio) for ratio in ratios]
    looks = [[result.verdict for result in look] for stopped in ended for look in stopped.looks]
    runs = [number for number, stopped in enumerate(ended) for _ in stopped.looks]
    wrong = {
        run
        for run, of_look in zip(runs, looks, strict=True)
        if any(_is_clear(verdict) and verdict != name for verdict, name in zip(of_look, true, strict=True))
    }
    verdicts = [[result.verdict for result in stopped.results] for stopped in ended]
    clear = [[_is_clear(verdict) for verdict in of_run] for of_run in verdicts]
    right = [verdict == name for of_run in verdicts for verdict, name in zip(of_run, true, strict=True)]
    return Tally(
        false=len(wrong) / len(ended),
        decided=float(np.mean([all(flags) for flags in clear])),
        right=float(np.mean(right)),
        blocks=float(np.mean([stopped.blocks for stopped in ended])),
    )


def _is_clear(verdict: str) -> bool:
    return verdict not in ("UNCLEAR", "NO VERDICT")


def _true(ratio: float) -> str:
    if abs(abs(np.log(ratio)) - np.log1p(DELTA)) < 1e-12:
        return "-"  # on the edge of the band no verdict is right
    return "SLOWER" if ratio > 1 + DELTA else "FASTER" if ratio < 1 / (1 + DELTA) else "SAME"


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--campaigns", type=int, default=2000)
    parser.add_argument("--max-blocks", type=int, default=MAX_BLOCKS)
    options = parser.parse_args()
    count, most = options.campaigns, options.max_blocks
    started = time.monotonic()
    print(f"# Until decided: {count} simulated campaigns each, band ±{DELTA:.0%}, at most {most} blocks\n")
    for claims in (1, 3):
        looks = plan_looks(claims, most)
        steps = ", ".join(f"{look.blocks} ({100 * look.alpha:g}%)" for look in looks)
        print(f"## {claims} method{'s' if claims > 1 else ''} against the baseline; looks after {steps}\n")
        _head("true ratios")
        for ratio in (1.0, 1 + DELTA, 1.05, 1.10, 1.30):
            _row(
                f"all {ratio:g}",
                tally([ratio] * claims, campaigns=count, seed=100 + claims, looks=looks),
                most,
            )
        if claims == 3:
            mixed = [1.0, 1.05, 1.30]
            _row("1, 1.05, 1.3", tally(mixed, campaigns=count, seed=200, looks=looks), most)
        print()
    looks = plan_looks(1, most)
    print("## A/A on other boards, 1 method\n")
    _head("board")
    for name, board in variants().items():
        _row(name, tally([1.0], campaigns=count, seed=300, looks=looks, board=board), most)
    few = max(1, count // 2)
    print(
        f"\n## What not to do: a look after every block from the sixth on, each at 5%; 1 method, {few} campaigns\n"
    )
    _head("true ratios")
    for ratio in (1.0, 1 + DELTA, 1.05):
        naive = looked_at_every_block([ratio], campaigns=few, seed=400, most=most)
        _row(f"all {ratio:g}", naive, most)
    print(f"\n({time.monotonic() - started:.0f} s)")


def _head(what: str) -> None:
    print(f"| {what} | any false verdict | all decided | right | blocks (mean) | saved |")
    print("|---|---|---|---|---|---|")


def _row(name: str, result: Tally, most: int) -> None:
    print(
        f"| {name} | {100 * result.false:.2f}% | {100 * result.decided:.1f}% | {100 * result.right:.1f}% "
        f"| {result.blocks:.1f} | {100 * (1 - result.blocks / most):.0f}% |",
        flush=True,
    )


if __name__ == "__main__":
    main()
