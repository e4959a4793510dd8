"""Rehearses the nightly gate on a simulated lab: false alarms a month, and what it catches the first night.

Run: ``python -m benchmarks.gate_nights [--nights 60] [--boards 8] [--cells 24] [--machines 1] [--json FILE]``. With
``--machines 2`` two machines take turns under every board id, the second slower by 40%. The lab is simulated
(:mod:`tunebench.reports.history.simulated`); everything else is the gate's own code on real result files: the index is
built anew every night, the screen reads it, nominated series are confirmed with pairs drawn from the same night.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import stats

from tunebench.reports.history import gating, index
from tunebench.reports.history.confirm import PAIRS
from tunebench.reports.history.series import opened
from tunebench.reports.history.simulated import SimulatedLab

LEARNING = 30
_METRICS = ("time",)


@dataclass
class Tally:
    """What happened over all judged nights."""

    nights: int = 0
    nominated: int = 0
    clean: Counter[str] = field(default_factory=Counter)
    caught: dict[float, Counter[str]] = field(default_factory=dict)


def rehearse(
    root: Path,
    *,
    boards: int,
    cells: int,
    nights: int,
    seed: int,
    injected: int,
    sizes: tuple[float, ...],
    machines: int = 1,
) -> Tally:
    """Judge ``nights`` nights after a month of learning a machine; inject changes into ``injected`` series a gate run."""
    lab = SimulatedLab(boards=boards, cells=cells, seed=seed)
    rng = np.random.default_rng(seed + 1)
    tally = Tally(caught={size: Counter() for size in sizes})
    learning = LEARNING * machines
    for night in range(learning):
        lab.write_night(
            root, night, factors=_factors(lab, night % machines), fingerprints=_prints(lab, night % machines)
        )
    for night in range(learning, learning + nights):
        factors, prints = _factors(lab, night % machines), _prints(lab, night % machines)
        for size in sizes:
            # A few of many: a night on which everything got slower is no rehearsal.
            chosen = [lab.series[i].key for i in rng.choice(len(lab.series), injected, replace=False)]
            slower = dict.fromkeys(chosen, size)
            folder = lab.write_night(root, night, slower=slower, factors=factors, fingerprints=prints)
            judged = _gate(lab, root, folder, factors, slower)
            verdicts = {finding.series_key: finding.verdict for finding in judged.findings}
            tally.caught[size].update(verdicts.get(key, "not nominated") for key in chosen)
            shutil.rmtree(folder)
        folder = lab.write_night(root, night, factors=factors, fingerprints=prints)
        judged = _gate(lab, root, folder, factors, {})
        tally.nights += 1
        tally.nominated += judged.confirmed
        tally.clean.update(finding.verdict for finding in judged.findings)
    return tally


def _factors(lab: SimulatedLab, machine: int) -> dict[str, float]:
    return {key: factor * 1.4**machine for key, factor in lab.night_factor().items()}


def _prints(lab: SimulatedLab, machine: int) -> dict[str, dict[str, object]]:
    tiers: dict[str, object] = {"hardware": {"model": f"simulated {machine}"}, "firmware": {}}
    return dict.fromkeys((series.board_id for series in lab.series), tiers)


def _gate(
    lab: SimulatedLab, root: Path, folder: Path, factors: dict[str, float], slower: dict[str, float]
) -> gating.Judgement:
    by_key = {series.key: series for series in lab.series}

    def confirmer(series: gating.Series, _metric: str) -> gating.Pairs:
        simulated = by_key[series.series_key]
        baseline = lab.values(simulated, factors[simulated.key], PAIRS)
        return gating.Pairs(
            baseline,
            lab.values(simulated, factors[simulated.key] * (1 + slower.get(simulated.key, 0.0)), PAIRS),
        )

    report = index.build(root)
    with opened(report.path) as database:
        return gating.judge(database, folder.name, confirmer=confirmer, metrics=_METRICS)


def lower_bound(hits: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact lower bound of a rate (Clopper & Pearson 1934)."""
    return float(stats.beta.ppf(1 - confidence, hits, n - hits + 1)) if hits else 0.0


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--injected", type=int, default=18)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    started = time.monotonic()
    sizes = (0.05, 0.10)
    total = Tally(caught={size: Counter() for size in sizes})
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            tally = rehearse(
                Path(folder), boards=args.boards, cells=args.cells, nights=args.nights, seed=seed,
                injected=args.injected, sizes=sizes, machines=args.machines,
            )  # fmt: skip
        total.nights += tally.nights
        total.nominated += tally.nominated
        total.clean.update(tally.clean)
        for size in sizes:
            total.caught[size].update(tally.caught[size])
        print(f"seed {seed}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    alarms = total.clean["REGRESSION"]
    print(f"{args.boards * args.cells} series, {total.nights} judged nights, {args.seeds} simulated lab(s)")
    print(
        f"nominated a night: {total.nominated / total.nights:.2f}; verdicts without injection: {dict(total.clean)}"
    )
    print(f"false alarms: {alarms} = {alarms / total.nights * 30:.2f} a month of 30 nights")
    rows = {}
    for size in sizes:
        n, hits = total.caught[size].total(), total.caught[size]["REGRESSION"]
        rows[f"{size:+.0%}"] = {"n": n, "caught": hits, "rate": hits / n, "lower_95": lower_bound(hits, n)}
        print(
            f"{size:+.0%}: caught the first night {hits} of {n} = {hits / n:.1%} (95% lower bound"
            f" {lower_bound(hits, n):.1%}); {dict(total.caught[size])}"
        )
    if args.json:
        value = {"nights": total.nights, "alarms": alarms, "caught": rows}
        args.json.write_text(json.dumps(value, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
