"""A board that loses a repetition (reboot, power cut, killed agent): recorded with its reason, measured once more."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tunebench.harness.campaign import repetition
from tunebench.harness.campaign.session import exit_code
from tunebench.harness.planning import attempts
from tunebench.targets.client.board import Board
from tunebench.targets.errors import NoAnswerError
from tunebench.targets.virtual.loopback import LoopbackServer

#: Ends the board's own agent in block 1, in the first `kills` attempts; no process is left behind.
KILLER = """
import json, os, pathlib, signal, time
from tunebench import marks

with open(os.environ["TUNEBENCH_JOB"] + "/job.json") as file:
    job = json.load(file)
params = job["workload"]["params"]
count = pathlib.Path(params["folder"]) / "killed"
killed = len(count.read_text()) if count.exists() else 0
if job["workload"]["seed"] == 1 and killed < params["kills"]:
    count.write_text("x" * (killed + 1))
    with open(os.environ["TUNEBENCH_JOB"] + "/supervisor.json") as file:
        os.kill(json.load(file)["pid"], getattr(signal, params["signal"]))
    time.sleep(30)
marks.window_start()
time.sleep(0.05)
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""


@pytest.fixture
def losing_suite(tmp_path):
    """A suite whose workload kills the agent of its second block."""

    def write(kills: int = 1, signal: str = "SIGKILL"):
        (tmp_path / "killer.py").write_text(KILLER)
        path = tmp_path / "losing.toml"
        path.write_text(
            '[suite]\nname = "losing"\nblocks = 3\nbaseline = "a"\naa = false\ninstrumented = false\n'
            '[[workload]]\nlabel = "a"\ntask = "sleep"\ncommand = ["python3", "killer.py"]\nfiles = ["killer.py"]\n'
            f'params = {{ kills = {kills}, signal = "{signal}", folder = "{tmp_path}" }}\ndeadline_s = 60\n'
        )
        return path

    return write


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
@pytest.mark.slow
def test_a_lost_repetition_is_recorded_with_its_reason_and_its_slot_measured_once_more(
    campaign, lab, losing_suite, signal
):
    ran = campaign(lab("here"), losing_suite(signal=signal))
    reader = ran.reader
    assert reader.manifest is not None
    by_slot = [(record.block, record.attempt, record.outcome) for record in reader.repetitions]
    assert by_slot == [(0, 1, "ok"), (1, 1, "lost"), (1, 2, "ok"), (2, 1, "ok")]
    first, second = reader.repetitions[1:3]
    assert second.rep_id == f"{first.rep_id}.try2"
    assert (second.slot, second.seed, second.series_key) == (first.slot, first.seed, first.series_key)
    assert first.wall_s is None
    assert first.verdict == "invalid"
    assert ("died while it ran" if signal == "SIGKILL" else "stopped by SIGTERM") in first.outcome_reason
    assert second.wall_s >= 0.05
    # Every slot of the plan is measured: nothing is missing from the run.
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0


@pytest.mark.slow
def test_a_slot_lost_twice_is_not_asked_a_third_time_and_the_rest_goes_on(campaign, lab, losing_suite):
    ran = campaign(lab("here"), losing_suite(kills=5))
    assert ran.reader.manifest is not None
    by_slot = [(record.block, record.attempt, record.outcome) for record in ran.reader.repetitions]
    assert by_slot == [(0, 1, "ok"), (1, 1, "lost"), (1, 2, "lost"), (2, 1, "ok")]
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 3


@pytest.mark.slow
def test_a_host_that_dies_after_recording_a_loss_makes_up_for_it_when_resumed(
    campaign, lab, losing_suite, monkeypatch
):
    from tunebench.harness.campaign import board_run as module

    inventory, suite = lab("here"), losing_suite()

    def stop(*_args):
        raise module.Interrupted

    monkeypatch.setattr(module.BoardRun, "_recover", stop)
    first = campaign(inventory, suite)
    assert first.reader.manifest is None
    assert [record.outcome for record in first.reader.repetitions] == ["ok", "lost"]
    monkeypatch.undo()
    second = campaign(inventory, suite, resume=True)
    assert second.path == first.path
    assert second.reader.manifest is not None
    assert [(record.block, record.attempt, record.outcome) for record in second.reader.repetitions] == [
        (0, 1, "ok"),
        (1, 1, "lost"),
        (1, 2, "ok"),
        (2, 1, "ok"),
    ]


@pytest.mark.slow
def test_a_reboot_is_told_from_other_losses_by_the_boot_it_was_started_in(
    campaign, lab, losing_suite, monkeypatch
):
    real = Board.probe

    def after_a_reboot(self, *args):  # a fake: this machine cannot be rebooted for a test
        return real(self, *args).model_copy(update={"boot_id": "another-boot"})

    monkeypatch.setattr(Board, "probe", after_a_reboot)
    ran = campaign(lab("here"), losing_suite())
    assert [record.outcome_reason for record in ran.reader.repetitions if record.outcome == "lost"] == [
        attempts.REBOOTED
    ]


@pytest.mark.slow
def test_a_job_that_a_power_cut_took_with_it_is_started_again_under_its_own_id(
    campaign, lab, sleep_suite, monkeypatch
):
    """Right after the start nothing of the job is on the card yet: after the power cut the board knows no job."""
    real, forgotten = repetition._wait_for_end, []

    def forget_once(link, job, *more):
        state = real(link, job, *more)
        if not forgotten:
            forgotten.append(job.planned.rep_id)
            link.board.clean(job.planned.rep_id)
            return link.board.wait(job.planned.rep_id, 1.0)
        return state

    monkeypatch.setattr(repetition, "_wait_for_end", forget_once)
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=2))
    assert [record.rep_id for record in ran.reader.repetitions] == [
        planned.rep_id for planned in ran.session.plan.repetitions
    ]
    assert {record.outcome for record in ran.reader.repetitions} == {"ok"}
    assert any("knows nothing of it" in line for line in ran.notes)


@pytest.mark.slow
def test_what_is_still_open_follows_from_plan_and_records(campaign, lab, sleep_suite):
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=2))
    plan, records = ran.session.plan.repetitions, ran.reader.repetitions
    assert attempts.still_open(plan, records) == []
    assert attempts.still_open(plan, records[:1]) == [plan[1]]
    lost = records[0].model_copy(update={"outcome": "lost"})
    (again,) = attempts.still_open(plan, [lost, records[1]])
    assert again == replace(plan[0], rep_id=f"{plan[0].rep_id}.try2", attempt=2)
    lost_again = lost.model_copy(update={"rep_id": again.rep_id, "attempt": 2})
    assert attempts.still_open(plan, [lost, lost_again, records[1]]) == []
    assert attempts.last_attempts([lost, lost_again, records[1]]) == [lost_again, records[1]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal.jsonl", "out/result.json", "exit.json"])
def test_files_that_a_card_has_torn_cost_one_attempt_and_not_the_board(
    campaign, lab, sleep_suite, monkeypatch, tmp_path, name
):
    real, torn = repetition._wait_for_end, []

    def tear_once(link, job, *more):
        state = real(link, job, *more)
        if not torn:
            path = tmp_path / "work-here" / "jobs" / job.planned.rep_id / name
            torn.append(path.read_bytes())
            path.write_bytes(torn[0][: len(torn[0]) // 2])
        return state

    monkeypatch.setattr(repetition, "_wait_for_end", tear_once)
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=2))
    assert [(record.block, record.attempt, record.outcome) for record in ran.reader.repetitions] == [
        (0, 1, "lost"),
        (0, 2, "ok"),
        (1, 1, "ok"),
    ]
    lost = ran.reader.repetitions[0]
    assert "has not kept it whole" in lost.outcome_reason
    assert lost.wall_s is None
    assert "hello from" in ran.reader.log(lost), "what came is kept as evidence"
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("times", "outcome"), [(2, {}), (3, {"here"})])
def test_a_command_that_is_killed_on_the_board_is_asked_again_but_not_for_ever(
    campaign, lab, sleep_suite, monkeypatch, times, outcome
):
    real, left = Board.wait, [None] * times

    def killed(self, *args):  # a fake of what the kernel does when memory runs out
        if left:
            left.pop()
            raise NoAnswerError("killed", killed=True)
        return real(self, *args)

    monkeypatch.setattr(Board, "wait", killed)
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=1))
    assert set(ran.outcome.given_up) == set(outcome)
    assert (ran.reader.manifest is None) == bool(outcome), "a board that had begun can be resumed"


@pytest.mark.slow
def test_a_server_that_just_restarts_when_a_campaign_begins_costs_no_board(
    campaign, sleep_suite, tmp_path, make_proxy, bare_python
):
    with LoopbackServer() as server:
        end = server.endpoint
        link = make_proxy(end.port)
        known = tmp_path / "known_hosts"
        known.write_text(Path(end.known_hosts).read_text().replace(f"]:{end.port} ", f"]:{link.port} "))
        inventory = tmp_path / "lab.toml"
        inventory.write_text(
            f'[[board]]\nid = "here"\nkind = "linux"\nhost = "127.0.0.1"\nport = {link.port}\n'
            f'user = "{end.user}"\nkey = "{end.key_file}"\nknown_hosts = "{known}"\ngates = "warn"\n'
            f'workdir = "{tmp_path}/work-here"\ninterpreter = "{bare_python}"\n'
        )
        link.unplug()
        threading.Timer(2.0, link.plug_in).start()
        ran = campaign(inventory, sleep_suite(["a"], blocks=1))
    assert [record.outcome for record in ran.reader.repetitions] == ["ok"]
    assert any("connecting again" in line for line in ran.notes)
