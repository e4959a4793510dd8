"""Campaigns as the real writer stores them. Plausible numbers, made up: input of tests, not claims."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from tunebench.reports.records import (
    BoardEnv,
    ClockOffset,
    Conditions,
    Energy,
    Provenance,
    Quality,
    Reason,
    Repetition,
    Sampler,
    Skip,
)
from tunebench.reports.results import RunWriter, plan_sha256

START = datetime(2026, 11, 21, 7, 45, tzinfo=UTC)
STEPS = 200

#: label -> (method, window seconds, trainable parameters, update bytes, accuracy after, share of each phase)
METHODS = {
    "ft-all": ("ft-all", 4.0, 17_600, 70_400, 0.942, {"forward": 0.38, "backward": 0.44, "update": 0.15}),
    "ft-all A/A": ("ft-all", 4.0, 17_600, 70_400, 0.942, {"forward": 0.38, "backward": 0.44, "update": 0.15}),
    "lora-all": ("lora-all", 4.1, 2_100, 8_400, 0.931, {"forward": 0.42, "backward": 0.45, "update": 0.10}),
    "lora-last": ("lora-last", 2.7, 424, 1_696, 0.902, {"forward": 0.62, "backward": 0.25, "update": 0.09}),
    "skip2-lora": (
        "skip2-lora", 1.2, 1_100, 4_400, 0.925,
        {"cache_fill": 0.12, "gather": 0.1, "forward": 0.35, "backward": 0.28, "update": 0.1},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class FakeBoard:
    """A board of the generator: how fast, how noisy, with which sensor."""

    id: str = "host"
    kind: str = "loopback"
    model: str = "this machine (x86-64, 2 cores)"
    speed: float = 1.0
    noise: float = 0.008
    power_scope: str | None = None
    emulated: bool = False


@dataclass
class Campaign:
    """What to write. Change a field, then call :meth:`write`."""

    boards: list[FakeBoard] = field(default_factory=lambda: [FakeBoard()])
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    task: str = "digits/mlp"
    blocks: int = 3
    run_id: str = "20261121T074500Z-a1b2"
    seed: int = 7
    invalid: set[str] = field(default_factory=set)  # rep ids
    failed: set[str] = field(default_factory=set)  # rep ids
    skipped: list[Skip] = field(default_factory=list)
    finish: bool = True
    rename: dict[str, str] = field(default_factory=dict)  # label -> label
    log: bytes = b"epoch 1 loss 0.71\nepoch 2 loss 0.44\n"

    def write(self, root: Path) -> Path:
        """Write the run through the real writer; returns its directory."""
        rng = random.Random(self.seed)
        labels = [self.rename.get(label, label) for label in self.methods]
        plan = {
            "suite": {"name": "demo", "level": "demo", "blocks": self.blocks, "delta": {"time": 0.02}},
            "boards": [board.id for board in self.boards],
            "tasks": {self.task: {"baseline": self.rename.get("ft-all", "ft-all"), "labels": labels}},
            "repetitions": [{"rep_id": rep_id} for rep_id in self._ids()],
            "skipped": [skip.model_dump() for skip in self.skipped],
            "command": ["tunebench", "run", "--inventory", "lab.toml", "--suite", "demo"],
        }
        plan["sha256"] = plan_sha256(plan)
        with RunWriter.create(root, "lab1", self.run_id, plan, created=START) as writer:
            for board in self.boards:
                writer.write_env(_env(board), "before")
                self._write_board(writer, board, rng)
                writer.write_env(_env(board), "after")
            if self.finish:
                writer.finish(
                    suite="demo",
                    level="demo",
                    command=plan["command"],
                    tunebench="0.1.0",
                    started_utc="2026-11-21T07:45:00Z",
                    ended_utc="2026-11-21T07:52:10Z",
                    boards=plan["boards"],
                    blocks=self.blocks,
                    baselines={self.task: self.rename.get("ft-all", "ft-all")},
                    delta={"time": 0.02},
                    skipped=self.skipped,
                )
        return writer.path

    def _ids(self) -> list[str]:
        roles = [("t", block) for block in range(self.blocks)] + [("i", 0)]
        ids = (
            f"b{b}-{role}{block}-m{m}"
            for b in range(len(self.boards))
            for role, block in roles
            for m in range(len(self.methods))
        )
        return [rep_id for rep_id in ids if not self._instrumented_twin(rep_id)]

    def _instrumented_twin(self, rep_id: str) -> bool:
        return "-i" in rep_id and self.methods[int(rep_id.rsplit("m", 1)[1])].endswith("A/A")

    def _write_board(self, writer: RunWriter, board: FakeBoard, rng: random.Random) -> None:
        now, index = START, self.boards.index(board)
        for block in range(self.blocks):
            order = list(range(len(self.methods)))
            rng.shuffle(order)
            for slot, m in enumerate(order):
                rep_id = f"b{index}-t{block}-m{m}"
                drift = 1 + 0.01 * block / max(1, self.blocks) + rng.gauss(0, board.noise)
                now = self._write_one(writer, board, rep_id, m, block, slot, "timed", drift, now)
        for slot, m in enumerate(range(len(self.methods))):
            if not self.methods[m].endswith("A/A"):
                drift = 1.03 + rng.gauss(0, board.noise)
                now = self._write_one(
                    writer, board, f"b{index}-i0-m{m}", m, 0, slot, "instrumented", drift, now
                )

    def _write_one(self, writer, board, rep_id, m, block, slot, role, drift, now):
        name = self.methods[m]
        rep = make_rep(
            name,
            board,
            run_id=self.run_id,
            rep_id=rep_id,
            task=self.task,
            block=block,
            slot=slot,
            role=role,
            drift=drift,
            t_start=now,
        )
        update: dict = {"label": self.rename.get(name, name)}
        if rep_id in self.failed:
            update |= {
                "outcome": "oom", "outcome_reason": "killed by the kernel's OOM killer", "verdict": "invalid",
                "wall_s": None, "quality": Quality(), "energy": None,
            }  # fmt: skip
        elif rep_id in self.invalid:
            update |= {
                "verdict": "invalid",
                "reasons": [Reason(code="throttled", message="throttled: 12 times")],
            }
        rep = rep.model_copy(update=update)
        writer.append(rep, trace=make_trace(rep, board), log=self.log, preds=make_preds())
        return now + timedelta(seconds=(rep.wall_s or 1) + 3)


def make_rep(
    name: str = "ft-all",
    board: FakeBoard = FakeBoard(),
    *,
    run_id: str = "20261121T074500Z-a1b2",
    rep_id: str = "r1",
    task: str = "digits/mlp",
    block: int = 0,
    slot: int = 0,
    role: str = "timed",
    drift: float = 1.0,
    t_start: datetime = START,
) -> Repetition:
    """One valid record of a built-in method."""
    method, base_s, trainable, update_b, accuracy, shares = METHODS[name]
    wall_s = base_s * drift / board.speed
    seed = block
    wobble = ((seed * 7 + len(method) * 3) % 11 - 5) / 1000
    phases = {phase: share * wall_s for phase, share in shares.items()}
    instrumented = role == "instrumented"
    window_phases = {**phases, "evaluate": 0.2 / board.speed} if instrumented else {"finetune": wall_s}
    shared = Reason(code="shared-machine", message="loopback: the machine is shared with the host")
    emulated = Reason(code="emulated", message="emulated: times are the emulator's")
    reasons = [shared] if board.kind == "loopback" else [emulated] if board.emulated else []
    missing = {} if board.power_scope else {"energy": "no power sensor: looked for INA3221, PMIC and RAPL"}
    curve = [(e, wall_s * e / 10, 0.78 + (accuracy - 0.78) * (1 - 0.6**e)) for e in range(11)]
    return Repetition(
        rep_id=rep_id,
        run_id=run_id,
        block=block,
        slot=slot,
        role=role,
        lab="lab1",
        board_id=board.id,
        board_kind=board.kind,
        board_model=board.model,
        emulated=board.emulated,
        task=task,
        dataset=task.split("/", maxsplit=1)[0],
        model=task.rsplit("/", maxsplit=1)[-1],
        method=method,
        label=name,
        aa_control=name.endswith("A/A"),
        engine="torch",
        device="cpu",
        threads=1,
        dtype="float32",
        params={"epochs": 10, "batch": 20, "lr": 0.02, "rank": 4},
        seed=seed,
        series_key=f"{board.id}-{task}-{name}",
        t_start_utc=t_start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        wall_s=wall_s + (0.2 / board.speed if instrumented else 0.0),
        phases_s={"load": 0.05, "warm-up": 0.02, **window_phases, "save": 0.01},
        window_phases_s=window_phases,
        process_s=wall_s + 2.1,
        host_s=wall_s + 2.6,
        ssh_channels=4,
        steps=STEPS,
        peak_rss_b=int(212e6 + 3e6 * len(shares) + 1e5 * block),
        energy=_energy(board, wall_s),
        params_total=17_600 + trainable,
        params_trainable=trainable,
        update_b=update_b,
        cache_b=1_400_000 if method == "skip2-lora" else None,
        cache_hit_ratio=0.9 if method == "skip2-lora" else None,
        quality=Quality(
            before=0.781,
            after=accuracy + wobble,
            n_items=360,
            loss_first=0.9,
            loss_final=0.2,
            losses=[0.9, 0.5, 0.3, 0.2],
            curve=curve if instrumented else [],
        ),
        conditions=Conditions(
            temp_start_c=44.0, temp_end_c=52.5, temp_max_c=53.0, freq_min_hz=1.5e9, freq_max_hz=1.5e9,
            load_1m_start=0.1, swap_delta_b=0, mem_available_min_b=2_000_000_000,
        ),
        clock_offset=ClockOffset(offset_s=0.5, bound_s=0.001),
        sampler=Sampler(period_s=0.2, n=round((wall_s + 2.1) / 0.2), max_gap_s=0.21, cpu_s=0.02),
        missing=missing,
        outcome="ok",
        verdict="degraded" if reasons else "valid",
        reasons=reasons,
        prov=Provenance(
            tunebench="0.1.0", workload_sha256="0" * 64, engine_version="torch 2.13.0+cpu", python="3.11.7"
        ),
    )  # fmt: skip


def make_trace(rep: Repetition, board: FakeBoard = FakeBoard()) -> bytes:
    """Telemetry at 5 Hz over the whole process, with phases of the record."""
    start = 1_000_000_000
    phases = [
        ("load", 0.8),
        ("warm-up", 0.4),
        ("finetune", rep.wall_s or 0.5),
        ("evaluate", 0.3),
        ("save", 0.1),
    ]
    events, at = [], start
    for phase, phase_s in phases:
        events.append([at, phase])
        at += int(phase_s * 1e9)
    events.append([at, "end"])
    channels = [
        {"id": "cpu_temp_c", "site": "cpu", "kind": "temperature", "unit": "C", "source": "thermal"},
        {"id": "cpu_freq_hz", "site": "cpu", "kind": "frequency", "unit": "Hz", "source": "cpufreq"},
        {"id": "rss_b", "site": "workload", "kind": "memory", "unit": "B", "source": "proc"},
    ]
    if board.power_scope:
        channels.append(
            {"id": "vdd_in_w", "site": "VDD_IN", "kind": "power", "unit": "W", "scope": board.power_scope,
             "source": "ina3221"}
        )  # fmt: skip
    header = {
        "schema": "tunebench.trace/1", "period_s": 0.2, "channels": channels, "events": events,
        "window_ns": [events[2][0], events[3][0]],
    }  # fmt: skip
    rows = []
    for i in range(int((at - start) / 2e8) + 1):
        t_s = i * 0.2
        inside = events[2][0] <= start + t_s * 1e9 <= events[3][0]
        temp = None if i == 4 else round(44 + 9 * (1 - 0.8 ** (i / 4)), 2)
        row = [start + int(t_s * 1e9), temp, 1.5e9 if i % 9 else 1.4e9, 90e6 + 13e7 * min(1, i / 5)]
        rows.append([*row, 3.1 + 2.2 * inside + 0.1 * (i % 3)] if board.power_scope else row)
    return "".join(json.dumps(line) + "\n" for line in [header, *rows]).encode()


def make_preds(n: int = 12) -> bytes:
    """Predictions of a few items: label, before, after."""
    return "".join(json.dumps([i, i % 10, (i + (i % 4 == 0)) % 10, i % 10]) + "\n" for i in range(n)).encode()


def _energy(board: FakeBoard, wall_s: float) -> Energy | None:
    if board.power_scope is None:
        return None
    return Energy(
        gross_j=5.4 * wall_s, net_j=2.2 * wall_s, scope=board.power_scope, source="ina3221", mean_w=5.4,
        n_samples=int(wall_s * 5), rate_hz=5.0, max_gap_s=0.21, quantum_w=0.04,
    )  # fmt: skip


def _env(board: FakeBoard) -> BoardEnv:
    return BoardEnv(
        board_id=board.id,
        t_utc="2026-11-21T07:44:50Z",
        fingerprint={
            "hardware": {"model": board.model, "machine": "aarch64", "cores": 4, "ram_b": 4_123_456_000},
            "firmware": {"version": "2026-08-01"},
            "os": {
                "kernel": "6.12.40",
                "pretty_name": "Debian GNU/Linux 12 (bookworm)",
                "libc": "glibc 2.36",
            },
            "python": {"agent": "3.11.7"},
        },
        channels=[
            {"id": "cpu_temp_c", "site": "cpu", "kind": "temperature", "unit": "C", "source": "thermal"}
        ],
        missing={} if board.power_scope else {"power": "no power sensor: looked for INA3221, PMIC and RAPL"},
    )


PI5 = FakeBoard(
    "pi5-01", "raspberry-pi", "Raspberry Pi 5 Model B Rev 1.0", speed=0.55, power_scope="rails_sum"
)
ORIN = FakeBoard("orin-02", "jetson", "Jetson Orin Nano 8GB", speed=0.8, power_scope="module")


def blocks(ratio: float, n: int = 10, noise: float = 0.003, seed: int = 1) -> list[float]:
    """Seconds of a method in n blocks: about 4 s times a ratio."""
    rng = np.random.default_rng([seed, int(1000 * ratio)])
    return (4 * ratio * np.exp(rng.normal(0, noise, n))).tolist()
