"""Fill up a night of a simulated lab with all that a real run has: traces, phases, energy, learning curves.

:class:`tunebench.reports.history.simulated.SimulatedLab` writes what a gate needs. The rest is for trying out how heavy a
report becomes. The numbers are made up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tunebench.reports.results.files import pack

PERIOD_S = 0.1
_PHASES = {"forward": 0.3, "backward": 0.45, "update": 0.15}
_CHANNELS = [
    {"id": "vdd_in_w", "site": "VDD_IN", "kind": "power", "unit": "W", "scope": "module", "source": "ina3221"},
    {"id": "cpu_temp_c", "site": "cpu", "kind": "temperature", "unit": "C", "source": "thermal"},
    {"id": "cpu_freq_hz", "site": "cpu", "kind": "frequency", "unit": "Hz", "source": "cpufreq"},
    {"id": "rss_b", "site": "workload", "kind": "memory", "unit": "B", "source": "proc"},
]  # fmt: skip


def fill_up(folder: Path) -> int:
    """Give every repetition of a night its trace and details, and every series an instrumented repetition.

    Returns:
        How many repetitions the night has now.
    """
    reps_file = folder / "reps.jsonl"
    records = [_Stored.of(line) for line in reps_file.read_text(encoding="utf-8").splitlines()]
    (folder / "trace").mkdir(exist_ok=True)
    marked = [_instrumented(record) for record in records if record.fields["block"] == 0]
    filled = [_filled(folder, record, number) for number, record in enumerate([*records, *marked])]
    lines = [json.dumps(fields, separators=(",", ":")) for fields in filled]
    reps_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


class _Stored(NamedTuple):
    """A record as it is stored, and its duration in seconds."""

    fields: Mapping[str, object]
    wall_s: float

    @classmethod
    def of(cls, line: str) -> _Stored:
        """Parse a stored line."""
        fields = json.loads(line)
        return cls(fields, fields["wall_s"])


def _instrumented(record: _Stored) -> _Stored:
    wall_s = record.wall_s * 1.02
    phases = {name: share * wall_s for name, share in _PHASES.items()}
    curve = [[e, wall_s * e / 20, 0.9 - 0.3 * math.exp(-e / 4)] for e in range(21)]
    fields = {
        **record.fields, "rep_id": f"{record.fields['rep_id']}-marked", "role": "instrumented",
        "wall_s": wall_s, "steps": 600,
        "window_phases_s": phases, "phases_s": {"load": 0.4, **phases, "save": 0.1},
        "quality": {"before": 0.6, "after": 0.9, "n_items": 360, "curve": curve},
    }  # fmt: skip
    return _Stored(fields, wall_s)


def _filled(folder: Path, record: _Stored, number: int) -> dict[str, object]:
    """Return a record's fields with all details; its trace is written beside it."""
    wall_s, name = record.wall_s, f"trace/{record.fields['rep_id']}.jsonl.gz"
    trace, watts = _trace(wall_s, number)
    (folder / name).write_bytes(pack(trace))
    energy = {
        "gross_j": watts * wall_s, "scope": "module", "source": "ina3221", "mean_w": watts, "repeats": 1,
        "n_samples": int(wall_s / PERIOD_S), "rate_hz": 1 / PERIOD_S, "max_gap_s": PERIOD_S, "quantum_w": 0.04,
    }  # fmt: skip
    return {
        **record.fields, "trace": name, "energy": energy, "params_trainable": 424, "params_total": 16_522,
        "update_b": 1_700, "process_s": wall_s + 1.5, "host_s": wall_s + 2.0,
    }  # fmt: skip


def _trace(wall_s: float, number: int) -> tuple[bytes, float]:
    """Return a repetition's trace, and its mean power in the window (watts)."""
    marks = [
        (0.0, "load"),
        (0.5, "warm-up"),
        (0.8, "finetune"),
        (0.8 + wall_s, "save"),
        (1.0 + wall_s, "end"),
    ]
    header = {
        "schema": "tunebench.trace/1", "period_s": PERIOD_S, "channels": _CHANNELS,
        "events": [[int(t * 1e9), phase] for t, phase in marks],
        "window_ns": [int(0.8e9), int((0.8 + wall_s) * 1e9)],
    }  # fmt: skip
    rows: list[list[float | int | None]] = []
    inside: list[float] = []
    for i in range(int((1.0 + wall_s) / PERIOD_S)):
        t_s = i * PERIOD_S
        # Deterministic, and as rough as a sensor is: nothing that packs away to nothing.
        rough = math.sin(i * 12.9898 + number * 78.233) * 43758.5453
        rough -= math.floor(rough)
        busy = 0.8 <= t_s < 0.8 + wall_s
        watts = round(3.1 + (2.4 + 0.5 * rough) * busy, 2)
        if busy:
            inside.append(watts)
        temp_c = round(44 + 12 * (1 - math.exp(-t_s / 20)) + 0.3 * rough, 1)
        rows.append([int(t_s * 1e9), watts, temp_c, 1.5e9 if rough < 0.97 else 1.2e9, int(9e7 + 1e6 * rough)])
    text = "".join(json.dumps(row) + "\n" for row in [header, *rows])
    return text.encode(), sum(inside) / max(1, len(inside))
