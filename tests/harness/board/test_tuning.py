"""[board.tuning] in a campaign: set, recorded, put back; and put back by the next run when the host was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import ctrl_c, warm
from tunebench.harness.campaign.session import exit_code
from tunebench.harness.config.inventory import TuningKeys, load_inventory
from tunebench.harness.errors import UsageError

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"


@pytest.fixture
def tree(simulated: Any) -> Any:
    return simulated("orin-nano-jp6")


@pytest.fixture
def tuned_lab(lab: Callable[..., Path], tree: Any) -> Callable[..., Path]:
    """An inventory with one board on a simulated tree; ``keys`` go to its [board.tuning]."""

    def write(keys: str = "") -> Path:
        # Without site-packages there is no torch: its import would take longer than all the rest.
        extra = f'interpreter = ["{sys.executable}", "-S"]\nsimulated_root = "{tree}"'
        return lab("orin", extra=f"{extra}\n[board.tuning]\n{keys}" if keys else extra)

    return write


@pytest.fixture
def undo(tmp_path: Path) -> Path:
    return tmp_path / "work-orin" / "undo.json"


def governor(tree: Any) -> str:
    return tree.read(GOVERNOR).strip()


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
def test_what_is_asked_for_holds_in_the_run_stands_in_its_records_and_is_put_back(
    campaign, tuned_lab, sleep_suite, tree, undo
):
    ran = campaign(tuned_lab('governor = "performance"\npower_mode = "15W"'), sleep_suite(["a"], blocks=1))
    (record,) = ran.reader.repetitions
    assert record.prov.tuning == {"power_mode": "15W", "governor": "performance"}
    assert record.power_mode == "15W"
    assert "tuning" not in {reason.code for reason in record.reasons}
    before = ran.reader.env("orin", "before")
    assert before.fingerprint["os"]["governor"] == "performance"
    assert ran.reader.env("orin", "after").env_sha256 == before.env_sha256
    assert [(row["op"], row["state"], row["before"]) for row in before.tuning] == [
        ("power_mode", "set", "MAXN_SUPER"),
        ("governor", "set", "schedutil"),
    ]
    assert governor(tree) == "schedutil"
    assert "MAXN_SUPER" in tree.read(".commands/nvpmodel_-q.json")
    assert not undo.exists()
    assert "orin: tuning: governor: schedutil -> performance" in ran.notes
    assert "orin: tuning: governor: restored, performance -> schedutil" in ran.notes


@pytest.mark.slow
def test_a_tuning_that_fails_degrades_what_is_measured(campaign, tuned_lab, sleep_suite, tree):
    ran = campaign(tuned_lab('governor = "warp"'), sleep_suite(["a"], blocks=1))
    (record,) = ran.reader.repetitions
    (reason,) = [reason for reason in record.reasons if reason.code == "tuning"]
    assert reason.level == "degraded"
    assert "governor 'warp' is not offered; there are: conservative" in reason.message
    assert record.prov.tuning == {}
    assert record.series_key != ""


def test_a_tuning_that_is_required_and_fails_skips_the_board_and_leaves_it_as_it_was(
    campaign, tuned_lab, sleep_suite, tree, undo
):
    keys = 'governor = "performance"\npower_mode = "TURBO"\nrequired = true'
    ran = campaign(tuned_lab(keys), sleep_suite(["a"], blocks=1))
    assert ran.reader.repetitions == []
    assert "[board.tuning] is required: power_mode: no power mode 'TURBO'" in ran.outcome.given_up["orin"]
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 4
    assert governor(tree) == "schedutil"
    assert not undo.exists()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start ``tunebench run`` as a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def run(inventory: Path, suite: Path, *more: str) -> subprocess.Popen[bytes]:
        words = [
            sys.executable,
            "-m",
            "tunebench",
            "run",
            "--inventory",
            inventory,
            "--suite",
            suite,
        ]
        process = warm.Popen(
            [str(word) for word in (*words, "--out", tmp_path / "results", *more)],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=ctrl_c.heed,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def running(work: Path) -> list[Path]:
    """Return the repetitions on a board that have begun and not ended."""
    return [path for path in work.glob("jobs/*/supervisor.json") if not (path.parent / "exit.json").exists()]


def expire(lease: Path) -> None:
    """Give the lease the age of one whose time has passed."""
    if lease.exists():
        lease.write_text(json.dumps({**json.loads(lease.read_text()), "expires_boottime_s": 1.0}))


@pytest.mark.parametrize(
    ("moment", "keys"),
    [
        ("in a repetition", ""),
        pytest.param("in a repetition", 'governor = "powersave"', marks=pytest.mark.slow),
        pytest.param("while it tunes", "", marks=pytest.mark.slow),
        pytest.param("while it tunes", 'governor = "powersave"', marks=pytest.mark.slow),
    ],
)
def test_the_next_run_restores_what_a_host_killed_by_sigkill_has_left(
    campaign, tuned_lab, sleep_suite, host, tree, undo, moment, keys
):
    work = undo.parent
    before_kill = undo.exists if moment == "while it tunes" else lambda: running(work)
    if moment == "while it tunes":
        # The switch of the power mode takes long enough to be killed in.
        answer = json.loads(tree.read(".commands/nvpmodel_-m_0.json"))
        tree.write(".commands/nvpmodel_-m_0.json", json.dumps({**answer, "delay_s": 1.5}))
    first = host(
        tuned_lab('governor = "performance"\npower_mode = "15W"'), sleep_suite(["a"], blocks=3, sleep_s=1.0)
    )
    until(before_kill)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert undo.exists()
    if moment == "in a repetition":
        assert governor(tree) == "performance"
        until(lambda: not running(work))  # detached, it runs to its end
    expire(work / "lease.json")
    ran = campaign(tuned_lab(keys), sleep_suite(["b"], blocks=1, name="next"))
    restored = [line for line in ran.notes if "left the board tuned" in line]
    assert any("power_mode: restored, 15W -> MAXN_SUPER" in line for line in restored)
    if moment == "in a repetition":
        assert any("governor: restored, performance -> schedutil" in line for line in restored)
    (record,) = ran.reader.repetitions
    assert record.outcome == "ok"
    assert record.power_mode == "MAXN_SUPER"
    probed_governor = ran.reader.env("orin", "before").fingerprint["os"]["governor"]
    assert probed_governor == ("powersave" if keys else "schedutil")
    assert governor(tree) == "schedutil"
    assert not undo.exists()


@pytest.mark.slow
def test_a_resumed_run_does_not_disturb_its_own_repetition_that_still_runs(
    campaign, tuned_lab, sleep_suite, host, tree, undo
):
    inventory = tuned_lab('governor = "performance"')
    suite = sleep_suite(["a"], blocks=2, sleep_s=8.0)
    first = host(inventory, suite)
    until(lambda: running(undo.parent))
    first.send_signal(signal.SIGKILL)
    first.wait()
    ran = campaign(inventory, suite, resume=True)
    assert any("left tuned: repetition" in line and "still runs on it" in line for line in ran.notes)
    assert [record.outcome for record in ran.reader.repetitions] == ["ok", "ok"]
    assert [record.prov.tuning for record in ran.reader.repetitions] == [{"governor": "performance"}] * 2
    assert governor(tree) == "schedutil"
    assert not undo.exists()


@pytest.mark.slow
def test_ctrl_c_puts_the_board_back(tuned_lab, sleep_suite, host, tree, undo):
    process = host(tuned_lab('governor = "performance"'), sleep_suite(["a"], blocks=3, sleep_s=20.0))
    until(lambda: running(undo.parent))
    assert governor(tree) == "performance"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert governor(tree) == "schedutil"
    assert not undo.exists()


def test_a_list_that_makes_no_sense_stops_the_board_and_says_what_to_do(
    campaign, tuned_lab, sleep_suite, undo
):
    undo.parent.mkdir()
    undo.write_text("{}")
    ran = campaign(tuned_lab(), sleep_suite(["a"], blocks=1))
    assert "put the board's state right by hand, then remove that file" in ran.outcome.given_up["orin"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            'governer = "performance"',
            "unknown key 'governer' (did you mean 'governor'?); allowed: drop_caches, freq_khz",
        ),
        ('freq_khz = "fast"', "expected a number of kHz or \"max\", got 'fast'"),
        (
            "freq_khz = 1500000\nmax_freq_khz = 1800000",
            "it does not go with 'min_freq_khz' or 'max_freq_khz'",
        ),
        ('freq_khz = "max"\njetson_clocks = true', "'jetson_clocks' fixes the clocks itself"),
        ('power_mode = "15W; reboot"', "expected a name as the board itself uses it"),
        ("power_mode = 0", "power_mode"),
    ],
)
def test_a_mistake_in_board_tuning_is_named_with_its_board_and_key(tuned_lab, keys, message):
    with pytest.raises(UsageError) as error:
        load_inventory(tuned_lab(keys))
    assert message in str(error.value)
    assert "board 'orin'" in str(error.value)


def test_only_what_is_given_is_asked_of_the_board():
    assert TuningKeys().wanted() == {}
    keys = TuningKeys(governor="performance", freq_khz="max", drop_caches=True, required=True)
    assert keys.wanted() == {"governor": "performance", "freq_khz": "max", "drop_caches": True}
