"""First contact: ``tunebench setup`` on a loopback board, with wheels that are real and tiny."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.lab import setup
from tunebench.harness.lab.setup import Refusal, set_up
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Owner
from tunebench.targets.client.venv_replies import Distribution, PythonFacts
from tunebench.targets.errors import LinkError, ReplyError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


# -- without torch ---------------------------------------------------------------------------------


def test_setup_makes_a_real_environment_and_a_second_run_does_nothing(entry, tmp_path, wish, messages):
    first = set_up(entry, wish(), messages.append)
    assert first.changed
    assert first.line == f'interpreter = "{tmp_path}/work-here/venvs/no-torch/bin/python"'
    assert Path(first.python).exists()
    made_ns = Path(first.python).lstat().st_mtime_ns
    again = set_up(entry, wish(), messages.append)
    assert (again.changed, again.python) == (False, first.python)
    assert "nothing to do: it was set up before, and works" in again.notes
    assert Path(first.python).lstat().st_mtime_ns == made_ns
    assert any("virtual environment" in line for line in messages)


class CutOnce(Board):
    """A board whose connection is cut at the build's first event; no later event of that build reaches the host."""

    cut = False

    def build_venv(self, name, recipe, progress=None, *limit):
        cut_now = False

        def then_cut(event):
            nonlocal cut_now
            if not self.cut:
                self.cut = cut_now = True
                self.ssh.close()
            progress(event)

        build_end = super().build_venv(name, recipe, progress and then_cut, *limit)
        if cut_now:  # on a slow host the build's end may have arrived together with the first event
            raise LinkError("cut before the end")
        return build_end


def test_a_link_that_breaks_during_the_build_is_made_anew(entry, wish, messages, monkeypatch):
    monkeypatch.setattr(setup, "Board", CutOnce)
    done = set_up(entry, wish(), messages.append)
    assert done.changed
    assert [line for line in messages if line.startswith("asking again: ")]


def test_a_build_that_only_gives_signs_of_life_is_not_waited_for_for_ever(
    entry, tmp_path, messages, monkeypatch, wish
):
    monkeypatch.setattr(setup, "BUILD_LIMIT_S", 0.0)
    with pytest.raises(ReplyError, match=r"no end in the time that it may take \(a set-up: 4 h\)"):
        set_up(entry, wish(), messages.append)


def test_a_board_that_is_being_measured_is_left_alone(entry, wish, messages):
    holder = Owner(user="eve", host="other", pid=1, token="a-run")
    with Board(entry.spec()) as board:
        board.sync([build_payload()])
        board.occupy(holder, 60.0)
        with pytest.raises(Refusal, match="eve"):
            set_up(entry, wish(), messages.append)
        board.release(holder)
        set_up(entry, wish(), messages.append)
        assert board.release(holder) is None  # the set-up gave its own lease back


def test_a_board_without_room_is_told_so_before_anything_is_made(
    entry, tmp_path, wish, messages, monkeypatch
):
    monkeypatch.setattr(setup, "NEED_B", {"none": 1 << 60})
    with pytest.raises(
        Refusal, match=r"MB are free .* MB are needed: free some, or set the inventory's `workdir`"
    ):
        set_up(entry, wish(), messages.append)
    assert not (tmp_path / "work-here" / "venvs" / "no-torch").exists()


@pytest.fixture
def without_ensurepip(tmp_path):
    """Return a Python like Debian's without python3-venv: it has ``venv``, not ``ensurepip``."""
    return fake_python(
        tmp_path / "fake-python-without-ensurepip",
        "import sys\n"
        "class Hide:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'ensurepip': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide)\n",
    )


def fake_python(folder: Path, at_start: str) -> str:
    """Make a Python that runs this source when it starts, also isolated from its environment (-I)."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = folder / "lib" / f"python{PYTHON}" / "site-packages"
    (packages / "fake_fault.py").write_text(at_start)
    (packages / "fake_fault.pth").write_text("import fake_fault\n")
    return f"{folder}/bin/python"


def test_a_missing_ensurepip_prints_the_one_apt_line(
    entry, tmp_path, wish, messages, without_ensurepip, monkeypatch
):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "os-release").write_text("ID=raspbian\nID_LIKE=debian\n")
    simulated = entry.model_copy(update={"simulated_root": str(root)})
    monkeypatch.setattr(setup, "NEED_B", {"cpu": 0})
    with pytest.raises(Refusal) as caught:
        set_up(simulated, wish("cpu", python=without_ensurepip), messages.append)
    assert "has no ensurepip" in str(caught.value)
    assert f"On the board, once: sudo apt install python{PYTHON}-venv" in str(caught.value)


@pytest.mark.parametrize(
    ("distro", "advice"),
    [
        ({"id": "debian"}, "sudo apt install python3.8-venv"),
        ({"id": "linuxmint", "id_like": "ubuntu debian"}, "sudo apt install python3.8-venv"),
        ({"id": "alpine", "id_like": None}, "Install the system's package that brings it"),
        ({}, "Install the system's package that brings it"),
    ],
)
def test_the_apt_line_is_only_told_where_there_is_apt(distro, advice):
    python = PythonFacts(version="3.8.10", short="3.8", executable="/usr/bin/python3", venv=True)
    assert advice in setup.venv_missing(python, Distribution(**distro))


def test_a_missing_c_library_of_torch_is_told_before_anything_is_fetched(
    entry, tmp_path, wish, messages, monkeypatch
):
    # Debian's smallest installations have no libstdc++: torch would say so after ten minutes.
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "os-release").write_text("ID=debian\n")
    hide = "import ctypes\ndef CDLL(name, *_, **__):\n    raise OSError(name)\nctypes.CDLL = CDLL\n"
    fake = fake_python(tmp_path / "fake-python-without-libstdcxx", hide)
    simulated = entry.model_copy(update={"simulated_root": str(root)})
    with pytest.raises(
        Refusal, match=r"needs libstdc\+\+\.so\.6\. On the board, once: sudo apt install libstdc\+\+6"
    ):
        set_up(simulated, wish("cpu", python=fake), messages.append)


def test_a_jetson_without_a_jetpack_is_told_where_nvidia_lists_its_builds(entry, wish, messages):
    with pytest.raises(Refusal, match="tells no JetPack"):
        set_up(entry, wish("jetson", python=f"{sys.executable} -S"), messages.append)


def test_a_jetsons_build_fits_only_its_own_machine_and_python(entry, wish, messages, simulated):
    orin = entry.model_copy(update={"simulated_root": str(simulated("orin-nano-jp6"))})
    with pytest.raises(Refusal, match=r"no torch \(jetson\) for|own Python is 3\.10"):
        set_up(orin, wish("jetson", python=f"{sys.executable} -S"), messages.append)
    assert any("JetPack 6.2" in line for line in messages)


def fake_python_with_nvidias_torch(folder: Path, torch: str, *options: str) -> Path:
    """Return what stands in for JetPack's Python: its torch says that it has a CUDA device."""
    site = folder / "site" / "torch"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text(torch.replace("False", "True"))
    fake = folder / "fake-python-with-nvidias-torch"
    words = " ".join([sys.executable, *options])
    fake.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/site exec {words} "$@"\n')
    fake.chmod(0o755)
    return fake


def test_a_jetsons_own_torch_is_found_and_nothing_is_installed(
    good_torch, entry, tmp_path, wish, messages, simulated
):
    fake = fake_python_with_nvidias_torch(tmp_path, good_torch("2.8.0"))
    orin = entry.model_copy(update={"simulated_root": str(simulated("orin-nano-jp6"))})
    result = set_up(orin, wish("jetson", python=str(fake)), messages.append)
    assert (result.torch, result.cuda, result.changed) == ("2.8.0", True, False)
    assert not (tmp_path / "work-here" / "venvs").exists()


def test_what_stands_beside_torch_is_refused_before_anything_is_made_where_there_is_no_torch(
    entry, tmp_path, wish, messages
):
    with pytest.raises(Refusal, match="--with transformers: transformers runs on torch, and there is none"):
        set_up(entry, wish(additions=("transformers",)), messages.append)
    assert not (tmp_path / "work-here" / "venvs" / "no-torch").exists()


def test_nothing_is_put_into_a_system_that_has_its_torch_the_command_for_it_is_told(
    good_torch, entry, tmp_path, wish, messages, simulated
):
    fake = fake_python_with_nvidias_torch(tmp_path, good_torch("2.8.0"), "-S")
    orin = entry.model_copy(update={"simulated_root": str(simulated("orin-nano-jp6"))})
    with pytest.raises(Refusal, match=r"-m pip install --user --no-deps 'transformers==.*' 'peft=="):
        set_up(orin, wish("jetson", python=str(fake), additions=("transformers",)), messages.append)


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_the_line_and_writes_it_only_when_asked(cli, lab, tmp_path):
    inventory = lab("here")
    before = inventory.read_text()
    done = cli("setup", "here", "-i", str(inventory), "--torch", "none")
    assert done.returncode == 0, done.stderr
    line = f'interpreter = "{tmp_path}/work-here/venvs/no-torch/bin/python"'
    assert done.stdout.strip() == line
    assert inventory.read_text() == before
    written = cli("setup", "here", "-i", str(inventory), "--torch", "none", "--write", "--json")
    assert json.loads(written.stdout)["written"] is True
    assert line in inventory.read_text()
    assert load_inventory(inventory).boards[0].interpreter == json.loads(written.stdout)["interpreter"]


def test_a_board_that_is_not_in_the_inventory_ends_with_2(cli, lab):
    inventory = str(lab("here"))
    unknown = cli("setup", "there", "-i", inventory)
    assert unknown.returncode == 2
    assert "no board 'there'; the inventory has: here" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_what_the_table_has_not_is_refused_with_what_it_has(cli, lab):
    refused = cli("setup", "here", "-i", str(lab("here")), "--with", "tensorflow")
    assert refused.returncode == 2
    assert "--with tensorflow: there is transformers" in refused.stderr


@pytest.mark.slow
def test_a_python_that_is_not_there_ends_with_4(cli, lab):
    inventory = str(lab("here"))
    refused = cli(
        "setup", "here", "-i", inventory, "--torch", "none", "--python", "/no/such/python", "--json"
    )
    assert refused.returncode == 4
    assert json.loads(refused.stdout)["exit_code"] == 4
    assert "cannot start /no/such/python" in refused.stderr
    assert "Traceback" not in refused.stderr
