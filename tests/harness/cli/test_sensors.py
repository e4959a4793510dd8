"""``tunebench sensors parse``: through the command, as a user calls it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tunebench.harness.cli.app import main

LINE = "RAM 1/2MB CPU [0%@729] cpu@47.5C VDD_IN 4556mW/4556mW VDD_SOC 1451mW/1451mW\n"


@pytest.fixture
def parse(monkeypatch, capfdbinary):
    """Run the command's entry point in this process; only the start of a process is left out."""

    def run(*argv: str, content: bytes = b"") -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["tunebench", "sensors", "parse", *argv])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(SystemExit) as ended:
            main()
        stdout, stderr = capfdbinary.readouterr()
        return SimpleNamespace(returncode=ended.value.code or 0, stdout=stdout, stderr=stderr)

    return run


def test_the_command_reads_standard_input_as_a_process_of_its_own():
    command = [sys.executable, "-m", "tunebench", "sensors", "parse", "tegrastats", "-"]
    done = subprocess.run(command, input=LINE.encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert b"total: 4.556 W, scope module" in done.stdout


def test_json_has_channels_and_a_total_with_its_scope(parse, tmp_path):
    file = tmp_path / "capture.txt"
    file.write_text("# source: a board\n" + LINE)
    done = parse("tegrastats", str(file), "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert {"kind", "channels", "total_w", "total_scope", "reason", "details"} == set(answer)
    assert (answer["kind"], answer["total_w"], answer["total_scope"]) == ("tegrastats", 4.556, "module")
    assert answer["channels"][0] == {
        "site": "VDD_IN",
        "kind": "power",
        "unit": "W",
        "value": 4.556,
        "scope": "module",
    }


def test_the_table_names_the_total_or_why_there_is_none(parse):
    assert b"total: 4.556 W, scope module" in parse("tegrastats", "-", content=LINE.encode()).stdout
    done = parse("pmic", "-", content=b"Can't open device file: /dev/vcio_gencmd\n")
    assert done.returncode == 0
    assert b"total: none: vcgencmd: Can't open device file" in done.stdout


def test_binary_input_gives_an_answer_without_channels_and_with_a_reason(parse):
    done = parse("shelly", "-", "--json", content=bytes(range(256)) * 10)
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert (answer["total_w"], answer["channels"]) == (None, [])
    assert "binary data" in answer["reason"]


def test_a_strangers_escape_sequences_do_not_reach_the_terminal(parse):
    done = parse("ina3221", "-", content=b"in1_label:VDD\x1b]0;x\x07_IN\nin1_input:5000\ncurr1_input:100\n")
    assert b"\x1b" not in done.stdout
    assert b"total: 0.5 W, scope module" in done.stdout
    done = parse("tegrastats", "-", content=b"\x1b_a\x9b\x07 no line\n")
    assert not {0x1B, 0x07} & set(done.stdout)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("nonesuch", "-"), b"unknown kind 'nonesuch'; known: ina3221, kasa, nvpmodel, pmic"),
        (("pmic", "/no/such/file"), b"/no/such/file: cannot be read: No such file"),
        (("pmic", "/"), b"/: cannot be read: Is a directory"),
    ],
)
def test_a_users_mistake_exits_2_and_is_named(parse, argv, message):
    done = parse(*argv)
    assert done.returncode == 2
    assert message in done.stderr
    assert b"Traceback" not in done.stderr


def test_too_large_a_file_is_refused(parse, tmp_path):
    file = tmp_path / "log.txt"
    with file.open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    done = parse("tegrastats", str(file))
    assert (done.returncode, b"larger than 16 MiB" in done.stderr) == (2, True)
