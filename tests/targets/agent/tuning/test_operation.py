"""Reversible operations on simulated boards: read, check, note, set, verify, restore."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boards import trees
from tunebench.targets.agent.tuning import apply
from tunebench.targets.agent.tuning.cpufreq import Frequency
from tunebench.targets.agent.tuning.system import Done, System, sudoers_line
from tunebench.targets.agent.workdir import AgentError, Workdir

ME = {"user": "me", "host": "here", "pid": 1, "token": "run-1"}
CPU = "sys/devices/system/cpu/cpufreq/"


@pytest.fixture
def place(tmp_path: Path) -> Workdir:
    (tmp_path / "work").mkdir()
    return Workdir(str(tmp_path / "work"))


@pytest.fixture
def tune(place: Workdir) -> Callable[..., list[dict[str, Any]]]:
    def run(tree: Any, make: Any = System, **wanted: Any) -> list[dict[str, Any]]:
        request = {"root": str(tree), "owner": ME, "wanted": wanted}
        return apply.tune(place, request, make)["tuned"]

    return run


@pytest.fixture
def untune(place: Workdir) -> Callable[..., list[dict[str, Any]]]:
    def run(make: Any = System) -> list[dict[str, Any]]:
        return apply.untune(place, {"owner": ME}, make)["untuned"]

    return run


def contents(tree: Any) -> dict[str, str]:
    """Return every file of a board, without those that stand for its programs' memory."""
    return {
        str(path.relative_to(tree.root)): path.read_text()
        for path in sorted(tree.root.rglob("*"))
        if path.is_file() and "var" not in path.relative_to(tree.root).parts
    }


def same(value: dict[str, str]) -> dict[str, str]:
    return {name: text.strip() for name, text in value.items()}


@pytest.mark.parametrize(
    ("board", "wanted"),
    [
        ("orin-nano-jp6", {"governor": "performance"}),
        ("orin-nano-jp6", {"freq_khz": "max", "governor": "performance", "power_mode": "15W"}),
        ("agx-orin-jp6", {"max_freq_khz": 1000000}),
        ("tx2-jp4", {"power_mode": "MAXN", "min_freq_khz": 1500000}),
        ("pi-5", {"governor": "performance", "freq_khz": 1800000}),
    ],
)
def test_what_is_set_is_read_back_noted_and_undone_to_the_byte(simulated, place, tune, untune, board, wanted):
    tree = simulated(board)
    before = same(contents(tree))
    rows = tune(tree, **wanted)
    assert [row["state"] for row in rows] == ["set"] * len(rows)
    assert same(contents(tree)) != before
    assert os.path.exists(os.path.join(place.root, "undo.json"))
    assert {row["state"] for row in untune()} == {"restored"}
    assert same(contents(tree)) == before
    assert not os.path.exists(os.path.join(place.root, "undo.json"))
    assert untune() == []


def test_a_governor_is_set_on_every_cluster(simulated, tune):
    tree = simulated("orin-nano-jp6")
    (row,) = tune(tree, governor="performance")
    assert (row["before"], row["after"], row["how"]) == ("schedutil", "performance", "direct")
    governors = [
        path.read_text().strip() for path in sorted(tree.root.glob(CPU + "policy*/scaling_governor"))
    ]
    assert governors == ["performance", "performance"]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"governor": "warp"}, "not offered; there are: conservative, ondemand"),
        ({"freq_khz": 9000000}, "9000000 kHz is outside 115200 to 1510400"),
        ({"min_freq_khz": 1000000, "max_freq_khz": 900000}, "minimum 1000000 kHz above maximum 900000 kHz"),
        ({"power_mode": "TURBO"}, "no power mode 'TURBO'; this board has: 15W, 25W"),
    ],
)
def test_what_makes_no_sense_here_is_named_and_nothing_is_written(simulated, place, tune, wanted, reason):
    tree = simulated("orin-nano-jp6")
    before = contents(tree)
    (row,) = tune(tree, **wanted)
    assert row["state"] == "unavailable"
    assert reason in row["reason"]
    assert contents(tree) == before
    assert not os.path.exists(os.path.join(place.root, "undo.json"))


def test_a_clock_that_is_not_in_the_table_of_steps_is_refused_with_the_table(simulated, tune):
    tree = simulated("pi-4")
    tree.write(CPU + "policy0/scaling_available_frequencies", "600000 1500000 1800000 \n")
    (row,) = tune(tree, freq_khz=1000000)
    assert row["state"] == "unavailable"
    assert row["reason"].endswith("does not offer 1000000 kHz; it has: 600000, 1500000, 1800000")
    assert tune(tree, freq_khz=1500000)[0]["state"] == "set"


def test_a_board_without_an_operation_says_what_was_looked_for(tmp_path, tune):
    rows = tune(tmp_path, governor="performance", power_mode="15W", jetson_clocks=True, drop_caches=True)
    assert {row["op"]: row["state"] for row in rows} == dict.fromkeys(
        ("power_mode", "governor", "jetson_clocks", "drop_caches"), "unavailable"
    )
    assert "looked for /sys/devices/system/cpu/cpufreq/policy*" in rows[1]["reason"]
    assert "/proc/sys/vm/drop_caches" in rows[3]["reason"]


def test_a_setting_that_is_in_force_already_leaves_no_undo_entry(simulated, place, tune):
    tree = simulated("orin-nano-jp6")
    (row,) = tune(tree, governor="schedutil")
    assert row["state"] == "already"
    assert not os.path.exists(os.path.join(place.root, "undo.json"))


class StrictKernel(System):
    """A fake kernel that, as the real one, refuses a minimum above the maximum."""

    def write(self, name: str, text: str) -> Done:
        low, high = (name.rpartition("/")[0] + f"/scaling_{edge}_freq" for edge in ("min", "max"))
        limits = {low: int(self.read(low) or 0), high: int(self.read(high) or 0), name: int(text)}
        if limits[low] > limits[high]:
            return Done("direct", "Invalid argument")
        return super().write(name, text)


@pytest.mark.parametrize("khz", [600000, 2400000, 1500000])
def test_limits_are_written_in_the_order_in_which_they_never_cross(simulated, tune, untune, khz):
    tree = simulated("pi-5")
    tree.write(CPU + "policy0/cpuinfo_min_freq", "500000\n")
    tree.write(CPU + "policy0/cpuinfo_max_freq", "3000000\n")
    tree.write(CPU + "policy0/scaling_min_freq", "1000000\n")
    tree.write(CPU + "policy0/scaling_max_freq", "2000000\n")
    before = same(contents(tree))
    assert tune(tree, StrictKernel, freq_khz=khz)[0]["state"] == "set"
    assert tree.read(CPU + "policy0/scaling_min_freq").strip() == str(khz)
    assert untune(StrictKernel)[0]["state"] == "restored"
    assert same(contents(tree)) == before


def test_a_kernel_that_takes_a_value_and_keeps_another_is_found_out(simulated, place, tune):
    class Clamping(System):
        """A fake kernel that clamps without a word."""

        def write(self, name: str, text: str) -> Done:
            return super().write(name, str(min(int(text), 2000000)))

    tree = simulated("pi-5")
    tree.write(CPU + "policy0/scaling_max_freq", "2000000\n")
    (row,) = tune(tree, Clamping, freq_khz=2400000)
    assert row["state"] == "failed"
    assert "is 2000000, not 2400000" in row["reason"]
    assert tree.read(CPU + "policy0/scaling_min_freq").strip() == "1500000"
    assert not os.path.exists(os.path.join(place.root, "undo.json"))


def test_a_power_mode_that_does_not_take_is_reported_as_it_is(simulated, place, tune):
    tree = simulated("orin-nano-jp6")
    tree.command(["nvpmodel", "-m", "0"], "")  # says nothing, does nothing
    (row,) = tune(tree, power_mode="15W")
    assert row["state"] == "failed"
    assert row["reason"] == "nvpmodel -q says MAXN_SUPER, not 15W"
    assert not os.path.exists(os.path.join(place.root, "undo.json"))


REBOOT = """NVPM WARN: Golden image context is already created
NVPM WARN: Reboot required for changing to this power mode: 0
NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:
NVPM ERROR: bad input!
NVPM ERROR: optMask is 1, no request for power mode
"""


def test_a_power_mode_that_needs_a_reboot_is_left_to_the_user(simulated, tune):
    tree = simulated("orin-nano-jp6")
    tree.command(["nvpmodel", "-m", "0"], REBOOT, rc=255)
    (row,) = tune(tree, power_mode="15W")
    assert row["state"] == "failed"
    assert row["reason"] == "power mode 15W needs a reboot, which is yours to do: sudo nvpmodel -m 0"


def test_a_power_mode_that_stops_half_way_is_taken_back(simulated, tune):
    tree = simulated("orin-nano-jp6")
    error = "NVPM ERROR: Error writing 0 to /sys/class/devfreq/17000000.gpu/device/fbp_pg_mask: 1\n"
    tree.command(["nvpmodel", "-m", "0"], error, rc=1, writes={"sys/devices/system/cpu/cpu3/online": "0"})
    back = json.loads(tree.read(".commands/nvpmodel_-m_2.json"))
    back["writes"]["sys/devices/system/cpu/cpu3/online"] = "1"
    tree.write(".commands/nvpmodel_-m_2.json", json.dumps(back))
    (row,) = tune(tree, power_mode="15W")
    assert row["state"] == "failed"
    assert "fbp_pg_mask" in row["reason"]
    assert tree.read("sys/devices/system/cpu/cpu3/online") == "1"


def jetson_clocks(tree: Any) -> None:
    """The program's recorded answers with what they change: minimum = maximum, and back."""
    minima = {CPU + f"policy{i}/scaling_min_freq": 1510400 for i in (0, 4)}
    minima["sys/class/devfreq/17000000.gpu/min_freq"] = 612000000
    store = "/root/.tunebench-clocks.conf"
    tree.command(["jetson_clocks", "--store", store], "Storing system configuration\n")
    tree.command(["jetson_clocks"], "", writes={name: f"{value}\n" for name, value in minima.items()})
    back = {name: tree.read(name) for name in minima}
    tree.command(["jetson_clocks", "--restore", store], "", writes=back)


def test_jetson_clocks_is_believed_when_every_minimum_is_its_maximum(simulated, tune, untune):
    tree = simulated("orin-nano-jp6")
    jetson_clocks(tree)
    before = contents(tree)
    (row,) = tune(tree, jetson_clocks=True)
    assert row["state"] == "set"
    assert tree.read("sys/class/devfreq/17000000.gpu/min_freq").strip() == "612000000"
    assert tune(tree, jetson_clocks=True)[0]["state"] == "already"
    assert untune()[0]["state"] == "restored"
    assert contents(tree) == before


def test_a_thors_clocks_are_those_of_its_graphics_clusters(simulated, tune):
    tree = simulated("agx-thor-jp7")
    minima = {CPU + "policy0/scaling_min_freq": 2601000, "sys/class/devfreq/gpu-gpc-0/min_freq": 1575000000}
    tree.command(
        ["jetson_clocks", "--store", "/root/.tunebench-clocks.conf"], "Storing system configuration\n"
    )
    tree.command(["jetson_clocks"], "", writes={name: f"{value}\n" for name, value in minima.items()})
    assert (
        tune(tree, jetson_clocks=True)[0]["state"] == "set"
    )  # whether it pins the video engines' clock, too, or not
    assert tree.read("sys/class/devfreq/gpu-nvd-0/min_freq").strip() == "315000000"


def test_jetson_clocks_that_leaves_a_clock_free_has_failed(simulated, tune):
    tree = simulated("orin-nano-jp6")
    jetson_clocks(tree)
    tree.command(["jetson_clocks"], "", writes={CPU + "policy0/scaling_min_freq": "1510400\n"})
    (row,) = tune(tree, jetson_clocks=True)
    assert row["state"] == "failed"
    assert row["reason"].startswith("minimum below maximum in /sys/devices/system/cpu/cpufreq/policy4")


def test_caches_are_dropped_by_one_write_and_there_is_nothing_to_undo(simulated, place, tune):
    tree = simulated("pi-4")
    tree.write("proc/sys/vm/drop_caches", "0\n")
    (row,) = tune(tree, drop_caches=True)
    assert row["state"] == "set"
    assert tree.read("proc/sys/vm/drop_caches") == "3\n"
    assert not os.path.exists(os.path.join(place.root, "undo.json"))


def test_nothing_outside_a_simulated_board_is_read_or_written(simulated, tmp_path, tune):
    tree = simulated("pi-4")
    victim = tmp_path / "victim"
    victim.write_text("ondemand\n")
    path = tree.root / CPU / "policy0/scaling_governor"
    path.unlink()
    path.symlink_to(victim)
    (row,) = tune(tree, governor="performance")
    assert row["state"] == "unavailable"
    assert victim.read_text() == "ondemand\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wanted": {"fan": 255}}, "'wanted' may have the keys power_mode, governor"),
        ({"owner": {}}, "an 'owner' with a 'token'"),
        ({"root": "tree"}, "'root' must be an absolute path"),
    ],
)
def test_a_malformed_request_is_refused(place, change, message):
    request = {"root": "/", "owner": ME, "wanted": {}, **change}
    with pytest.raises(AgentError, match=message):
        apply.tune(place, request)


# -- privileges ------------------------------------------------------------------------------------


@pytest.fixture
def as_nobody() -> Callable[[Callable[[], Any]], Any]:
    """Run a function in a child that is no root and return what it returns (JSON)."""

    def run(function: Callable[[], Any]) -> Any:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setresgid(65534, 65534, 65534)
                    os.setresuid(65534, 65534, 65534)
                os.write(writer, json.dumps(function()).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        return json.loads(answer)

    return run


@pytest.fixture
def shared() -> Any:
    """A folder that other users can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="tunebench-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def fake_sudo(folder: Path, body: str) -> str:
    """A PATH with a fake ``sudo`` on it."""
    (folder / "bin").mkdir()
    (folder / "bin" / "sudo").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "bin" / "sudo").chmod(0o755)
    return f"{folder}/bin:/usr/bin:/bin"


def protected(folder: Path) -> Path:
    path = folder / "scaling_governor"
    path.write_text("ondemand\n")
    path.chmod(0o444)
    return path


def test_a_write_without_permission_names_the_line_that_sudoers_needs(shared, as_nobody, monkeypatch):
    path = protected(shared)
    monkeypatch.setenv("PATH", fake_sudo(shared, 'echo "sudo: a password is required" >&2; exit 1'))
    done = as_nobody(lambda: System("/").write(str(path), "performance")._asdict())
    assert done["denied"] is True
    assert f"NOPASSWD: /usr/bin/tee {path}" in done["reason"]
    assert path.read_text() == "ondemand\n"


def test_a_write_goes_through_sudo_tee_where_it_is_allowed(shared, as_nobody, monkeypatch):
    path = protected(shared)
    # It stands for root by replacing the file, whose folder everybody may write.
    body = f'printf "%s\\n" "$*" > {shared}/asked; cat > {shared}/new && mv -f {shared}/new "$3"'
    monkeypatch.setenv("PATH", fake_sudo(shared, body))
    done = as_nobody(lambda: System("/").write(str(path), "performance")._asdict())
    assert (done["how"], done["reason"]) == ("sudo", None)
    assert (shared / "asked").read_text() == f"-n /usr/bin/tee {path}\n"
    assert path.read_text() == "performance\n"


def test_a_board_without_sudo_says_so(shared, as_nobody, monkeypatch):
    path = protected(shared)
    monkeypatch.setenv("PATH", str(shared))
    monkeypatch.setattr("tunebench.targets.agent.linux.programs._PLACES", ())
    done = as_nobody(lambda: System("/").write(str(path), "performance")._asdict())
    assert done["reason"] == "needs root, and there is no sudo on this board"


def test_a_simulated_file_without_permission_is_refused_and_no_sudo_is_asked(shared, as_nobody, monkeypatch):
    tree = trees.BOARDS["pi-4"](shared / "tree")
    for folder, _, _ in os.walk(tree.root):
        os.chmod(folder, 0o755)
    (tree.root / CPU / "policy0/scaling_governor").chmod(0o444)
    (shared / "work").mkdir()
    (shared / "work").chmod(0o777)
    monkeypatch.setenv("PATH", fake_sudo(shared, f"touch {shared}/asked"))
    request = {"root": str(tree), "owner": ME, "wanted": {"governor": "performance"}}
    (row,) = as_nobody(lambda: apply.tune(Workdir(str(shared / "work")), request))["tuned"]
    assert row["state"] == "refused"
    assert "Permission denied" in row["reason"]
    assert not (shared / "asked").exists()
    assert not (shared / "work" / "undo.json").exists()


def test_what_an_operation_would_need_is_told_without_changing_anything(simulated):
    tree = simulated("orin-nano-jp6")
    before = contents(tree)
    rows = {row["op"]: row for row in apply.possible(System(str(tree)), {"power_mode": "15W"})}
    assert rows["governor"]["commands"][0][1:] == [f"/{CPU}policy0/scaling_governor"]
    assert [command[1:] for command in rows["power_mode"]["commands"]] == [["-m", "0"], ["-m", "2"]]
    assert rows["power_mode"]["asked"] is True
    assert rows["drop_caches"]["available"] is False
    assert contents(tree) == before


def test_sudoers_special_characters_are_escaped():
    line = sudoers_line("LAB\\anna", ["/usr/bin/tee", "/sys/devices/platform/soc/soc:firmware/a=b,c"])
    assert line == (
        "LAB\\\\anna ALL=(root) NOPASSWD: /usr/bin/tee /sys/devices/platform/soc/soc\\:firmware/a\\=b\\,c"
    )


def test_frequency_takes_one_limit_and_leaves_the_other(simulated):
    tree = simulated("pi-5")
    items = Frequency().look(System(str(tree)), {"max_freq_khz": 1800000}).items
    assert [(item.before, item.after) for item in items] == [("1500000", "1500000"), ("2400000", "1800000")]
