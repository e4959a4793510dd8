"""Campaigns with an external meter, end to end: a loopback board, a plug over HTTP, a logger's file."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from harness.campaign import Campaign
from harness.inventory import load_inventory
from harness.metering import Metered, describe, measure
from harness.integral import rules_for
from harness.progress import Silent
from harness.session import Request, open_session
from harness.suite import load_suite
from reports.results import RunReader
from targets.agent.pulses import QUIET_CHIPS
from targets.clock import Offset
from targets.meters import MeterInfo, MeterTrace

SLEEPER = """
import os, json, time
from workloads import marks

time.sleep(spec_lead := 0.0) if False else None
spec = marks.spec()
time.sleep(spec["params"]["lead_s"])
marks.window_start()
time.sleep(spec["params"]["sleep_s"])
marks.window_end()
time.sleep(spec["params"]["lead_s"])
marks.result(accuracy=0.75, before=0.5)
"""


@pytest.fixture
def run(tmp_path: Path):
    """Run one sleeping workload on a loopback board with a meter; returns its reader and the notes."""

    def go(meter: str, *, sleep_s: float, lead_s: float = 0.3, blocks: int = 1):
        (tmp_path / "sleep.py").write_text(
            SLEEPER.replace("time.sleep(spec_lead := 0.0) if False else None\n", "")
        )
        (tmp_path / "suite.toml").write_text(
            f'[suite]\nname = "s"\nblocks = {blocks}\nbaseline = "a"\naa = false\ninstrumented = false\n'
            '[[workload]]\nlabel = "a"\ntask = "sleep"\ncommand = ["python3", "sleep.py"]\nfiles = ["sleep.py"]\n'
            f"params = {{ sleep_s = {sleep_s}, lead_s = {lead_s} }}\ndeadline_s = {sleep_s + 60}\n"
        )
        (tmp_path / "lab.toml").write_text(
            f'[[board]]\nid = "here"\nkind = "loopback"\nworkdir = "{tmp_path}/work"\n[board.meter]\n{meter}'
        )
        inventory = load_inventory(tmp_path / "lab.toml")
        suite = load_suite(str(tmp_path / "suite.toml"))
        session = open_session(
            Request(suite, inventory.boards, "lab", tmp_path / "results", False, ["tunebench", "run"])
        )
        notes: list[str] = []

        class Notes(Silent):
            def note(self, board_id: str, message: str) -> None:
                notes.append(message)

        campaign: Campaign = session.campaign(Notes())
        session.close(campaign.run())
        return RunReader(session.writer.path), notes

    return go


def _shelly(plug, **more) -> str:
    keys = {"rate_hz": 10.0, **more}
    return f'kind = "shelly"\nscope = "wall_ac"\nhost = "{plug.host}"\n' + "".join(
        f"{key} = {value}\n" for key, value in keys.items()
    )


def test_a_window_that_is_too_short_for_a_plug_has_no_energy_but_keeps_its_trace(run, plug):
    reader, notes = run(_shelly(plug(power_w=lambda _: 23.4)), sleep_s=1.5)
    (record,) = reader.repetitions
    assert record.outcome == "ok"
    assert record.energy is None
    assert record.missing["energy"] == "the window of 1.50 s is shorter than the 60 s a meter needs"
    assert any("meter: shelly 127.0.0.1:" in note and "scope wall_ac" in note for note in notes)
    assert reader.verify() == []
    series = reader.meter(record)
    assert series.meter["scope"] == "wall_ac"
    assert set(series.power_w) == {23.4}
    assert series.alignment["method"] == "clock-exchange"
    start_s, end_s = series.alignment["window_s"]
    assert end_s - start_s == pytest.approx(record.wall_s, abs=1e-3)
    assert series.t_s[0] < start_s < end_s < series.t_s[-1]
    # The same readings under rules for a shorter window: the energy that they hold.
    trace = MeterTrace(
        MeterInfo("x", "shelly", "wall_ac", "x", 0.1, 10.0, "host"), series.t_s, series.power_w
    )
    offset = record.clock_offset.offset_s
    same = (Offset(offset, 1e-3, start_s), Offset(offset, 1e-3, end_s))
    window_ns = (int((start_s - offset) * 1e9), int((end_s - offset) * 1e9))
    loose = lambda *args, **keys: rules_for("dc_input", max_w=100.0)._replace_for_test if False else _loose()  # noqa: E731
    found = measure(Metered(trace), window_ns, same, rules=loose)
    assert found.energy.gross_j == pytest.approx(23.4 * record.wall_s, rel=0.005)


def _loose():
    from dataclasses import replace

    return replace(rules_for("dc_input"), min_window_s=1.0, min_samples=5)
