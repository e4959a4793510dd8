"""Energy: the integral of the marked window, or the reason why there is none."""

from __future__ import annotations

import pytest

from tunebench.harness.record.energy.board import energy_of_window
from tunebench.harness.record.harvest import SampledChannel, Samples
from tunebench.reports.records import Energy

CHANNELS = [
    {"id": "cpu_temp_c", "kind": "temperature", "unit": "C"},
    {"id": "vdd_cpu_w", "kind": "power", "unit": "W", "scope": "soc_rail", "source": "ina3221"},
    {"id": "vdd_in_w", "kind": "power", "unit": "W", "scope": "module", "source": "ina3221", "quantum": 0.04},
]
S = 1_000_000_000


def _samples(channels, rows) -> Samples:
    return Samples(tuple(SampledChannel.read(channel) for channel in channels), rows, 0.1)


def _rows(power, start_s=0.0, end_s=30.0, period_s=0.1):
    count = round((end_s - start_s) / period_s) + 1
    times = [start_s + i * period_s for i in range(count)]
    return [[round(t * S), 50.0, 1.0, power(t)] for t in times]


def test_a_ramp_is_integrated_exactly_with_interpolated_edges():
    window = (round(5.03 * S), round(25.07 * S))
    energy = energy_of_window(_samples(CHANNELS, _rows(lambda t: 2.0 + 0.5 * t)), window)
    assert isinstance(energy, Energy)
    exact = 2.0 * 20.04 + 0.25 * (25.07**2 - 5.03**2)
    assert energy.gross_j == pytest.approx(exact, rel=1e-6)
    assert energy.mean_w == pytest.approx(exact / 20.04, rel=1e-6)
    assert (energy.scope, energy.source, energy.quantum_w) == ("module", "ina3221", 0.04)


@pytest.mark.parametrize(
    ("channels", "rows", "window_s", "words"),
    [
        (CHANNELS[:1], [[0, 50.0]], (0, 20), "no power sensor"),
        (CHANNELS, _rows(lambda t: 5.0), (1, 3), "shorter than the 10 s"),
        (CHANNELS, _rows(lambda t: 5.0, period_s=1.0), (0, 20), "100 are needed"),
        (CHANNELS, _rows(lambda t: 5.0, end_s=15.0), (0, 30), "no power sample behind the window"),
        (CHANNELS, [[*row[:3], None] for row in _rows(lambda t: 5.0)], (0, 20), "0 power samples"),
    ],
)
def test_what_cannot_be_integrated_is_refused_with_the_reason(channels, rows, window_s, words):
    reason = energy_of_window(_samples(channels, rows), (window_s[0] * S, window_s[1] * S))
    assert isinstance(reason, str)
    assert words in reason
