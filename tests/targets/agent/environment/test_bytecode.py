"""The agent's bytecode on a board: made by a probe, used by later commands, never trusted where it is damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunebench.targets.agent.environment import bytecode
from tunebench.targets.payload import make_payload

ASK = b'{"interpreters": [], "run_id": "r"}\n'


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    """Return the path of a payload in a working directory, as a sync leaves it."""
    blob = make_payload()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "jobs").mkdir()
    path = tmp_path / "blobs" / blob.name
    path.write_bytes(blob.read())
    return path


def run(payload: Path, command: str, python: str = sys.executable) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [python, "-I", "-S", str(payload), command], input=ASK, capture_output=True, check=False
    )


def answer(payload: Path) -> dict[str, object]:
    line = run(payload, "probe").stdout.decode()
    message: dict[str, object] = json.loads(line.split(" ", 1)[1])
    return message


def is_compiled(payload: Path, python: str = sys.executable) -> bool:
    """Tell whether a command's own module is imported from the compiled agent, as Python says it."""
    ended = subprocess.run(
        [python, "-v", "-I", "-S", str(payload), "lease"], input=ASK, capture_output=True, check=False
    )
    line = next(line for line in ended.stderr.decode().splitlines() if "tunebench.targets.agent.cli" in line)
    return "/compiled/" in line


def test_a_probe_leaves_the_agent_compiled_and_later_commands_import_it_so(payload: Path) -> None:
    assert not is_compiled(payload)
    assert answer(payload)["schema"]
    assert is_compiled(payload)
    assert os.stat(payload.parent.parent / "compiled").st_mode & 0o777 == 0o700


def test_an_old_python_keeps_bytecode_of_its_own(payload: Path, python36: str) -> None:
    answer(payload)
    assert not is_compiled(payload, python36)
    run(payload, "probe", python=python36)
    assert is_compiled(payload, python36)
    assert is_compiled(payload)


def test_the_agent_answers_the_same_compiled_and_from_source(payload: Path) -> None:
    first, second = answer(payload), answer(payload)
    changing = ("disk_free_b", "mem_available_b")
    for message in (first, second):
        for name in changing:
            message.pop(name)
    assert first == second


def test_a_damaged_file_is_made_again_by_the_next_probe(payload: Path) -> None:
    answer(payload)
    compiled = Path(bytecode.path_of(str(payload)))
    whole = compiled.read_bytes()
    middle, cli = len(whole) // 2, whole.index(b"cli.pyc") + 40
    damaged = {
        "cut": whole[:middle],
        "empty": b"",
        "flipped somewhere": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "flipped where a command begins": whole[:cli] + b"\xff" * 40 + whole[cli + 40 :],
        "no archive": b"\0" * len(whole),
    }
    for what, content in damaged.items():
        compiled.write_bytes(content)
        assert answer(payload)["schema"], what
        assert compiled.read_bytes() == whole, what


def test_a_payload_that_cannot_be_read_is_nothing_to_compile() -> None:
    assert bytecode.keep("/nonexistent.zip", "/nonexistent/compiled/a.zip") is False


def test_a_board_without_room_for_it_runs_the_source(payload: Path) -> None:
    (payload.parent.parent / "compiled").write_text("in the way")
    assert answer(payload)["schema"]
    assert not Path(bytecode.path_of(str(payload))).exists()


def test_only_a_few_are_kept(payload: Path) -> None:
    folder = payload.parent.parent / "compiled"
    folder.mkdir()
    for number in range(6):
        old = folder / f"{number}.cpython-36-3379.zip"
        old.write_bytes(b"")
        os.utime(old, (number, number))
    answer(payload)
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted(
        [*(f"{n}.cpython-36-3379.zip" for n in (3, 4, 5)), Path(bytecode.path_of(str(payload))).name]
    )


def test_another_pythons_bytecode_has_another_name(payload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = bytecode.path_of(str(payload))
    monkeypatch.setattr(bytecode, "_magic", lambda: b"\x33\x0d\r\n")
    assert bytecode.path_of(str(payload)) != ours
