"""The undo list survives the agent that wrote it: killed at any moment, rebooted, leased by another, tampered with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunebench.targets.agent import lease, workdir
from tunebench.targets.agent.tuning import apply
from tunebench.targets.agent.workdir import AgentError, Workdir
from tunebench.targets.client.replies import Owner
from tunebench.targets.payload import Blob

ME = {"user": "me", "host": "here", "pid": 1, "token": "run-1"}
OTHER = {"user": "anna", "host": "there", "pid": 7, "token": "run-2"}
CPU = "sys/devices/system/cpu/cpufreq/"
WANTED = {"governor": "performance", "freq_khz": "max", "power_mode": "15W"}

#: An agent that is killed at its n-th privileged act, before or after it takes effect.
KILLED = """
import json, os, signal, sys
from tunebench.targets.agent.tuning import apply
from tunebench.targets.agent.tuning.system import System
from tunebench.targets.agent.workdir import Workdir

moment, left = sys.argv[3], int(sys.argv[4])

class Mortal(System):
    def _act(self, act, *args):
        global left
        left -= 1
        if left == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = act(*args)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    def write(self, name, text):
        return self._act(super().write, name, text)

    def do(self, argv, stdin=b""):
        return self._act(super().do, argv, stdin)

place, command = Workdir(sys.argv[1]), sys.argv[2]
print(json.dumps(getattr(apply, command)(place, json.load(sys.stdin), Mortal)))
"""


@pytest.fixture
def place(tmp_path: Path) -> Workdir:
    (tmp_path / "work").mkdir()
    return Workdir(str(tmp_path / "work"))


@pytest.fixture
def killed(place: Workdir, payload: Blob, tmp_path: Path) -> Any:
    """Run ``tune`` or ``untune`` from the payload, in an agent that is killed at a given moment."""
    archive = tmp_path / "payload.zip"
    archive.write_bytes(payload.read())

    def run(
        command: str, request: dict[str, Any], moment: str, act: int, python: str = sys.executable
    ) -> int:
        done = subprocess.run(
            [python, "-c", KILLED, place.root, command, moment, str(act)],
            input=json.dumps(request).encode(),
            cwd=place.root,  # else "-c" would find the checkout
            env={**os.environ, "PYTHONPATH": str(archive)},
            stdout=subprocess.DEVNULL,
            check=False,
            timeout=30,
        )
        return done.returncode

    return run


def state(tree: Any) -> dict[str, str]:
    """Return everything that WANTED can change."""
    paths = [*tree.root.glob(CPU + "policy*/scaling_[gm]*"), tree.root / ".commands/nvpmodel_-q.json"]
    return {str(path): path.read_text().strip() for path in sorted(paths)}


def undo_file(place: Workdir) -> Path:
    return Path(place.root) / "undo.json"


# Acts of tuning an Orin Nano: 1 the power mode; 2-3 governors; 4-5 minima (the maxima are right already).
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("act", [1, 2, 3, 5])
def test_an_agent_killed_at_any_moment_leaves_what_the_next_one_needs(simulated, place, killed, moment, act):
    tree = simulated("orin-nano-jp6")
    before = state(tree)
    request = {"root": str(tree), "owner": ME, "wanted": WANTED}
    assert killed("tune", request, moment, act) == -signal.SIGKILL
    assert undo_file(place).exists()
    reply = apply.untune(place, {"owner": OTHER})
    assert {row["state"] for row in reply["untuned"]} == {"restored"}
    assert state(tree) == before
    assert not undo_file(place).exists()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("act", [1, 3, 5])
def test_an_undo_that_is_killed_is_finished_by_the_next(simulated, place, killed, moment, act):
    tree = simulated("orin-nano-jp6")
    before = state(tree)
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": WANTED})
    assert state(tree) != before
    assert killed("untune", {"owner": ME}, moment, act) == -signal.SIGKILL
    assert {row["state"] for row in apply.untune(place, {"owner": OTHER})["untuned"]} == {"restored"}
    assert state(tree) == before
    assert apply.untune(place, {"owner": OTHER})["untuned"] == []


def test_an_agent_killed_on_python_3_6_is_undone(simulated, place, killed, python36):
    tree = simulated("orin-nano-jp6")
    before = state(tree)
    request = {"root": str(tree), "owner": ME, "wanted": WANTED}
    assert killed("tune", request, "after", 4, python36) == -signal.SIGKILL
    assert killed("untune", {"owner": ME}, "after", 99, python36) == 0
    assert state(tree) == before
    assert not undo_file(place).exists()


def test_after_a_reboot_only_what_persists_is_put_back(simulated, place):
    tree = simulated("orin-nano-jp6")
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": WANTED})
    undo = json.loads(undo_file(place).read_text())
    for entry in undo["entries"]:
        entry["boot_id"] = "of-the-boot-before"
    undo_file(place).write_text(json.dumps(undo))
    governor = tree.root / CPU / "policy0/scaling_governor"
    governor.write_text("ondemand\n")  # the boot's own choice
    rows = {row["op"]: row["state"] for row in apply.untune(place, {"owner": OTHER})["untuned"]}
    assert rows == {"frequency": "rebooted", "governor": "rebooted", "power_mode": "restored"}
    assert governor.read_text() == "ondemand\n"
    assert "MAXN_SUPER" in tree.read(".commands/nvpmodel_-q.json")
    assert not undo_file(place).exists()


def test_what_someone_has_set_since_is_left_to_them(simulated, place):
    tree = simulated("orin-nano-jp6")
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": {"governor": "performance"}})
    tree.write(CPU + "policy4/scaling_governor", "powersave\n")
    (row,) = apply.untune(place, {"owner": OTHER})["untuned"]
    assert row["state"] == "restored"
    assert "policy4/scaling_governor is powersave now, which is not ours" in row["reason"]
    assert tree.read(CPU + "policy0/scaling_governor").strip() == "schedutil"
    assert tree.read(CPU + "policy4/scaling_governor").strip() == "powersave"
    assert not undo_file(place).exists()


def test_tuning_again_keeps_what_was_there_at_first(simulated, place):
    tree = simulated("orin-nano-jp6")
    for governor in ("performance", "powersave"):
        apply.tune(place, {"root": str(tree), "owner": ME, "wanted": {"governor": governor}})
    (entry,) = json.loads(undo_file(place).read_text())["entries"]
    assert {(before, after) for _, before, after in entry["items"]} == {("schedutil", "powersave")}
    assert apply.untune(place, {"owner": ME})["untuned"][0]["state"] == "restored"
    assert tree.read(CPU + "policy0/scaling_governor").strip() == "schedutil"


def test_what_cannot_be_put_back_stays_on_the_list_with_its_reason(simulated, place):
    tree = simulated("orin-nano-jp6")
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": {"power_mode": "15W"}})
    mode = tree.root / ".commands/nvpmodel_-m_2.json"
    said = mode.read_text()
    mode.write_text(json.dumps({"argv": [], "rc": 1, "out": "NVPM ERROR: busy"}))
    (row,) = apply.untune(place, {"owner": ME})["untuned"]
    assert row["state"] == "failed"
    assert "NVPM ERROR: busy" in row["reason"]
    assert undo_file(place).exists()
    mode.write_text(said)
    assert apply.untune(place, {"owner": ME})["untuned"][0]["state"] == "restored"
    assert not undo_file(place).exists()


@pytest.mark.parametrize("command", ["tune", "untune"])
def test_a_board_that_another_has_leased_is_left_alone(simulated, place, command):
    tree = simulated("orin-nano-jp6")
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": {"governor": "performance"}})
    before, noted = state(tree), undo_file(place).read_text()
    with place.locked():
        lease.take(place, OTHER, "rep-9", 60.0)
    request = {"root": str(tree), "owner": ME, "wanted": {"governor": "powersave"}}
    with pytest.raises(AgentError, match="leased to anna@there") as refused:
        getattr(apply, command)(place, request)
    assert refused.value.kind == "lease"
    assert (state(tree), undo_file(place).read_text()) == (before, noted)
    assert getattr(apply, command)(place, {**request, "owner": OTHER})


def test_a_list_that_names_another_file_is_not_obeyed(simulated, place, tmp_path):
    tree = simulated("orin-nano-jp6")
    victim = tree.write("etc/passwd", "root\n")
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": {"governor": "performance"}})
    undo = json.loads(undo_file(place).read_text())
    undo["entries"][0]["items"] = [["etc/passwd", "evil", "root"]]
    undo_file(place).write_text(json.dumps(undo))
    (row,) = apply.untune(place, {"owner": ME})["untuned"]
    assert row["state"] == "failed"
    assert victim.read_text() == "root\n"


@pytest.mark.parametrize(
    "content", ["", "[]", '{"schema": "tunebench.undo/9", "entries": []}', '{"entries": [1]}']
)
def test_a_list_that_makes_no_sense_is_for_a_person_to_mend(place, content):
    undo_file(place).write_text(content)
    with pytest.raises(
        AgentError, match="put the board's state right by hand, then remove that file"
    ) as refused:
        apply.untune(place, {"owner": ME})
    assert refused.value.kind == "undo"


def test_the_undo_of_a_simulated_board_that_is_gone_ends(simulated, place):
    tree = simulated("pi-4", name="short-lived")
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": {"governor": "performance"}})
    tree.root.rename(tree.root.with_name("elsewhere"))
    (row,) = apply.untune(place, {"owner": OTHER})["untuned"]
    assert row["state"] == "left"
    assert not undo_file(place).exists()


def test_the_list_is_on_disk_before_the_change(simulated, place, monkeypatch):
    events = []
    write_json = workdir.write_json

    def noted(path: str, value: dict[str, Any], durable: bool = False) -> None:
        events.append(("noted", durable))
        write_json(path, value, durable)

    class Watched(apply.System):
        """Notes when a file is changed."""

        def write(self, name: str, text: str) -> Any:
            events.append(("changed", name.rpartition("/")[2]))
            return super().write(name, text)

    monkeypatch.setattr(workdir, "write_json", noted)
    tree = simulated("pi-4")
    apply.tune(place, {"root": str(tree), "owner": ME, "wanted": {"governor": "performance"}}, Watched)
    assert events == [("noted", True), ("changed", "scaling_governor")]


# -- over SSH --------------------------------------------------------------------------------------


def test_the_agent_s_commands_tune_and_untune_over_ssh(make_board, simulated):
    tree = simulated("orin-nano-jp6")
    before = state(tree)
    board = make_board(root=str(tree))
    assert board.probe().undo_pending is False
    assert board.tune(Owner(**ME), {"governor": "performance"}).changes[0].state == "set"
    probe = board.probe()
    assert (probe.undo_pending, probe.governor) == (True, "performance")
    assert board.untune(Owner(**ME)).changes[0].state == "restored"
    assert state(tree) == before
    assert board.probe().undo_pending is False


def test_nothing_is_undone_under_a_repetition_of_one_s_own_that_still_runs(make_board, make_job, simulated):
    tree = simulated("pi-4")
    board = make_board(root=str(tree))
    owner = Owner(user="me", host="here", pid=os.getpid(), token="mine")
    board.tune(owner, {"governor": "performance"})
    board.start(make_job(program="import time; time.sleep(30)"))
    reply = board.untune(owner)
    assert reply.changes == []
    assert reply.kept == "repetition rep-1 still runs on it"
    board.clean("rep-1")
    assert board.untune(owner).changes[0].state == "restored"
