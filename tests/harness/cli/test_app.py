"""The command: every mistake ends with one clear message and its documented exit code, never a traceback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ctrl_c, warm

REMOTE = """
[[board]]
id = "remote"
kind = "linux"
host = "127.0.0.1"
port = {port}
user = "nobody"
timeouts = {{ connect_s = 3.0 }}
"""


def _fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> str:
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    for text in words:
        assert text in done.stderr, done.stderr
    return done.stderr


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_an_unknown_inventory_key_ends_with_2(cli, tmp_path):
    (tmp_path / "lab.toml").write_text('[[board]]\nid = "x"\nkind = "loopback"\nhots = "y"\n')
    _fails(
        cli("run", "-i", "lab.toml"), 2, "lab.toml", "board 'x'", "unknown key 'hots' (did you mean 'host'?)"
    )


def test_an_unknown_method_ends_with_2_and_names_the_known_ones(cli, lab):
    _fails(cli("run", "-i", str(lab("here")), "-m", "magic"), 2, "unknown method 'magic'", "skip2-lora")


def test_an_unknown_suite_ends_with_2(cli, lab):
    _fails(cli("plan", "-i", str(lab("here")), "-s", "tomorrow"), 2, "built in: smoke")


def test_an_unwritable_out_directory_ends_with_2(cli, lab, tmp_path):
    (tmp_path / "file").write_text("")
    _fails(cli("run", "-i", str(lab("here")), "-o", "file"), 2, "--out file: cannot be written")


def test_an_unreachable_host_ends_with_4(cli, tmp_path, sleep_suite):
    (tmp_path / "lab.toml").write_text(REMOTE.format(port=_free_port()))
    message = _fails(cli("run", "-i", "lab.toml", "-s", str(sleep_suite(["a"]))), 4, "remote: quarantined")
    assert "127.0.0.1" in message


def test_a_changed_host_key_ends_with_4_and_says_what_to_do(cli, tmp_path, sleep_suite):
    from tunebench.targets.virtual.loopback import LoopbackServer

    with LoopbackServer() as server:
        endpoint = server.endpoint
        ours = Path(str(endpoint.known_hosts)).read_text()
        key = ours.split()[2]
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
        changed = other.with_suffix(".pub").read_text().split()[1]
        assert changed != key
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{endpoint.port} ssh-ed25519 {changed}\n")
        text = REMOTE.format(port=endpoint.port) + f'known_hosts = "{known}"\nkey = "{endpoint.key_file}"\n'
        (tmp_path / "lab.toml").write_text(text.replace('user = "nobody"', f'user = "{endpoint.user}"'))
        message = _fails(cli("run", "-i", "lab.toml", "-s", str(sleep_suite(["a"]))), 4, "host key")
    assert str(known) in message


def test_a_missing_interpreter_ends_with_3_and_names_it(cli, lab, sleep_suite):
    inventory = lab("here", extra='interpreter = "/opt/nowhere/python"')
    done = cli("run", "-i", str(inventory), "-s", str(sleep_suite(["a"])))
    _fails(done, 3, "/opt/nowhere/python", "skips sleep a")


def test_missing_torch_ends_with_3_and_names_the_interpreter(cli, lab, bare_python):
    inventory = lab("here", extra=f'interpreter = "{bare_python}"')
    done = cli("run", "-i", str(inventory), "-s", "smoke", "-m", "ft-all")
    _fails(done, 3, bare_python, "torch")


@pytest.mark.slow
def test_a_failing_workload_ends_with_1(cli, lab, sleep_suite):
    suite = sleep_suite(["a"], blocks=2, more=", fail_in_block = 0")
    _fails(cli("run", "-i", str(lab("here")), "-s", str(suite)), 1, "failed")


def test_a_missing_option_is_a_usage_error(cli):
    done = cli("run")
    assert done.returncode == 2
    assert "--inventory" in done.stderr


def test_a_report_of_nothing_ends_with_2(cli, tmp_path):
    _fails(cli("report", str(tmp_path)), 2, str(tmp_path))


@pytest.mark.slow
def test_every_command_has_a_help_that_suffices(cli):
    top = cli("--help").stdout
    for command in ("demo", "boards", "plan", "run", "report", "prepare", "suites"):
        assert command in top
        shown = cli(command, "--help")
        assert shown.returncode == 0
        assert len(shown.stdout) > 200
    assert "Exit codes" in top


def test_plan_is_a_dry_run_with_json_and_no_invented_eta(cli, lab, tmp_path):
    done = cli("plan", "-i", str(lab("here", "there")), "-s", "demo", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["eta_s"] is None
    assert {board["board_id"] for board in plan["boards"]} == {"here", "there"}
    assert not list(tmp_path.glob("work-*"))
    text = cli("plan", "-i", str(lab("here")), "-s", "demo").stdout
    assert "ETA unknown" in text
    assert "skip2-lora" in text


def test_plan_says_how_weights_are_updated_where_it_is_not_the_plain_way(cli, lab, tmp_path):
    suite = tmp_path / "trained.toml"
    suite.write_text(
        '[suite]\nname = "trained"\nblocks = 1\naa = false\n[[workload]]\ndataset = "digits"\nmodel = "mlp"\n'
        'methods = ["ft-all", "lora-all"]\noptimizer = "adamw"\nschedule = "cosine"\nlora_plus = 4\n'
    )
    words = ["plan", "-i", str(lab("here")), "-s", str(suite)]
    rows = {line.split()[1]: line for line in cli(*words).stdout.splitlines() if "digits/mlp  " in line}
    assert rows["ft-all"].endswith("; AdamW, cosine schedule")
    assert rows["lora-all"].endswith("; AdamW, cosine schedule, LoRA+ 4")
    workloads = json.loads(cli(*words, "--json").stdout)["workloads"]
    assert [(row["label"], row["params"].get("lora_plus")) for row in workloads] == [
        ("ft-all", None), ("lora-all", 4.0),
    ]  # fmt: skip


@pytest.mark.slow
def test_run_then_report_then_an_eta_from_history(cli, lab, sleep_suite, tmp_path):
    inventory, suite = str(lab("here")), str(sleep_suite(["a", "b"], blocks=1))
    done = cli("run", "-i", inventory, "-s", suite, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(tmp_path, result["run"], "run.json").is_file()
    reported = cli("report", result["run"], "--html", "r.html", "--json", "r.json")
    assert reported.returncode == 0, reported.stderr
    assert "<html" in (tmp_path / "r.html").read_text()
    assert json.loads((tmp_path / "r.json").read_text())["schema"]
    planned = json.loads(cli("plan", "-i", inventory, "-s", suite, "--json").stdout)
    assert 0 < planned["eta_s"] < 60
    refused = cli("report", result["run"], "--baseline", "zzz")
    _fails(refused, 2, "--baseline 'zzz': not in this run; it has: a, b")


@pytest.mark.slow
def test_boards_shows_what_is_found_and_what_stays_empty(cli, lab):
    done = cli("boards", "-i", str(lab("here")), "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["reachable"] is True
    assert row["interpreters"][0]["python"].count(".") == 2
    assert row["channels"]
    assert row["missing"]
    assert "here" in cli("boards", "-i", str(lab("here"))).stdout


@pytest.mark.slow
def test_ctrl_c_frees_the_board_and_leaves_a_resumable_run(lab, sleep_suite, tmp_path, cli):
    inventory, suite = str(lab("here")), str(sleep_suite(["a"], blocks=3, sleep_s=3.0))
    process = warm.Popen(
        [sys.executable, "-m", "tunebench", "run", "-i", inventory, "-s", suite],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=ctrl_c.heed,
    )
    try:
        _wait_for(
            lambda: (list(tmp_path.glob("results/**/reps.jsonl")) or [None])[0],
            lambda path: path.stat().st_size,
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "work-here" / "jobs").iterdir())
    assert not (tmp_path / "work-here" / "lease.json").exists()
    done = cli("run", "-i", inventory, "-s", suite, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("results/**/run.json"))) == 1
    (reps,) = tmp_path.glob("results/**/reps.jsonl")
    ids = [json.loads(line)["rep_id"] for line in reps.read_text().splitlines()]
    assert len(ids) == len(set(ids)) == 3


def _wait_for(find, enough, limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        path = find()
        if path is not None and enough(path):
            return
        time.sleep(0.1)
    pytest.fail("it did not come")
