"""Wheels that the host fetches for a board, pushes and installs there; they are real and tiny."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import platform
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.lab import setup, wheelhouse
from tunebench.harness.lab.setup import Refusal, set_up
from tunebench.harness.lab.wheelhouse import Download, FetchError
from tunebench.targets.boards import additions
from tunebench.targets.boards import wheels as wheel_table
from tunebench.targets.boards.additions import choose_addition
from tunebench.targets.boards.runtime_wheels import choose_runtime
from tunebench.targets.boards.wheels import Facts, choose
from tunebench.targets.client.board import Board

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = "cp" + PYTHON.replace(".", "")
#: Dies by SIGILL, as a torch built for another CPU does.
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


FACTS = Facts("3.11", "aarch64", 64, "2.36", lse=False)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Return a local directory of wheels, the only one that pip may use here."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.mark.slow
def test_the_host_fetches_for_the_boards_machine_and_only_once(shelf, tmp_path, messages):
    make_wheel(shelf, "tbtiny", "1.0", "", tag="cp311-cp311-manylinux_2_28_aarch64")
    make_wheel(shelf, "tbtiny", "2.0", "", tag="cp312-cp312-manylinux_2_28_aarch64")
    make_wheel(shelf, "tbtiny", "3.0", "", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(shelf, "tbtiny", "4.0", "", tag="cp311-cp311-manylinux_2_40_aarch64")
    (path,) = wheelhouse.fetch([Download("tbtiny")], FACTS, tmp_path / "cache", messages.append)
    assert path.name == "tbtiny-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"
    messages.clear()
    for wheel in shelf.iterdir():
        wheel.unlink()
    assert wheelhouse.fetch([Download("tbtiny")], FACTS, tmp_path / "cache", messages.append) == [path]
    assert messages == []


def test_a_wheel_that_is_not_to_be_had_says_what_pip_said(shelf, tmp_path, messages):
    with pytest.raises(
        FetchError, match=r"tbtiny for Python 3\.11 on aarch64 could not be fetched: .*tbtiny"
    ):
        wheelhouse.fetch([Download("tbtiny")], FACTS, tmp_path / "cache", messages.append)


class _Broken(Exception):
    pass


def test_a_broken_push_goes_on_where_it_was(entry, tmp_path, messages, monkeypatch):
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
        assert wheelhouse.push(board, "x", [wheel], [], messages.append) == 7000
        facts = board.venv_facts([sys.executable], "x")
        assert facts.wheels == [wheel.name]
        assert wheelhouse.push(board, "x", [wheel], facts.wheels, messages.append) == 0


@pytest.fixture
def shelve(shelf, good_torch):
    """Function that puts stand-ins for this machine's torch wheels and for their requirements on the shelf."""

    def make(bad: tuple[str, ...] = ()) -> list[str]:
        glibc = platform.libc_ver()[1]
        rows = choose("cpu", Facts(PYTHON, platform.machine(), 64, glibc)).wheels
        tag = f"{TAG}-{TAG}-manylinux_2_17_{platform.machine()}"
        for row in rows:
            source = SIGILL_TORCH if row.torch in bad else good_torch(row.torch)
            make_wheel(shelf, "torch", row.torch, source, tag=tag)
            for requirement in row.requirements(PYTHON)[1:]:
                name, _, version = requirement.partition("==")
                name = name.partition(">")[0].partition("<")[0].replace("-", "_")
                make_wheel(shelf, name, version or "99.0" if "<" not in requirement else "1.0", "")
        return [row.torch for row in rows]

    return make


@pytest.mark.slow
def test_offline_the_host_fetches_and_the_board_installs(
    entry, tmp_path, wish, messages, shelve, monkeypatch
):
    versions = shelve()
    monkeypatch.setattr(setup, "NEED_B", {"cpu": 0})
    done = set_up(entry, wish("cpu", offline=True), messages.append)
    assert (done.torch, done.changed) == (versions[0], True)
    assert any("push" in line for line in messages)
    venvs = tmp_path / "work-here" / "venvs"
    # The pushed wheels were installed, then removed from the board.
    assert not (venvs / "torch-cpu.wheels").exists()
    again = set_up(entry, wish("cpu", offline=True), messages.append)
    assert again.changed is False


@pytest.mark.slow
def test_a_torch_that_dies_by_sigill_is_replaced_by_the_next_older(
    entry, wish, messages, shelve, monkeypatch
):
    versions = shelve()
    if len(versions) < 2:
        pytest.skip(f"the table has one torch only for Python {PYTHON} on {platform.machine()}")
    shelve(bad=(versions[0],))
    monkeypatch.setattr(setup, "NEED_B", {"cpu": 0})
    done = set_up(entry, wish("cpu", offline=True), messages.append)
    assert done.torch == versions[1]
    assert f"torch {versions[0]} dies on this board by SIGILL: trying the next older one" in messages
    messages.clear()
    assert set_up(entry, wish("cpu", offline=True), messages.append).changed is False


@pytest.mark.slow
def test_transformers_is_put_beside_a_torch_that_is_there_without_sending_that_again(
    entry, tmp_path, wish, messages, shelf, shelve, monkeypatch
):
    torch = shelve()[0]
    facts = Facts(PYTHON, platform.machine(), 64, platform.libc_ver()[1])
    whole = choose_addition("transformers", facts, torch)
    # Two of its wheels, and torch alone: each is a start of pip.
    row = dataclasses.replace(whole, requires=whole.requires[:2])
    monkeypatch.setattr(additions, "additions", lambda: (row,))
    bare = dataclasses.replace(choose("cpu", facts).wheels[0], requires=(), setuptools_from="")
    monkeypatch.setattr(wheel_table, "wheels", lambda: (bare,))
    for requirement in row.requires:
        name, _, version = requirement.partition("==")
        make_wheel(shelf, name.partition(">")[0].replace("-", "_"), version or "9999.0", "")
    monkeypatch.setattr(setup, "NEED_B", {"cpu": 0})
    set_up(entry, wish("cpu", offline=True), messages.append)
    messages.clear()
    both = set_up(entry, wish("cpu", offline=True, additions=("transformers",)), messages.append)
    assert (both.torch, both.additions, both.changed) == (torch, (row.label,), True)
    pushed = {line.split(": ")[1].partition("-")[0] for line in messages if line.startswith("push ")}
    assert {"transformers", "peft"} <= pushed and "torch" not in pushed
    for asked in (("transformers",), ()):
        assert set_up(entry, wish("cpu", offline=True, additions=asked), messages.append).changed is False
    venvs = tmp_path / "work-here" / "venvs"
    shutil.rmtree(venvs / "torch-cpu" / "lib" / f"python{PYTHON}" / "site-packages" / "peft")
    with pytest.raises(setup.Refusal, match="No module named 'peft'"):
        set_up(entry, wish("cpu", offline=True, additions=("transformers",)), messages.append)
    state = json.loads((venvs / "torch-cpu.json").read_text())
    assert (state["steps"], state["complete"]) == ({}, None), "the next set-up makes it anew"


@pytest.mark.slow
def test_a_real_torch_is_installed_where_a_wheel_can_be_reached(entry, wish, messages, tmp_path, monkeypatch):
    links = os.environ.get("PIP_FIND_LINKS", "")
    version = choose("cpu", Facts(PYTHON, platform.machine(), 64, platform.libc_ver()[1])).wheels[0].torch
    if not links or not list(Path(links).glob(f"torch-{version}-{TAG}-*.whl")):
        pytest.skip(f"no wheel of torch {version} for {TAG} in PIP_FIND_LINKS")
    # The account's own settings of pip: the bytecode of ten thousand modules would take longer than all else.
    settings = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[install]\ncompile = false\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = set_up(entry, dataclasses.replace(wish("cpu"), offline=True), messages.append)
    assert done.torch == version


# -- a runtime for compressed networks -------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "facts", "expected"),
    [
        ("onnxruntime", Facts("3.11", "aarch64", 64, "2.36"), ["onnxruntime==1.32.0", "numpy"]),
        ("onnxruntime", Facts("3.10", "aarch64", 64, "2.35"), ["onnxruntime==1.23.2", "numpy"]),
        ("litert", Facts("3.11", "x86_64", 64, "2.36"), ["ai-edge-litert==2.3.0", "numpy"]),
        ("ncnn", Facts("3.11", "armv7l", 32, "2.36"), ["ncnn==1.0.20261020"]),
        ("ncnn", Facts("3.11", "aarch64", 32, "2.36"), ["ncnn==1.0.20261020"]),
        ("litert", Facts("3.11", "aarch64", 32, "2.36"), "no wheel for armv7l"),
        ("litert", Facts("3.8", "aarch64", 64, "2.31"), "need Python 3.10, this is 3.8"),
        ("ncnn", Facts("3.11", "aarch64", 64, None), "no glibc"),
    ],
)
def test_a_board_gets_the_one_wheel_of_a_runtime_that_fits_it(runtime, facts, expected):
    if isinstance(expected, str):
        with pytest.raises(Refusal, match=expected):
            setup.runtime_beside(runtime, facts)
    else:
        assert list(setup.runtime_beside(runtime, facts).requires) == expected


@pytest.mark.slow
def test_a_runtime_is_installed_once_and_one_that_cannot_be_imported_is_told(
    entry, wish, messages, shelf, monkeypatch
):
    row = choose_runtime("ncnn", Facts(PYTHON, platform.machine(), 64, "2.31"))
    if isinstance(row, str):
        pytest.skip(f"the table has no wheel of ncnn for Python {PYTHON} on {platform.machine()}")
    monkeypatch.setattr(setup, "choose_runtime", lambda *_: dataclasses.replace(row, disk_mb=0))
    version = row.label.rpartition(" ")[2]
    make_wheel(shelf, "ncnn", version, "raise ImportError('libgomp.so.1: cannot open shared object file')")
    with pytest.raises(
        Refusal, match=r"imported: ImportError: libgomp.*\nInstall the package that brings it"
    ):
        set_up(entry, wish(runtime="ncnn", offline=True), messages.append)
    # Mended by other means: only the look is left to do.
    (installed,) = Path(entry.workdir).glob("venvs/no-torch/lib/*/site-packages/ncnn/__init__.py")
    installed.write_text("")
    done = set_up(entry, wish(runtime="ncnn", offline=True), messages.append)
    assert (done.additions, done.torch, done.changed) == ((row.label,), None, True)
    assert set_up(entry, wish(runtime="ncnn", offline=True), messages.append).changed is False
