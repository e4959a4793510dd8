"""Stressors around real jobs on a real agent: each really holds, is read back, and is gone however the job ends."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.boards import trees
from tunebench.targets.agent.tuning.stressors.hold import available_b
from tunebench.targets.client.replies import Owner
from tunebench.targets.errors import ConditionError, TargetError

MIB = 1 << 20
LOAD = {"id": "load", "kind": "background-load", "params": {"processes": 2}}
SLEEP = "import time; time.sleep({})"
CPU = "sys/devices/system/cpu/cpufreq"
MAX_FREQ, MIN_FREQ = f"{CPU}/policy0/scaling_max_freq", f"{CPU}/policy0/scaling_min_freq"
ME = Owner(user="me", host="here", pid=os.getpid(), token="mine")
CAP = {"id": "slow", "kind": "capped-clock", "params": {"max_percent": 50}}


def of_stressors(board) -> list[int]:
    """Return the processes that a stressor has started on this board's working directory."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            mine = f"TUNEBENCH_JOB={board.spec.workdir}".encode() in (folder / "environ").read_bytes()
        except OSError:
            continue
        if mine and any(word.startswith(b"tunebench.targets.agent.tuning.stressors.") for word in words):
            pids.append(int(folder.name))
    return pids


def job_folder(board) -> Path:
    return Path(board.spec.workdir) / "jobs/rep-1"


def until_spawned(board) -> None:
    """Wait until the workload runs: by then its stressor is applied."""
    deadline = time.monotonic() + 30
    while not (job_folder(board) / "spawned.json").exists():
        assert time.monotonic() < deadline, "the workload did not start"
        time.sleep(0.02)


def kill_supervisor(board) -> None:
    os.kill(json.loads((job_folder(board) / "supervisor.json").read_text())["pid"], signal.SIGKILL)


@pytest.fixture
def tree(tmp_path):
    """A Raspberry Pi 4 as a tree of files, with steps between 600 and 1800 MHz."""
    made = trees.pi_4(tmp_path / "pi")
    for policy in (made.root / CPU).glob("policy*"):
        (policy / "scaling_available_frequencies").write_text("600000 800000 1000000 1800000\n")
    return made


def test_a_background_load_really_runs_beside_the_workload_and_is_gone_after_it(board, make_job, run_job):
    program = "import os, time; time.sleep(0.6); print('LOAD', len(os.sched_getaffinity(0)))"
    record, _ = run_job(board, make_job(program=program, stressor=LOAD))
    entry = record["stressor"]
    assert (record["outcome"], entry["held"], entry["reason"]) == ("ok", True, None)
    assert entry["applied"] == {"processes": 2.0}
    # Two processes on the cores that there are; other tests may have most of them.
    assert 0.1 < entry["verified"]["load_cores"] <= min(2, os.cpu_count()) * 1.1
    assert of_stressors(board) == []


def test_a_job_without_a_stressor_has_no_entry(board, make_job, run_job):
    record, _ = run_job(board, make_job())
    assert record["stressor"] is None


@pytest.mark.parametrize("ending", ["fails", "deadline"])
def test_a_load_ends_with_its_workload_however_that_ends(board, make_job, run_job, ending):
    program = "raise ValueError('no luck')" if ending == "fails" else SLEEP.format(60)
    record, _ = run_job(board, make_job(program=program, deadline_s=0.5, stressor=LOAD))
    assert record["outcome"] == {"fails": "failed", "deadline": "deadline"}[ending]
    assert record["stressor"]["held"] is True
    assert of_stressors(board) == []


def test_a_load_dies_with_its_supervisor(board, make_job, is_gone):
    board.start(make_job(program=SLEEP.format(60), stressor=LOAD))
    until_spawned(board)
    pids = of_stressors(board)
    kill_supervisor(board)
    assert len(pids) == 2 and all(is_gone(pid) for pid in pids)
    assert board.wait("rep-1", 10) == "lost"


def test_a_load_that_dies_early_did_not_hold(board, make_job):
    board.start(make_job(program=SLEEP.format(1.0), stressor=LOAD))
    until_spawned(board)
    os.kill(of_stressors(board)[0], signal.SIGKILL)
    board.wait("rep-1", 20)
    entry = json.loads(board.harvest("rep-1").files["exit.json"])["stressor"]
    assert (entry["held"], entry["verified"]) == (False, None)
    assert entry["reason"] == "it did not hold to the end: 1 of its 2 processes have ended"


def test_memory_is_really_held_until_only_the_rest_is_available(board, make_job, run_job):
    free_mib = available_b("/") // MIB - 400
    held = {"id": "tight", "kind": "low-memory", "params": {"free_mib": free_mib}, "most_b": 1024 * MIB}
    record, _ = run_job(board, make_job(program=SLEEP.format(0.1), stressor=held))
    entry = record["stressor"]
    if entry["applied"] is None and ("others take and" in entry["reason"] or "anyway" in entry["reason"]):
        pytest.skip(entry["reason"])
    assert entry["held"] is True, entry
    assert entry["applied"]["held_b"] > 200 * MIB
    assert entry["applied"]["available_b"] == pytest.approx(free_mib * MIB, rel=0.1)
    assert of_stressors(board) == []


def test_a_stressor_that_cannot_be_had_leaves_the_workload_unstarted(board, make_job, run_job):
    asked = {"id": "tight", "kind": "low-memory", "params": {"free_mib": 1 << 20}}
    record, files = run_job(board, make_job(stressor=asked))
    assert record["outcome"] == "failed"
    assert record["reason"].startswith("stressor tight: it could not be applied: only ")
    assert record["stressor"]["held"] is False
    assert "spawned.json" not in files
    reasons = board.absent_stressors([asked, LOAD], ME)
    assert list(reasons) == ["tight"] and "are available anyway" in reasons["tight"]


def test_of_the_hosts_own_machine_little_memory_is_taken(board):
    asked = {"id": "tight", "kind": "low-memory", "params": {"free_mib": 32}, "most_b": MIB}
    assert "no more than 1 are taken from others" in board.absent_stressors([asked], ME)["tight"]


def test_an_unknown_kind_is_refused_with_those_there_are(board, make_job):
    with pytest.raises((ConditionError, TargetError), match="background-load, low-memory"):
        board.start(make_job(stressor={"id": "x", "kind": "flood", "params": {}}))


def test_a_clock_is_capped_while_the_workload_runs_and_restored_after_it(make_board, make_job, run_job, tree):
    board = make_board(root=str(tree))
    program = f"print('CAP', open({str(tree.root / MAX_FREQ)!r}).read())"
    record, files = run_job(board, make_job(program=program, stressor=CAP, root=str(tree)))
    assert b"CAP 800000" in files["log.txt"]  # the highest step that is not above half of 1800 MHz
    assert record["stressor"]["held"] is True, record["stressor"]
    assert record["stressor"]["applied"] == {"max_freq_hz": 800e6}
    assert tree.read(MAX_FREQ).strip() == "1800000"
    assert not (Path(board.spec.workdir) / "undo.json").exists()


def test_a_cap_whose_supervisor_was_killed_is_put_back_when_the_job_is_cleaned(make_board, make_job, tree):
    board = make_board(root=str(tree))
    board.start(make_job(program=SLEEP.format(60), stressor=CAP, root=str(tree)))
    until_spawned(board)
    undo = Path(board.spec.workdir) / "undo.json"
    assert tree.read(MAX_FREQ).strip() == "800000" and undo.exists()
    kill_supervisor(board)
    board.clean("rep-1")
    assert tree.read(MAX_FREQ).strip() == "1800000"
    assert not undo.exists()


def test_a_cap_lies_upon_what_the_run_has_tuned_and_gives_that_back(make_board, make_job, run_job, tree):
    board = make_board(root=str(tree))
    board.tune(ME, {"freq_khz": "max"})
    record, _ = run_job(board, make_job(stressor=CAP, root=str(tree)))
    assert record["stressor"]["held"] is True, record["stressor"]
    assert tree.read(MIN_FREQ).strip() == tree.read(MAX_FREQ).strip() == "1800000"
    board.clean("rep-1")
    board.untune(ME)
    assert tree.read(MIN_FREQ).strip() == "600000"


def test_a_board_without_frequency_control_says_so(make_board, tree):
    for name in ("scaling_min_freq", "scaling_max_freq"):
        for path in tree.root.rglob(name):
            path.unlink()
    reasons = make_board(root=str(tree)).absent_stressors([CAP], ME)
    assert "frequency limits cannot be read" in reasons["slow"]


def mode(name: str) -> dict:
    return {"id": name, "kind": "power-mode", "params": {"mode": name}}


@pytest.fixture
def orin(tmp_path):
    """A Jetson Orin Nano as a tree of files; its nvpmodel is recorded answers, fake beyond these."""
    return trees.orin_nano_jp6(tmp_path / "orin")


def test_a_power_mode_holds_while_the_workload_runs_and_is_put_back(make_board, make_job, run_job, orin):
    board = make_board(root=str(orin))
    query = orin.root / ".commands/nvpmodel_-q.json"
    program = f"print('MODE', open({str(query)!r}).read())"
    record, files = run_job(board, make_job(program=program, stressor=mode("15W"), root=str(orin)))
    assert b"NV Power Mode: 15W" in files["log.txt"]
    assert record["stressor"]["held"] is True, record["stressor"]
    assert "MAXN_SUPER" in query.read_text()


def test_a_power_mode_is_tried_once_and_one_that_cannot_be_had_has_its_reason(make_board, orin):
    board = make_board(root=str(orin))
    (orin.root / "etc/nvpmodel.conf").write_text(
        (orin.root / "etc/nvpmodel.conf").read_text()
        + "< POWER_MODEL ID=8 NAME=fake-reboot >\n< POWER_MODEL ID=9 NAME=fake-broken >\n"
    )
    orin.command(["nvpmodel", "-m", "8"], "Reboot required for changing to this power mode: 8. Reboot NOW? ")
    orin.command(["nvpmodel", "-m", "9"], "NVPM ERROR: cannot set fbp_pg_mask", rc=1)
    asked = [mode(name) for name in ("15W", "TURBO", "fake-reboot", "fake-broken")]
    reasons = board.absent_stressors(asked, ME)
    assert set(reasons) == {"TURBO", "fake-reboot", "fake-broken"}
    assert "fake-reboot needs a reboot, which is yours to do" in reasons["fake-reboot"]
    assert "no power mode 'TURBO'; this board has:" in reasons["TURBO"]
    assert "fbp_pg_mask" in reasons["fake-broken"]
    assert "MAXN_SUPER" in (orin.root / ".commands/nvpmodel_-q.json").read_text()
    assert not (Path(board.spec.workdir) / "undo.json").exists()


def test_a_mode_that_a_tuned_board_would_lose_its_tuning_by_is_refused(make_board, orin):
    board = make_board(root=str(orin))
    board.tune(ME, {"governor": "performance"})
    assert "[board.tuning] sets governor" in board.absent_stressors([mode("15W")], ME)["15W"]
    board.untune(ME)


def test_a_clock_is_pinned_at_a_step_that_the_board_offers(make_board, make_job, run_job, tree):
    board = make_board(root=str(tree))
    pinned, odd = (
        {"id": f"{mhz} MHz", "kind": "pinned-clock", "params": {"mhz": mhz}} for mhz in (1000, 1234)
    )
    record, _ = run_job(board, make_job(stressor=pinned, root=str(tree)))
    assert record["stressor"]["verified"] == {"min_freq_hz": 1e9, "max_freq_hz": 1e9}
    assert (tree.read(MIN_FREQ).strip(), tree.read(MAX_FREQ).strip()) == ("600000", "1800000")
    assert "does not offer 1234000 kHz" in board.absent_stressors([odd], ME)["1234 MHz"]
