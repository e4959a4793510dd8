"""Simulate a lab: write result files of many nights, to try out what judges them. The numbers are made up.

Used by the tests, by ``benchmarks/gate_nights.py`` and nowhere in a measurement. The files have the form of real
runs and are read by the same code. Noise of a night, after what nightly labs show (two shares of variance that no
repetition averages away, and bad nights that are real):

- each series has its own repetition noise (log-normal) and its own night-to-night noise, 0.5-3 %;
- in 2-4 % of the nights a board is bad: all its series are slower by 3-15 % that night;
- everything is drawn from one seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from tunebench.reports.records import Provenance, Quality, Repetition
from tunebench.reports.results.files import sha256_file
from tunebench.reports.results.layout import MANIFEST, REPS, count, other_files, parse_lines

_START = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
_BASELINE = "ft-all"


@dataclass(frozen=True)
class SimulatedSeries:
    """One method on one board: its true time and its noise (standard deviations of the logarithm)."""

    board_id: str
    label: str
    wall_s: float
    repetition_noise: float
    night_noise: float

    @property
    def key(self) -> str:
        """Return the key of the series."""
        return f"{self.board_id}-{self.label}"


@dataclass
class SimulatedLab:
    """Boards times methods, night after night.

    Args:
        boards: number of boards.
        cells: number of methods a board.
        repetitions: repetitions of each a night (blocks).
        seed: of all that is random.
        bad_nights: share of nights on which a board is bad.
    """

    boards: int = 8
    cells: int = 24
    repetitions: int = 5
    seed: int = 0
    bad_nights: float = 0.03
    suite: str = "nightly"
    lab: str = "simulated"
    series: list[SimulatedSeries] = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self.series = [
            SimulatedSeries(
                f"board-{board:02}",
                f"method-{cell:02}" if cell else _BASELINE,
                float(self._rng.uniform(1, 30)),
                float(self._rng.uniform(0.003, 0.01)),
                float(np.exp(self._rng.uniform(np.log(0.005), np.log(0.03)))),
            )
            for board in range(self.boards)
            for cell in range(self.cells)
        ]

    def night_factor(self) -> dict[str, float]:
        """Return a random factor for every series: its noise tonight, times the board's slow-down on a bad night."""
        bad = {
            f"board-{board:02}": float(self._rng.uniform(0.03, 0.15))
            for board in range(self.boards)
            if self._rng.random() < self.bad_nights
        }
        return {
            series.key: float(np.exp(self._rng.normal(0, series.night_noise)))
            * (1 + bad.get(series.board_id, 0.0))
            for series in self.series
        }

    def values(self, series: SimulatedSeries, factor: float, n: int) -> list[float]:
        """Return ``n`` repetitions of a series on a night, seconds."""
        noise = self._rng.normal(0, series.repetition_noise, n)
        return [float(value) for value in series.wall_s * factor * np.exp(noise)]

    def write_night(
        self,
        root: Path,
        night: int,
        *,
        slower: Mapping[str, float] | None = None,
        factors: Mapping[str, float] | None = None,
        left_out: Sequence[str] = (),
        fingerprints: Mapping[str, Mapping[str, object]] | None = None,
        rename: Mapping[str, str] | None = None,
        started: datetime | None = None,
    ) -> Path:
        """Write one night's run; returns its directory.

        Args:
            root: a results root.
            night: counts up from 0; decides date and run id.
            slower: series key -> relative change injected tonight (0.05 = 5 % slower).
            factors: tonight's factors as :meth:`night_factor` gives them; default: draws them.
            left_out: series keys that are not measured tonight.
            fingerprints: board id -> fingerprint by tier; default: the same every night.
            rename: series key -> another one, for series that changed their identity.
            started: what the host's clock says; default: a night after the one before.
        """
        factors = dict(factors or self.night_factor())
        started = started or _START + timedelta(days=night)
        run_id = f"{started:%Y%m%dT%H%M%SZ}-{night:06x}"
        folder = root / self.lab / f"{started:%Y/%m/%d}" / run_id
        folder.mkdir(parents=True)
        (folder / "env").mkdir()
        stamp = f"{started:%Y-%m-%dT%H:%M:%SZ}"
        lines: list[str] = []
        for series in self.series:
            if series.key in left_out:
                continue
            factor = factors[series.key] * (1 + (slower or {}).get(series.key, 0.0))
            template = _template(self.lab, run_id, series, (rename or {}).get(series.key, series.key), stamp)
            for block, wall_s in enumerate(self.values(series, factor, self.repetitions)):
                template |= {
                    "rep_id": f"{series.key}-{block}",
                    "block": block,
                    "seed": block,
                    "wall_s": wall_s,
                }
                lines.append(json.dumps(template, separators=(",", ":")))
        (folder / "reps.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for board in sorted({series.board_id for series in self.series}):
            fingerprint = (fingerprints or {}).get(board) or {
                "hardware": {"model": "simulated"},
                "firmware": {},
            }
            env = {"schema": "tunebench.env/1", "board_id": board, "t_utc": stamp, "fingerprint": fingerprint}
            (folder / "env" / f"{board}.before.json").write_text(json.dumps(env), encoding="utf-8")
        _write_heads(folder, self, run_id, stamp)
        return folder


def _template(
    lab: str, run_id: str, series: SimulatedSeries, series_key: str, stamp: str
) -> dict[str, object]:
    """Return the fields that all records of a series share, as JSON."""
    record = Repetition(
        rep_id="r", run_id=run_id, block=0, slot=0, role="timed", lab=lab, board_id=series.board_id,
        board_kind="linux", board_model="simulated", task="simulated/mlp", dataset="simulated", model="mlp",
        method=series.label, label=series.label, engine="native", device="cpu", threads=1, dtype="float32", seed=0,
        series_key=series_key, t_start_utc=stamp, peak_rss_b=100_000_000, quality=Quality(after=0.9),
        outcome="ok", verdict="valid", prov=Provenance(tunebench="0", workload_sha256="0" * 64),
    )  # fmt: skip
    return record.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {
        "schema": "tunebench.rep/1"
    }


def _write_heads(folder: Path, lab: SimulatedLab, run_id: str, stamp: str) -> None:
    boards = sorted({series.board_id for series in lab.series})
    plan = {
        "schema": "tunebench.plan/1", "run_id": run_id, "lab": lab.lab, "started_utc": stamp,
        "suite": {"name": lab.suite, "level": "nightly", "blocks": lab.repetitions, "delta": {"time": 0.02}},
        "tasks": {"simulated/mlp": {"baseline": _BASELINE, "labels": sorted({series.label for series in lab.series})}},
        "boards": boards, "repetitions": [], "skipped": [],
    }  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    manifest = {
        "schema": "tunebench.run/1", "run_id": run_id, "lab": lab.lab, "suite": lab.suite, "level": "nightly",
        "tunebench": "0", "started_utc": stamp, "ended_utc": stamp, "boards": boards, "blocks": lab.repetitions,
        "plan_sha256": "0" * 64,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")


def seal(folder: Path) -> None:
    """Write a night's manifest anew as a real run has it: with its counts and the SHA-256 of every file."""
    repetitions, _ = parse_lines((folder / REPS).read_bytes())
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["counts"] = count(repetitions)
    manifest["files"] = {name: sha256_file(folder / name) for name in other_files(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
