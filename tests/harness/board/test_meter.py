"""Campaigns with an external meter, end to end: a loopback board, a plug over HTTP, a logger's file."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.meter import BoardMeter, describe
from tunebench.harness.campaign.campaign import Campaign
from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import Request, open_session
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.lab.doctor import diagnose
from tunebench.harness.record.energy.meter import Metered, measure
from tunebench.harness.record.energy.rules import rules_for
from tunebench.reports.results import RunReader
from tunebench.targets.meters import MeterInfo, MeterTrace
from tunebench.targets.meters.shelly import Keys as ShellyKeys
from tunebench.targets.transport.clock_offset import Offset

WORK = """
import time
from tunebench import marks

params = marks.spec()["params"]
time.sleep(params["lead_s"])
marks.window_start()
time.sleep(params["sleep_s"])
marks.window_end()
time.sleep(params["lead_s"])
marks.result(accuracy=0.75, before=0.5)
"""


class Ran:
    """A finished campaign: its results and its messages to the user."""

    def __init__(self, reader: RunReader, notes: list[str]) -> None:
        self.reader = reader
        self.notes = notes


@pytest.fixture
def run(tmp_path: Path, bare_python: str) -> Callable[..., Ran]:
    """Run a workload that sleeps on a loopback board with a meter."""

    def go(meter: str, *, sleep_s: float, lead_s: float = 0.3, blocks: int = 1, board: str = "") -> Ran:
        (tmp_path / "work.py").write_text(WORK)
        (tmp_path / "suite.toml").write_text(
            f'[suite]\nname = "s"\nblocks = {blocks}\nbaseline = "a"\naa = false\ninstrumented = false\n'
            '[[workload]]\nlabel = "a"\ntask = "sleep"\ncommand = ["python3", "work.py"]\nfiles = ["work.py"]\n'
            f"params = {{ sleep_s = {sleep_s}, lead_s = {lead_s} }}\ndeadline_s = {sleep_s + 60}\n"
        )
        (tmp_path / "lab.toml").write_text(
            f'[[board]]\nid = "here"\nkind = "loopback"\nworkdir = "{tmp_path}/work"\n'
            f'interpreter = "{bare_python}"\n{board}\n'
            f"[board.meter]\n{meter}"
        )
        inventory = load_inventory(tmp_path / "lab.toml")
        suite = load_suite(str(tmp_path / "suite.toml"))
        session = open_session(Request(suite, inventory.boards, "lab", tmp_path / "results", False, ["run"]))
        notes: list[str] = []

        class Notes(Silent):
            def note(self, board_id: str, message: str) -> None:
                notes.append(message)

        campaign: Campaign = session.campaign(Notes())
        session.close(campaign.run())
        return Ran(RunReader(session.writer.path), notes)

    return go


def _shelly(plug, rate_hz: float = 10.0) -> str:
    return f'kind = "shelly"\nscope = "wall_ac"\nhost = "{plug.host}"\nrate_hz = {rate_hz}\ntimeout_s = 1.0\n'


@pytest.mark.slow
def test_a_window_too_short_for_a_plug_has_no_energy_and_keeps_its_readings(run, plug):
    device = plug(power_w=lambda _: 23.4)
    # Forty readings asked for: a loaded host still takes the five that the energy below needs.
    ran = run(_shelly(device), sleep_s=4.0)
    (record,) = ran.reader.repetitions
    assert record.outcome == "ok"
    assert record.energy is None
    assert (
        record.missing["energy"]
        == f"the window of {record.wall_s:.2f} s is shorter than the 60 s a meter needs"
    )
    assert record.wall_s >= 4.0
    assert any("meter: shelly switch 0" in note and "scope wall_ac" in note for note in ran.notes)
    assert ran.reader.verify() == []
    assert not any(
        device.host in path.read_text() for path in ran.reader.path.rglob("*.json*") if path.suffix != ".gz"
    )
    series = ran.reader.meter(record)
    assert series.meter.scope == "wall_ac"
    assert set(series.power_w) == {23.4}
    assert series.alignment.method == "clock-exchange"
    start_s, end_s = series.alignment.window_s
    assert end_s - start_s == pytest.approx(record.wall_s, abs=1e-3)
    assert series.t_s[0] < start_s < end_s < series.t_s[-1]
    # The same readings under the rules of a shorter window hold the energy that was drawn.
    trace = MeterTrace(
        MeterInfo("plug", "shelly", "wall_ac", "shelly", 0.1, 10.0, "host"), series.t_s, series.power_w
    )
    exchanges = (Offset(0.0, 1e-3, start_s - 1), Offset(0.0, 1e-3, end_s + 1))
    window_ns = (int(start_s * 1e9), int(end_s * 1e9))
    energy_by_meter = measure(
        Metered(trace),
        window_ns,
        exchanges,
        rules=lambda *args, **keys: replace(rules_for(*args, **keys), min_window_s=1.0, min_samples=5),
    )
    assert energy_by_meter.energy.gross_j == pytest.approx(23.4 * record.wall_s, rel=0.005)
    assert energy_by_meter.energy.scope == "wall_ac"
    assert energy_by_meter.energy.clock_bound_s < 0.01


@pytest.mark.slow
def test_a_window_of_a_minute_by_a_plug_is_right_within_half_a_percent(run, plug, sysfs, tmp_path):
    sysfs("ina3221", "1-0040", in1_label="VDD_IN", in1_input=5000, curr1_input=800)
    begun_s = time.monotonic()

    def profile_w(now_s: float) -> float:
        return 7.0 + 0.03 * (now_s - begun_s)  # a known ramp

    ran = run(
        _shelly(plug(power_w=profile_w), 2.0),
        sleep_s=62.0,
        lead_s=2.0,
        board=f'simulated_root = "{tmp_path}"',
    )
    (record,) = ran.reader.repetitions
    assert record.energy is not None, record.missing
    start_s, end_s = ran.reader.meter(record).alignment.window_s
    true_j = record.wall_s * profile_w((start_s + end_s) / 2)
    assert record.energy.gross_j == pytest.approx(true_j, rel=0.005)
    assert record.energy.scope == "wall_ac"
    assert record.energy.clock_bound_s < 0.1
    assert "energy" not in record.missing
    (other,) = record.energy_other
    assert other.scope == "module"
    assert other.gross_j == pytest.approx(4.0 * record.wall_s, rel=0.005)


@pytest.mark.slow
def test_a_meter_that_fails_stops_no_campaign_and_is_the_reason(run, plug):
    device = plug()
    device.close()
    ran = run(_shelly(device), sleep_s=0.1, lead_s=0.0, blocks=2)
    assert [record.outcome for record in ran.reader.repetitions] == ["ok", "ok"]
    assert ran.reader.complete
    for record in ran.reader.repetitions:
        assert record.energy is None
        # The meter's address stays out of the results; the campaign's messages to its user hold it.
        assert record.missing["energy"].startswith("the meter failed: shelly meter <host>: no answer")
        assert record.meter is None
    (note,) = [note for note in ran.notes if "the meter failed" in note]
    assert device.host in note


def test_a_meter_that_comes_back_is_used_again(plug):
    device = plug(power_w=lambda _: 5.0)
    messages: list[str] = []
    entry = ShellyKeys(kind="shelly", scope="wall_ac", host=device.host, rate_hz=10.0, timeout_s=0.3)
    device.faults = [503]
    with BoardMeter(entry, messages.append) as meter:
        assert meter.stop().reason.startswith("the meter failed: ")
        meter.start()
        time.sleep(0.25)
        assert meter.stop().trace.n >= 2
    assert [line.split(":")[0] for line in messages] == ["the meter failed", "meter"]


def test_a_meter_describes_itself_with_what_it_reads_now(plug):
    device = plug()
    entry = ShellyKeys(kind="shelly", scope="wall_ac", host=device.host, rate_hz=10.0, timeout_s=0.3)
    description = describe(entry)
    assert description.ok
    assert "scope wall_ac, 10 Hz, steps of 0.1 W; now 25.70 W" in description.text
    device.close()
    gone = describe(entry)
    assert not gone.ok
    assert "no answer" in gone.text
    assert describe(None) is None


@pytest.mark.slow
def test_doctor_reads_the_meter_and_a_board_without_it_can_still_be_measured(plug, tmp_path, bare_python):
    device = plug()
    (tmp_path / "lab.toml").write_text(
        f'[[board]]\nid = "here"\nkind = "loopback"\nworkdir = "{tmp_path}/work"\n'
        f'interpreter = "{bare_python}"\n[board.meter]\n{_shelly(device)}'
    )
    (entry,) = load_inventory(tmp_path / "lab.toml").boards
    checks = {check.name: check for check in diagnose(entry, build_payload()).checks}
    assert checks["meter"].state == "ok"
    assert "now 25.70 W" in checks["meter"].message
    device.close()
    gone = diagnose(entry, build_payload())
    assert gone.measurable
    assert next(check for check in gone.checks if check.name == "meter").state == "warn"


class PulseLogger:
    """Stand in for a vendor's logger on a clock of its own.

    Its power is 3 W plus 2 W for every process of the job that runs or wants to: it follows the
    board's load, and nothing tells it when a repetition begins.
    """

    def __init__(self, path: Path, jobs: Path, *, hz: float = 20.0) -> None:
        self.path = path
        self._jobs = jobs
        self._hz = hz
        self._stop = threading.Event()
        path.write_text("seconds;watts\n")
        self._thread = threading.Thread(target=self._log, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)

    @staticmethod
    def own_s(host_s: float) -> float:
        return 77_000.0 + 1.002 * host_s

    def _log(self) -> None:
        with self.path.open("a", buffering=1) as file:
            while not self._stop.wait(1 / self._hz):
                asked_s = time.monotonic()
                power_w = 3.0 + 2.0 * self._running()
                file.write(f"{self.own_s((asked_s + time.monotonic()) / 2):.4f};{power_w:.3f}\n")

    def _running(self) -> int:
        """Return how many children of the job's supervisor are in state R."""
        count = 0
        for path in self._jobs.glob("*/supervisor.json"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(json.loads(path.read_text())["pid"])
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    count += Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "R"
        return count


@pytest.fixture
def pulse_logger(tmp_path: Path) -> Iterator[PulseLogger]:
    logger = PulseLogger(tmp_path / "log.csv", tmp_path / "work" / "jobs")
    yield logger
    logger.close()


@pytest.mark.slow
def test_a_logger_with_a_clock_of_its_own_is_aligned_by_the_boards_load_pulses(run, pulse_logger):
    ran = run(
        f'kind = "csv-replay"\nscope = "dc_input"\npath = "{pulse_logger.path}"\ndelimiter = ";"\n'
        'time_column = "seconds"\npower_column = "watts"\nchip_s = 0.5\n',
        sleep_s=20.0,
        lead_s=0.5,
    )
    (record,) = ran.reader.repetitions
    series = ran.reader.meter(record)
    if record.energy is None and os.getloadavg()[0] > len(os.sched_getaffinity(0)):
        pytest.skip(f"all cores are busy with other work, so the pulses are late: {record.missing['energy']}")
    assert record.energy is not None, record.missing
    assert series.alignment.method == "load-pulses"
    assert series.alignment.drift_ppm == pytest.approx(2000, abs=series.alignment.drift_bound_ppm)
    bound_s = series.alignment.bound_s
    assert bound_s <= 0.2
    # Host and board are one machine here, so the truth is known: the window by the host's clock.
    window = ran.reader.trace(record).window_ns
    for found_s, edge_ns in zip(series.alignment.window_s, window, strict=True):
        assert abs(found_s - pulse_logger.own_s(edge_ns / 1e9)) <= bound_s
    assert record.energy.scope == "dc_input"
    assert record.energy.gross_j == pytest.approx(3.0 * record.wall_s, rel=0.03)
