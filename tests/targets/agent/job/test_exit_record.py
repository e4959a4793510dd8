"""What the agent reports of a board and of the end of a job, on simulated trees and counters."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tunebench.targets.agent.environment import probe
from tunebench.targets.agent.health import counters as health_counters
from tunebench.targets.agent.job import exit_record, job_files
from tunebench.targets.agent.job.sampler import Sampler
from tunebench.targets.agent.linux import kernel_log, programs
from tunebench.targets.agent.protocol import EXIT_SCHEMA
from tunebench.targets.agent.sensors.base import Channel, Sensor
from tunebench.targets.agent.workdir import AgentError, Workdir


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


# -- endings --------------------------------------------------------------------------------------


@pytest.fixture
def counters(monkeypatch):
    now = {"pswpin": 0, "pswpout": 0, "oom_kill": 0, "throttled": None}
    monkeypatch.setattr(health_counters, "read", lambda _root: dict(now))
    return now


def record(tmp_path: Path) -> exit_record.Record:
    (tmp_path / "log.txt").write_text("")
    made = exit_record.Record({"rep_id": "rep-1", "run_id": "run-1"}, str(tmp_path))
    made.started()
    return made


@pytest.mark.parametrize(
    ("returncode", "oom_kills", "outcome", "said"),
    [
        (0, 0, "ok", None),
        (-signal.SIGKILL, 1, "oom", "out of memory"),
        (-signal.SIGKILL, 0, "killed", "SIGKILL"),
        (-signal.SIGKILL, None, "killed", "SIGKILL"),  # a kernel that does not count
        (-signal.SIGILL, 0, "killed", "does not run on this CPU"),
        (-63, 0, "killed", "63"),
        (2, 0, "failed", "exit status 2"),
    ],
)
def test_an_outcome_follows_from_status_and_counters(
    tmp_path, counters, returncode, oom_kills, outcome, said
):
    if oom_kills is None:
        counters["oom_kill"] = None
    ended = record(tmp_path)
    counters["oom_kill"] = oom_kills
    ended.ended(returncode, deadline_hit=False, stop_reason=None)
    fields = ended.finish()
    assert (fields["schema"], fields["outcome"]) == (EXIT_SCHEMA, outcome)
    assert (fields["reason"] is None) if said is None else (said in fields["reason"])
    assert (fields["returncode"] is None) == (returncode < 0)
    json.dumps(fields, allow_nan=False)


def test_the_reason_for_stopping_a_job_comes_before_its_signal(tmp_path, counters):
    for deadline_hit, outcome in ((True, "deadline"), (False, "killed")):
        ended = record(tmp_path)
        ended.ended(-signal.SIGTERM, deadline_hit, "because")
        assert (ended.outcome, ended.reason) == (outcome, "because")


def test_swapping_and_throttling_are_warned_of(tmp_path, counters):
    ended = record(tmp_path)
    counters.update(pswpout=7)
    ended.ended(0, deadline_hit=False, stop_reason=None)
    readings = [0.0, 5.0, 0.0]
    channel = Channel("throttled", "board", "throttle", "bits", None, "test", None)
    sampler = Sampler(str(tmp_path / "samples.jsonl"), [Sensor([channel], lambda: [readings.pop(0)])], 0.1)
    for _ in range(3):
        sampler.sample()
    sampler.close()
    ended.sampled(sampler, None)
    fields = ended.finish()
    codes = [warning["code"] for warning in fields["warnings"]]
    assert codes == ["throttled", "throttled", "swapped"]
    assert fields["peak_rss_b"] is None
    assert "VmHWM" in fields["missing"]["peak_rss_b"]
    assert set(fields["files"]) == {"log.txt", "samples.jsonl"}


class Sleeper(Sensor):
    """A temperature of something that is off in some of the reads."""

    def __init__(self, readings):
        super().__init__([Channel("gpu_temp_c", "gpu", "temperature", "C", None, "test", None)])
        self.readings = readings

    def read(self):
        value = self.readings.pop(0)
        self.asleep, self.reason = value is None, "the sensor is off (-256 C)" if value is None else None
        return [value]


@pytest.mark.parametrize("wakes_up", [True, False])
def test_what_sleeps_is_no_error_and_missing_only_if_it_never_woke_up(tmp_path, counters, wakes_up):
    ended = record(tmp_path)
    ended.missing["gpu_temp_c"] = "zone gpu-thermal: the sensor is off (-256 C)"
    sampler = Sampler(
        str(tmp_path / "samples.jsonl"), [Sleeper([None, None, 58.2 if wakes_up else None])], 0.1
    )
    for _ in range(3):
        sampler.sample()
    sampler.close()
    ended.ended(0, deadline_hit=False, stop_reason=None)
    ended.sampled(sampler, None)
    finished = ended.finish()
    counts = finished["sampler"]["channels"]["gpu_temp_c"]
    assert (counts["n"], counts["errors"], counts["refused"]) == (int(wakes_up), 0, 0)
    assert counts["reasons"] == {"the sensor is off (-256 C)": 2 if wakes_up else 3}
    assert finished["missing"].get("gpu_temp_c") == (None if wakes_up else "the sensor is off (-256 C)")
    assert [json.loads(line)[1] for line in (tmp_path / "samples.jsonl").read_text().splitlines()[1:]] == [
        None,
        None,
        58.2 if wakes_up else None,
    ]


OLD_KERNEL = (
    "Out of memory: Kill process 77 (python3) score 911 or sacrifice child\n"
    "Killed process 77 (python3) total-vm:3893904kB, anon-rss:3457512kB, file-rss:0kB\n"
)


@pytest.mark.parametrize(
    ("said", "oom_kill", "outcome", "line"),
    [
        (OLD_KERNEL, None, "oom", "Killed process 77 (python3) total-vm"),
        (OLD_KERNEL.replace("77", "78"), None, "killed", "no oom_kill in /proc/vmstat"),
        (None, None, "killed", "no program journalctl"),
        (OLD_KERNEL, 0, "killed", "SIGKILL"),  # a kernel that counts, and counted none
    ],
)
def test_a_kernel_without_the_counter_is_asked_for_its_line(tmp_path, said, oom_kill, outcome, line):
    board = tmp_path / "board"
    tree(board, {"proc/vmstat": "pswpin 3\n" + ("" if oom_kill is None else f"oom_kill {oom_kill}\n")})
    if said is not None:
        answer = json.dumps({"argv": list(kernel_log.JOURNAL), "rc": 0, "out": said})
        tree(board, {".commands/" + programs.recording_name(kernel_log.JOURNAL): answer})
    (tmp_path / "log.txt").write_text("")
    ended = exit_record.Record({"rep_id": "rep-1", "root": str(board)}, str(tmp_path))
    ended.started()
    ended.ended(-signal.SIGKILL, deadline_hit=False, stop_reason=None, pid=77)
    assert ended.outcome == outcome
    assert line in ended.reason


# -- packing --------------------------------------------------------------------------------------


def test_the_whole_of_a_harvest_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(job_files, "MAX_FILES", 3)
    tree(tmp_path, {f"out/f{i}": "x" for i in range(5)})
    files, left_out = job_files.listed(str(tmp_path))
    assert [name for name, _ in files] == ["out/f0", "out/f1", "out/f2"]
    assert [entry["name"] for entry in left_out] == ["out/f3", "out/f4"]
    monkeypatch.setattr(job_files, "MAX_HARVEST_B", (1 << 20) + 2 * 2100)
    files, left_out = job_files.listed(str(tmp_path))
    assert [name for name, _ in files] == ["out/f0", "out/f1"]
    assert "together" in left_out[0]["reason"]


def test_a_job_that_is_not_there_cannot_be_packed(tmp_path):
    with pytest.raises(AgentError, match="no job rep-9"), job_files.packed(str(tmp_path / "rep-9")):
        pass


def test_known_jobs_of_an_empty_board_are_none(tmp_path):
    assert probe.known_jobs(Workdir(str(tmp_path)), None) == []
