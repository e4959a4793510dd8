"""A campaign on real loopback boards: records, parallel boards, nothing uploaded twice, resume."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.sshd import quick_server
from tunebench.harness.campaign.session import exit_code
from tunebench.harness.errors import UsageError
from tunebench.targets.virtual import dropbear, tinyssh
from tunebench.targets.virtual.openssh import find_sshd


def test_every_repetition_is_recorded_once_with_its_trace_of_evidence(campaign, lab, sleep_suite, tmp_path):
    ran = campaign(lab("here"), sleep_suite(aa=True, blocks=2))
    reader = ran.reader
    assert reader.manifest is not None
    assert reader.verify() == []
    assert Counter(record.label for record in reader.repetitions) == {"a": 2, "b": 2, "a (A/A)": 2}
    for record in reader.repetitions:
        assert record.outcome == "ok"
        assert 0.05 <= record.wall_s < 1.0
        assert record.verdict == "degraded"
        assert record.reasons[0].code == "shared-machine"
        assert (record.quality.before, record.quality.after) == (0.5, 0.75)
        assert record.peak_rss_b > 1_000_000
        assert record.ssh_channels <= 6
        assert record.clock_offset.bound_s < 0.5
        assert record.energy is None
        assert record.missing["energy"]
        assert "hello from" in reader.log(record)
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0
    assert reader.env("here", "before").env_sha256 == reader.env("here", "after").env_sha256
    assert list((tmp_path / "work-here" / "jobs").iterdir()) == []


@pytest.mark.slow
def test_a_second_run_uploads_nothing_and_the_log_says_so(campaign, lab, sleep_suite):
    inventory, suite = lab("here"), sleep_suite(["a"], blocks=1)
    first = campaign(inventory, suite)
    second = campaign(inventory, suite)
    assert not any("uploaded 0 bytes" in line for line in first.notes)
    assert any(
        "here: uploaded 0 bytes (0 of 2 files; 2 were there and verified)" in line for line in second.notes
    )


@pytest.mark.slow
@pytest.mark.alone
def test_two_boards_take_at_most_sixty_percent_of_one_after_the_other(campaign, lab, sleep_suite):
    suite = sleep_suite(["a"], blocks=3, sleep_s=1.5)
    alone_s = 0.0
    for board in ("one", "two"):
        started_s = time.monotonic()
        campaign(lab(board), suite)
        alone_s += time.monotonic() - started_s
    started_s = time.monotonic()
    ran = campaign(lab("one", "two"), suite)
    together_s = time.monotonic() - started_s
    assert len(ran.reader.repetitions) == 6
    assert together_s <= 0.6 * alone_s, f"{together_s:.2f} s together, {alone_s:.2f} s one after the other"


@pytest.mark.slow
def test_a_failing_workload_is_an_outcome_with_its_log_and_the_rest_goes_on(campaign, lab, sleep_suite):
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=3, more=", fail_in_block = 1"))
    outcomes = {record.block: record for record in ran.reader.repetitions}
    assert [outcomes[block].outcome for block in range(3)] == ["ok", "failed", "ok"]
    assert outcomes[1].verdict == "invalid"
    assert outcomes[1].wall_s is None
    assert "told to fail" in ran.reader.log(outcomes[1])
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 1


@pytest.mark.slow
def test_the_board_ends_a_workload_at_its_deadline(campaign, lab, sleep_suite):
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=1, sleep_s=50, deadline_s=1.5))
    (record,) = ran.reader.repetitions
    assert record.outcome == "deadline"
    assert record.process_s < 10


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_at_the_first_unfinished_repetition(
    campaign, lab, sleep_suite, monkeypatch
):
    from tunebench.harness.campaign import board_run as module

    inventory, suite = lab("here"), sleep_suite(["a", "b"], blocks=3)
    real = module.run_repetition
    calls = []

    def interrupted(link, job, context, state, **options):
        calls.append(job.planned.rep_id)
        if len(calls) == 3:
            raise module.Interrupted
        return real(link, job, context, state, **options)

    monkeypatch.setattr(module, "run_repetition", interrupted)
    first = campaign(inventory, suite)
    assert first.reader.manifest is None
    assert len(first.reader.repetitions) == 2
    monkeypatch.setattr(module, "run_repetition", real)
    second = campaign(inventory, suite, resume=True)
    assert second.path == first.path
    assert second.reader.manifest is not None
    ids = [record.rep_id for record in second.reader.repetitions]
    assert len(ids) == len(set(ids)) == 6
    assert second.reader.verify() == []


@pytest.mark.slow
def test_resume_refuses_a_changed_suite_and_names_the_difference(campaign, lab, sleep_suite, monkeypatch):
    from tunebench.harness.campaign import board_run as module

    def interrupted(link, job, context, state, **options):
        raise module.Interrupted

    inventory = lab("here")
    monkeypatch.setattr(module, "run_repetition", interrupted)
    campaign(inventory, sleep_suite(["a"], blocks=3))
    with pytest.raises(UsageError, match=r"(?s)cannot be resumed.*suite\.blocks: 3 -> 4"):
        campaign(inventory, sleep_suite(["a"], blocks=4), resume=True)
    with pytest.raises(UsageError, match=r"(?s)cannot be resumed.*boards: changed in the inventory"):
        campaign(lab("here", extra='python = "python3"'), sleep_suite(["a"], blocks=3), resume=True)


@pytest.mark.slow
def test_resume_refuses_files_of_ones_own_method_that_have_changed(campaign, lab, sleep_suite, monkeypatch):
    from tunebench.harness.campaign import board_run as module

    def interrupted(link, job, context, state, **options):
        raise module.Interrupted

    inventory, suite = lab("here"), sleep_suite(["a", "b"], blocks=3)
    monkeypatch.setattr(module, "run_repetition", interrupted)
    campaign(inventory, suite)
    script = suite.parent / "sleep.py"
    script.write_text(script.read_text().replace("0.75", "0.99"))
    with pytest.raises(UsageError, match=r"(?s)cannot be resumed.*own\.sleep a: .* -> .*own\.sleep b: "):
        campaign(inventory, suite, resume=True)


@pytest.mark.slow
def test_resume_refuses_another_machine_under_the_boards_name_and_says_what_differs(
    campaign, lab, sleep_suite, monkeypatch
):
    from tunebench.harness.campaign import board_run as module

    inventory, suite = lab("here"), sleep_suite(["a"], blocks=2)
    real_run, real_probe, calls = module.run_repetition, module.Board.probe, []

    def interrupted(link, job, context, state, **options):
        calls.append(job)
        if len(calls) == 2:
            raise module.Interrupted
        return real_run(link, job, context, state, **options)

    def another(self, *args):  # a fake: there is no second machine to plug in
        probe = real_probe(self, *args)
        hardware = {**probe.fingerprint["hardware"], "serial_sha256": "other", "ram_b": 1}
        return probe.model_copy(update={"fingerprint": {**probe.fingerprint, "hardware": hardware}})

    monkeypatch.setattr(module, "run_repetition", interrupted)
    campaign(inventory, suite)
    monkeypatch.setattr(module.Board, "probe", another)
    refused = campaign(inventory, suite, resume=True)
    assert "-> other" in refused.outcome.given_up["here"]
    assert "ram_b" not in refused.outcome.given_up["here"]
    assert refused.reader.manifest is None, "nothing is skipped for good: the right board can still go on"
    monkeypatch.undo()
    assert campaign(inventory, suite, resume=True).reader.manifest is not None


@pytest.mark.slow
def test_what_a_dead_host_left_on_the_board_is_attached_and_not_run_twice(
    campaign, lab, sleep_suite, monkeypatch, tmp_path
):
    """The host dies after the start: the job ends on the board, and the resumed run harvests that one."""
    from tunebench.harness.board import lease
    from tunebench.harness.campaign import repetition

    inventory, suite = lab("here"), sleep_suite(["a"], blocks=1, sleep_s=0.3)
    real_wait = repetition._wait_for_end
    monkeypatch.setattr(repetition, "_wait_for_end", _die)
    monkeypatch.setattr(lease.BoardLease, "free", lambda *_: None)
    first = campaign(inventory, suite)
    assert first.reader.repetitions == []
    _until(lambda: list(tmp_path.glob("work-here/jobs/*/exit.json")))
    monkeypatch.setattr(repetition, "_wait_for_end", real_wait)
    (ended,) = tmp_path.glob("work-here/jobs/*/exit.json")
    exit_record = json.loads(ended.read_text())
    second = campaign(inventory, suite, resume=True)
    (record,) = second.reader.repetitions
    assert record.outcome == "ok"
    # The record is of the process that ran on while the host was dead, not of a second one.
    assert record.process_s == exit_record["process_s"]


@pytest.mark.slow
def test_a_host_that_died_after_the_last_record_is_tidied_up_after_and_nothing_is_run_again(
    campaign, lab, sleep_suite, monkeypatch, tmp_path
):
    from tunebench.harness.board import lease

    inventory, suite = lab("here"), sleep_suite(["a"], blocks=1)
    with monkeypatch.context() as dead:
        dead.setattr(lease, "clean_up", _die)
        dead.setattr(lease.BoardLease, "free", lambda *_: None)
        dead.setattr(lease.BoardLease, "leave", lambda *_: None)
        first = campaign(inventory, suite)
    (first.reader.path / "run.json").unlink()
    work = tmp_path / "work-here"
    assert len(list(work.glob("jobs/*"))) == 1
    assert (work / "lease.json").exists()
    second = campaign(inventory, suite, resume=True)
    assert len(second.reader.repetitions) == 1
    assert second.reader.manifest is not None
    assert list(work.glob("jobs/*")) == []
    assert not (work / "lease.json").exists()


def _until(condition, limit_s: float = 20.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.02)


def _die(*_: object) -> None:
    from tunebench.harness.board.link import Interrupted

    raise Interrupted


@pytest.mark.slow
def test_an_unreachable_board_is_quarantined_and_the_others_run(campaign, lab, sleep_suite):
    inventory = lab("here")
    inventory.write_text(
        inventory.read_text() + '\n[[board]]\nid = "gone"\nkind = "linux"\nhost = "127.0.0.1"\nport = 9\n'
    )
    ran = campaign(inventory, sleep_suite(["a"], blocks=1))
    assert set(ran.outcome.given_up) == {"gone"}
    assert "127.0.0.1" in ran.outcome.given_up["gone"]
    assert {record.board_id for record in ran.reader.repetitions} == {"here"}
    assert ran.reader.manifest is None, "it can be resumed (test_missing_boards.py)"
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 3


@pytest.mark.slow
def test_nothing_of_the_inventory_s_addresses_reaches_the_results(campaign, lab, sleep_suite):
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=1))
    text = "".join(
        path.read_text(errors="replace") for path in ran.path.rglob("*.json*") if path.suffix != ".gz"
    )
    assert "known_hosts" not in text
    assert "PRIVATE KEY" not in text
    assert os.environ.get("HOME", "/nowhere") + "/.ssh" not in text


@pytest.mark.openssh
@pytest.mark.parametrize(
    ("kind", "transport"),
    [("openssh", "paramiko"), ("openssh", "openssh"), ("dropbear", "paramiko"), ("tinyssh", "openssh")],
)
def test_the_same_campaign_runs_over_other_servers(
    campaign, sleep_suite, tmp_path, bare_python, kind, transport
):
    """Reach the board as a remote one: host key in known_hosts, key file, port, user; no server of ours in between.

    Behind dropbear there are BusyBox's programs only.
    """
    missing = {
        "openssh": None if find_sshd() else "no sshd on this machine: install openssh-server",
        "dropbear": dropbear.what_is_missing(),
        "tinyssh": tinyssh.what_is_missing(),
    }[kind]
    if missing is not None:
        pytest.skip(missing)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    servers = {
        "openssh": quick_server,
        "dropbear": dropbear.DropbearServer,
        "tinyssh": tinyssh.TinySshServer,
    }
    with servers[kind](keys) as server:
        end = server.endpoint
        inventory = tmp_path / "lab.toml"
        inventory.write_text(
            f'[[board]]\nid = "real"\nkind = "linux"\nhost = "127.0.0.1"\nport = {end.port}\nuser = "{end.user}"\n'
            f'key = "{end.key_file}"\nknown_hosts = "{end.known_hosts}"\npython = "{sys.executable}"\n'
            f'interpreter = "{bare_python}"\ngates = "warn"\nworkdir = "{tmp_path}/work"\n'
            f'transport = "{transport}"\n'
        )
        ran = campaign(inventory, sleep_suite(["a"], blocks=2))
    assert ran.outcome.given_up == {}
    records = ran.reader.repetitions
    assert [record.outcome for record in records] == ["ok", "ok"]
    assert all(record.ssh_channels <= 6 for record in records)
    assert "shared-machine" not in {reason.code for record in records for reason in record.reasons}


@pytest.mark.slow
def test_a_blob_that_vanished_from_the_board_is_pushed_again(
    campaign, lab, sleep_suite, tmp_path, monkeypatch
):
    from tunebench.harness.campaign import board_run as module

    real = module.run_repetition

    def tidied(link, job, context, state, **options):
        if job.planned.block == 1:
            for blob in (tmp_path / "work-here" / "blobs").iterdir():
                if blob.name == job.blobs["own"].name:
                    blob.unlink()
        return real(link, job, context, state, **options)

    monkeypatch.setattr(module, "run_repetition", tidied)
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=2))
    assert [record.outcome for record in ran.reader.repetitions] == ["ok", "ok"]


@pytest.mark.slow
@pytest.mark.torch
def test_all_methods_of_a_block_meet_the_same_bytes(campaign, lab):
    """Data, start weights and seed are the same, and the correctness check was run and passed."""
    ran = campaign(lab("here"), "smoke", methods="ft-all,skip2-lora")
    records = [
        record for record in ran.reader.repetitions if record.role == "timed" and record.task == "digits/mlp"
    ]
    assert len({record.prov.data_sha256 for record in records}) == 1
    assert len({record.prov.weights_sha256 for record in records}) == 1
    assert len({record.quality.before for record in records}) == 1
    assert all(record.quality.after > record.quality.before for record in records)
    (check,) = [record for record in ran.reader.repetitions if record.role == "check"]
    assert check.check["passed"] is True


def test_an_unwritable_results_root_is_found_before_a_board_is_touched(campaign, lab, sleep_suite, tmp_path):
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(UsageError, match="cannot be written"):
        campaign(lab("here"), sleep_suite(["a"]))
    assert not (Path(tmp_path) / "work-here").exists()


@pytest.mark.slow
def test_a_whole_command_as_interpreter_runs_a_campaign(lab, sleep_suite, campaign, tmp_path):
    # Behaves like docker exec: an environment and a folder of its own.
    fake = tmp_path / "fake-docker"
    fake.write_text(
        f'#!/bin/sh\nshift 3\ncd /\nexec env -i HOME=/ PATH=/usr/bin:/bin {sys.executable} "$@"\n'
    )
    fake.chmod(0o755)
    words = json.dumps([str(fake), "exec", "-i", "l4t"])
    ran = campaign(lab("here", extra=f"interpreter = {words}"), sleep_suite(["a"], blocks=1))
    assert [record.outcome for record in ran.reader.repetitions] == ["ok"]
    assert all(record.wall_s >= 0.05 for record in ran.reader.repetitions if record.role == "timed")
