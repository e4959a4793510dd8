"""First contact: ``tunebench setup`` on a loopback board, with wheels that are real and tiny."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import platform
import sys
import zipfile
from pathlib import Path

import pytest

from harness import setup, wheelhouse
from harness.deploy import build_payload
from harness.errors import UsageError
from harness.inventory import load_inventory
from harness.inventory_edit import set_interpreter
from harness.setup import Refusal, Wish, set_up
from harness.wheelhouse import Download, FetchError
from targets.board import Board
from targets.boards.wheels import Facts, choose
from targets.errors import LinkError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = "cp" + PYTHON.replace(".", "")
#: Stands in for torch: as much of it as the check asks for.
GOOD_TORCH = """
__version__ = "{version}"
class Tensor:
    def __matmul__(self, other): return self
    def sum(self): return 64.0
def ones(*shape): return Tensor()
class version: cuda = None
class cuda: is_available = staticmethod(lambda: False)
"""
#: Dies as a torch does that was built for another CPU.
SIGILL_TORCH = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"


def make_wheel(folder: Path, name: str, version: str, source: str, tag: str = "py3-none-any") -> Path:
    """A real wheel of one module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    wheel = folder / f"{name}-{version}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture
def entry(lab):
    return load_inventory(lab("here")).boards[0]


@pytest.fixture
def said():
    return []


def wish(tmp_path, flavour="none", **more) -> Wish:
    return Wish(flavour, python=more.pop("python", sys.executable), cache=tmp_path / "cache", **more)


# -- without torch ---------------------------------------------------------------------------------


def test_setup_makes_a_real_environment_and_a_second_run_does_nothing(entry, tmp_path, said):
    first = set_up(entry, wish(tmp_path), said.append)
    assert first.changed
    assert first.line == f'interpreter = "{tmp_path}/work-here/venvs/no-torch/bin/python"'
    assert Path(first.python).exists()
    made_ns = Path(first.python).lstat().st_mtime_ns
    again = set_up(entry, wish(tmp_path), said.append)
    assert (again.changed, again.python) == (False, first.python)
    assert "nothing to do: it was set up before, and works" in again.notes
    assert Path(first.python).lstat().st_mtime_ns == made_ns
    assert any("virtual environment" in line for line in said)


class CutOnce(Board):
    """Its connection is cut when the build's first event has come; nothing that comes later is heard of it."""

    cut = False

    def environment(self, request, progress=None):
        cut_now = False

        def then_cut(event):
            nonlocal cut_now
            if not self.cut:
                self.cut = cut_now = True
                self.ssh.close()
            progress(event)

        found = super().environment(request, progress and then_cut)
        if cut_now:  # where we are slow, the end had come with the first event
            raise LinkError("cut before the end")
        return found


def test_a_link_that_breaks_during_the_build_is_made_anew(entry, tmp_path, said, monkeypatch):
    monkeypatch.setattr(setup, "Board", CutOnce)
    done = set_up(entry, wish(tmp_path), said.append)
    assert done.changed
    assert [line for line in said if line.startswith("asking again: ")]


def test_a_board_that_is_being_measured_is_left_alone(entry, tmp_path, said):
    holder = {"user": "eve", "host": "other", "pid": 1, "token": "a-run"}
    with Board(entry.spec()) as board:
        board.sync([build_payload()])
        board.occupy(holder, 60.0)
        with pytest.raises(Refusal, match="eve"):
            set_up(entry, wish(tmp_path), said.append)
        board.release(holder)
        set_up(entry, wish(tmp_path), said.append)
        assert board.release(holder) is None  # it gave its own lease back


def test_a_board_without_room_is_told_so_before_anything_is_made(entry, tmp_path, said, monkeypatch):
    monkeypatch.setattr(setup, "NEED_B", {"none": 1 << 60})
    with pytest.raises(
        Refusal, match=r"MB are free .* MB are needed: free some, or set the inventory's `workdir`"
    ):
        set_up(entry, wish(tmp_path), said.append)
    assert not (tmp_path / "work-here" / "venvs" / "no-torch").exists()


@pytest.fixture
def without_ensurepip(tmp_path):
    """Debian's Python without python3-venv: ``venv`` is there, ``ensurepip`` is not."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'ensurepip': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide)\n"
    )
    fake = tmp_path / "fake-python-without-ensurepip"
    fake.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    return str(fake)


def test_a_missing_ensurepip_prints_the_one_apt_line(entry, tmp_path, said, without_ensurepip, monkeypatch):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "os-release").write_text("ID=raspbian\nID_LIKE=debian\n")
    simulated = entry.model_copy(update={"simulated_root": str(root)})
    monkeypatch.setattr(setup, "NEED_B", {"cpu": 0})
    with pytest.raises(Refusal) as caught:
        set_up(simulated, wish(tmp_path, "cpu", python=without_ensurepip), said.append)
    assert "has no ensurepip" in str(caught.value)
    assert f"On the board, once: sudo apt install python{PYTHON}-venv" in str(caught.value)


@pytest.mark.parametrize(
    ("distro", "told"),
    [
        ({"id": "debian"}, "sudo apt install python3.8-venv"),
        ({"id": "linuxmint", "id_like": "ubuntu debian"}, "sudo apt install python3.8-venv"),
        ({"id": "alpine", "id_like": None}, "Install the system's package that brings it"),
        ({}, "Install the system's package that brings it"),
    ],
)
def test_the_apt_line_is_only_told_where_there_is_apt(distro, told):
    python = {"version": "3.8.10", "short": "3.8", "executable": "/usr/bin/python3", "venv": True}
    assert told in setup.venv_missing({"python": python, "distro": distro})


def test_a_missing_c_library_of_torch_is_told_before_anything_is_fetched(entry, tmp_path, said, monkeypatch):
    # Debian's smallest installations have no libstdc++: torch would say so after ten minutes.
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "os-release").write_text("ID=debian\n")
    fake = tmp_path / "fake-python-without-libstdcxx"
    hide = "import ctypes\ndef CDLL(name, *_, **__):\n    raise OSError(name)\nctypes.CDLL = CDLL\n"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hide)
    fake.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    simulated = entry.model_copy(update={"simulated_root": str(root)})
    with pytest.raises(
        Refusal, match=r"needs libstdc\+\+\.so\.6\. On the board, once: sudo apt install libstdc\+\+6"
    ):
        set_up(simulated, wish(tmp_path, "cpu", python=str(fake)), said.append)


def test_a_jetson_without_a_jetpack_is_told_where_nvidia_lists_its_builds(entry, tmp_path, said):
    with pytest.raises(Refusal, match="tells no JetPack"):
        set_up(entry, wish(tmp_path, "jetson", python=f"{sys.executable} -S"), said.append)


def test_a_jetsons_build_fits_only_its_own_machine_and_python(entry, tmp_path, said, simulated):
    orin = entry.model_copy(update={"simulated_root": str(simulated("orin-nano-jp6"))})
    with pytest.raises(Refusal, match=r"no torch \(jetson\) for|own Python is 3\.10"):
        set_up(orin, wish(tmp_path, "jetson", python=f"{sys.executable} -S"), said.append)
    assert any("JetPack 6.2" in line for line in said)


def test_a_jetsons_own_torch_is_found_and_nothing_is_installed(entry, tmp_path, said, simulated):
    # Stands in for JetPack's Python: its torch says that it has a CUDA device.
    site = tmp_path / "site" / "torch"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text(GOOD_TORCH.format(version="2.8.0").replace("False", "True"))
    fake = tmp_path / "fake-python-with-nvidias-torch"
    fake.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    orin = entry.model_copy(update={"simulated_root": str(simulated("orin-nano-jp6"))})
    found = set_up(orin, wish(tmp_path, "jetson", python=str(fake)), said.append)
    assert (found.torch, found.cuda, found.changed) == ("2.8.0", True, False)
    assert not (tmp_path / "work-here" / "venvs").exists()


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


# -- the inventory's line --------------------------------------------------------------------------

LAB = """# my lab
[lab]
name = "lab"

[[board]]   # the first
id = "a"    # stays
kind = "loopback"
timeouts = { connect_s = 3.0 }

[[board]]
kind = "linux"
host = "b"
interpreter = "python3"  # goes
id = "b"
"""


def test_one_line_of_the_inventory_changes_and_all_others_stay(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(LAB)
    set_interpreter(path, "a", "/opt/a/bin/python")
    set_interpreter(path, "b", "/opt/b/bin/python")
    lines = path.read_text().splitlines()
    assert 'interpreter = "/opt/a/bin/python"' in lines
    assert [line for line in LAB.splitlines() if line not in lines] == ['interpreter = "python3"  # goes']
    assert [board.interpreter for board in load_inventory(path).boards] == [
        "/opt/a/bin/python",
        "/opt/b/bin/python",
    ]


@pytest.mark.parametrize(
    "text",
    [
        'board = [{ id = "a", kind = "loopback" }]\n',
        '[[board]]\nid = "a"\nkind = "loopback"\ninterpreter = [\n  "env",\n  "python3",\n]\n',
    ],
)
def test_what_cannot_be_changed_by_lines_is_left_alone(tmp_path, text):
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"write interpreter = .* into board 'a' yourself"):
        set_interpreter(path, "a", "/opt/python")
    assert path.read_text() == text
    assert [one.name for one in tmp_path.iterdir()] == ["lab.toml"]


# -- wheels ----------------------------------------------------------------------------------------

FACTS = Facts("3.11", "aarch64", 64, "2.36", lse=False)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A local directory of wheels: all that pip may see here."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.mark.slow
def test_the_host_fetches_for_the_boards_machine_and_only_once(shelf, tmp_path, said):
    make_wheel(shelf, "tbtiny", "1.0", "", tag="cp311-cp311-manylinux_2_28_aarch64")
    make_wheel(shelf, "tbtiny", "2.0", "", tag="cp312-cp312-manylinux_2_28_aarch64")
    make_wheel(shelf, "tbtiny", "3.0", "", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(shelf, "tbtiny", "4.0", "", tag="cp311-cp311-manylinux_2_40_aarch64")
    (found,) = wheelhouse.fetch([Download("tbtiny")], FACTS, tmp_path / "cache", said.append)
    assert found.name == "tbtiny-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"
    said.clear()
    for wheel in shelf.iterdir():
        wheel.unlink()
    assert wheelhouse.fetch([Download("tbtiny")], FACTS, tmp_path / "cache", said.append) == [found]
    assert said == []


def test_a_wheel_that_is_not_to_be_had_says_what_pip_said(shelf, tmp_path, said):
    with pytest.raises(
        FetchError, match=r"tbtiny for Python 3\.11 on aarch64 could not be fetched: .*tbtiny"
    ):
        wheelhouse.fetch([Download("tbtiny")], FACTS, tmp_path / "cache", said.append)


class _Broken(Exception):
    pass


def test_a_broken_push_goes_on_where_it_was(entry, tmp_path, said, monkeypatch):
    monkeypatch.setattr(wheelhouse, "CHUNK_B", 1000)
    wheel = tmp_path / "tbbig-1.0-py3-none-any.whl"
    wheel.write_bytes(os.urandom(10_000))
    with Board(entry.spec()) as board:
        board.sync([build_payload()])

        def break_off(text):
            if "30%" in text:
                raise _Broken

        with pytest.raises(_Broken):
            wheelhouse.push(board, "x", [wheel], [], break_off)
        assert wheelhouse.push(board, "x", [wheel], [], said.append) == 7000
        facts = board.environment({"action": "facts", "python": [sys.executable], "name": "x"})
        assert facts["wheels"] == [wheel.name]
        assert wheelhouse.push(board, "x", [wheel], facts["wheels"], said.append) == 0


def _shelve(shelf: Path, bad: tuple[str, ...] = ()) -> list[str]:
    """Stand-ins for the torches that this machine would get and for all they require; returns the versions."""
    glibc = platform.libc_ver()[1]
    rows = choose("cpu", Facts(PYTHON, platform.machine(), 64, glibc)).wheels
    for row in rows:
        source = SIGILL_TORCH if row.torch in bad else GOOD_TORCH.format(version=row.torch)
        make_wheel(shelf, "torch", row.torch, source, tag=f"{TAG}-{TAG}-manylinux_2_17_{platform.machine()}")
        for requirement in row.requirements(PYTHON)[1:]:
            name, _, version = requirement.partition("==")
            name = name.partition(">")[0].partition("<")[0]
            make_wheel(
                shelf, name.replace("-", "_"), version or "99.0" if "<" not in requirement else "1.0", ""
            )
    return [row.torch for row in rows]


@pytest.mark.slow
def test_offline_the_host_fetches_and_the_board_installs(entry, tmp_path, said, shelf, monkeypatch):
    versions = _shelve(shelf)
    monkeypatch.setattr(setup, "NEED_B", {"cpu": 0})
    done = set_up(entry, wish(tmp_path, "cpu", offline=True), said.append)
    assert (done.torch, done.changed) == (versions[0], True)
    assert any("push" in line for line in said)
    venvs = tmp_path / "work-here" / "venvs"
    assert not (venvs / "torch-cpu.wheels").exists()  # they were installed, and take no room any more
    again = set_up(entry, wish(tmp_path, "cpu", offline=True), said.append)
    assert again.changed is False


@pytest.mark.slow
def test_a_torch_that_dies_by_sigill_is_replaced_by_the_next_older(entry, tmp_path, said, shelf, monkeypatch):
    versions = _shelve(shelf)
    if len(versions) < 2:
        pytest.skip(f"the table has one torch only for Python {PYTHON} on {platform.machine()}")
    _shelve(shelf, bad=(versions[0],))
    monkeypatch.setattr(setup, "NEED_B", {"cpu": 0})
    done = set_up(entry, wish(tmp_path, "cpu", offline=True), said.append)
    assert done.torch == versions[1]
    assert f"torch {versions[0]} dies on this board by SIGILL: trying the next older one" in said
    said.clear()
    assert set_up(entry, wish(tmp_path, "cpu", offline=True), said.append).changed is False


@pytest.mark.slow
def test_a_real_torch_is_installed_where_a_wheel_can_be_reached(entry, tmp_path, said):
    links = os.environ.get("PIP_FIND_LINKS", "")
    version = choose("cpu", Facts(PYTHON, platform.machine(), 64, platform.libc_ver()[1])).wheels[0].torch
    if not links or not list(Path(links).glob(f"torch-{version}-{TAG}-*.whl")):
        pytest.skip(f"no wheel of torch {version} for {TAG} in PIP_FIND_LINKS")
    done = set_up(entry, dataclasses.replace(wish(tmp_path, "cpu"), offline=True), said.append)
    assert done.torch == version
