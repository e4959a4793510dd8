"""Every board, as a simulated tree: what is found on it, what it is worth, and what is missing and why."""

from __future__ import annotations

import pytest

from targets.agent.sensors.discover import discover


def readings(found):
    return {
        channel.id: (value, channel.scope)
        for sensor in found.sensors
        for channel, value in zip(sensor.channels, sensor.read(), strict=True)
    }


@pytest.mark.parametrize(
    ("board", "total", "watts", "scope"),
    [
        ("nano-jp4", "pom_5v_in_w", 5.0 * 0.4, "board_input"),
        ("tx2-jp4", "vdd_in_w", 19 * 0.16, "module"),
        ("xavier-nx-jp4", "vdd_in_w", 5 * 0.8, "module"),
        ("xavier-nx-jp5", "vdd_in_w", 5 * 0.8, "module"),
        ("agx-xavier-jp4", "rails_sum_w", 19 * (0.008 + 0.016 + 0.048 + 0 + 0.032) + 5 * 0.296, "rails_sum"),
        ("orin-nano-jp6", "vdd_in_w", 5 * 0.8, "module"),
        ("orin-nx-jp6", "vdd_in_w", 5 * 0.8, "module"),
        ("agx-orin-jp6", "rails_sum_w", 20 * (0.12 + 0.04) + 5 * 0.8, "rails_sum"),
    ],
)
def test_the_total_of_every_jetson_is_read_the_right_way(simulated, board, total, watts, scope):
    found = discover(str(simulated(board)))
    assert readings(found)[total] == (pytest.approx(watts), scope)
