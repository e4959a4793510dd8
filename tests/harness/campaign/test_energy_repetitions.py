"""Energy from end to end: a simulated Jetson Nano whose power follows the load, and a board without a power sensor."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tunebench.harness.campaign.session import exit_code
from tunebench.reports.render.html import render
from tunebench.reports.summary import summarise

IDLE_W, LOAD_W = 2.0, 5.0
SUITE = """
[suite]
name = "joules"
blocks = {blocks}
aa = false
instrumented = false
energy = true
energy_s = 12.0
idle_s = 12.0
deadline_s = 120

[[workload]]
dataset = "digits"
model = "mlp"
engine = "{engine}"
methods = ["ft-all", "skip2-lora"]
"""
MODULE = """
def build(spec): return 0
def batches(spec): return [0]
def step(state, batch): return 0.1
def evaluate(state): return 0.5
"""
#: The rails of one simulated board: whole, GPU, CPU; the total is never below its parts.
TOTAL, PARTS = "POM_5V_IN", ("POM_5V_GPU", "POM_5V_CPU")


class LoadFollower(threading.Thread):
    """Write ``LOAD_W`` to a simulated rail while a workload of this test's board runs, else ``IDLE_W``."""

    def __init__(self, rail: Path, workdir: Path) -> None:
        super().__init__(daemon=True)
        self._rail = os.open(rail, os.O_WRONLY)
        self._marker = f"{workdir}/jobs/"
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.02):
            watts = LOAD_W if self._busy() else IDLE_W
            # Four digits and a newline either way: a reader never sees half of one.
            os.pwrite(self._rail, b"%04d\n" % round(1000 * watts), 0)

    def stop(self) -> None:
        self._done.set()
        self.join()
        os.close(self._rail)

    def _busy(self) -> bool:
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                command = Path(entry.path, "cmdline").read_bytes()
                if (
                    b"\0tunebench.workloads.run\0" in command  # idling runs, too, but loads nothing
                    and self._marker in Path(entry.path, "environ").read_text()
                ):
                    return True
            except OSError:
                continue
        return False


@pytest.fixture
def nano(simulated, tmp_path):
    """A Nano's tree whose input power follows the load of the board ``nano``."""
    tree = simulated("nano-jp4")
    for label in PARTS:
        for file in tree.power[label]:
            file.write_text("500\n")
    (rail,) = tree.power[TOTAL]
    rail.write_text("2000\n")
    follower = LoadFollower(rail, tmp_path / "work-nano")
    follower.start()
    yield tree
    follower.stop()


def suite_file(folder: Path, blocks: int, engine: str) -> Path:
    path = folder / "joules.toml"
    path.write_text(SUITE.format(blocks=blocks, engine=engine))
    return path


@pytest.mark.slow
@pytest.mark.alone  # a busy machine's sampler misses more than the 1% of a window that a record may lack
@pytest.mark.torch
@pytest.mark.timeout(500)
def test_joules_of_one_fine_tuning_are_power_times_time_over_k_net_of_the_idle_board(
    campaign, lab, nano, tmp_path
):
    pytest.importorskip("torch")
    ran = campaign(lab("nano", extra=f'simulated_root = "{nano}"'), suite_file(tmp_path, 1, "torch"))
    reps = ran.reader.repetitions
    assert Counter(rep.role for rep in reps) == {"check": 1, "timed": 2, "energy": 2, "idle": 2}
    assert {rep.outcome for rep in reps} == {"ok"}
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0

    for rep in (rep for rep in reps if rep.role == "idle"):
        assert rep.energy is not None, rep.missing
        assert rep.energy.mean_w == pytest.approx(IDLE_W, rel=0.005)
        assert (rep.energy.repeats, rep.energy.j_per_finetuning) == (0, None)
    for rep in (rep for rep in reps if rep.role == "energy"):
        energy = rep.energy
        assert energy is not None, rep.missing
        assert (energy.scope, energy.rails, energy.repeats) == ("board_input", [TOTAL], rep.repeats)
        assert rep.repeats >= 2
        assert rep.wall_s >= 12.0
        assert sum(rep.repeats_s) == pytest.approx(rep.wall_s, rel=0.02)
        assert energy.j_per_finetuning == pytest.approx(LOAD_W * rep.wall_s / rep.repeats, rel=0.005)
        assert energy.net_reason is None
        assert (energy.idle_before_w, energy.idle_after_w) == (
            pytest.approx(IDLE_W, rel=0.005),
            pytest.approx(IDLE_W, rel=0.005),
        )
        net_j = (LOAD_W - IDLE_W) * rep.wall_s / rep.repeats
        assert energy.net_j_per_finetuning == pytest.approx(net_j, rel=0.01)
        assert 0.4 < rep.quality.after <= 1.0, "the last of them was trained like any other"
    timed_windows = [rep.energy for rep in reps if rep.role == "timed"]
    assert timed_windows == [None] * 2, "these windows are too short for a sensor"

    summary = summarise(ran.reader)
    rows = {row.label: row for row in summary.rows}
    assert set(rows) == {"ft-all", "skip2-lora"}
    for row in rows.values():
        (energy,) = row.joules
        assert (energy.scope, energy.n, row.n) == ("board_input", 1, 1)
        assert energy.net_j.median < energy.j.median
    timed = [rep.wall_s for rep in reps if rep.role == "timed" and rep.label == "ft-all"]
    assert rows["ft-all"].wall_s.max == max(timed), "energy repetitions stand in no time"
    page = render(ran.reader)
    assert "gross J (board input)" in page
    assert "energy repetition" in page


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(200)
def test_a_board_without_power_skips_them_once_with_the_reason_and_loses_no_time(
    campaign, lab, simulated, sleep_suite, tmp_path
):
    tree = simulated("pi-4")
    plain = sleep_suite(["a"], blocks=2, name="plain")
    started_s = time.monotonic()
    campaign(lab("pi", extra=f'simulated_root = "{tree}"'), plain)
    without_s = time.monotonic() - started_s

    text = plain.read_text().replace('name = "plain"', 'name = "joules"\nenergy = true')
    (tmp_path / "mine.py").write_text(MODULE)
    text += '\n[[workload]]\nlabel = "mine"\nmodule = "mine.py"\nfiles = ["mine.py"]\nengine = "torch"\n'
    both = tmp_path / "both.toml"
    both.write_text(text)
    started_s = time.monotonic()
    ran = campaign(lab("pi", extra=f'simulated_root = "{tree}"'), both)
    with_s = time.monotonic() - started_s

    skips = [skip for skip in ran.outcome.skipped if skip.role == "energy" and skip.label is None]
    (skip,) = skips
    assert skip.reason.startswith("no energy repetitions: ")
    assert "the inventory names no meter" in skip.reason
    assert sum("no energy repetitions" in line for line in ran.notes) == 1
    assert Counter(rep.role for rep in ran.reader.repetitions) == {"timed": 4}
    assert {rep.outcome for rep in ran.reader.repetitions} == {"ok"}, [
        r.outcome_reason for r in ran.reader.repetitions
    ]
    assert ran.reader.manifest is not None, "the run is complete without them"
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0
    assert with_s < 3 * without_s + 10, "no idle baseline was waited for"
