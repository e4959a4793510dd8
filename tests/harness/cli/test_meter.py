"""``tunebench meter``: a meter tried by itself, and the power of a board cut with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tunebench.harness.cli.meter import app
from tunebench.harness.errors import HarnessError, UsageError


@pytest.fixture
def lab(tmp_path: Path) -> Callable[[str], Path]:
    """An inventory of two boards, the first of them with a meter."""

    def write(meter: str) -> Path:
        path = tmp_path / "lab.toml"
        path.write_text(
            f'[[board]]\nid = "pi"\nkind = "loopback"\n[board.meter]\n{meter}\n'
            '[[board]]\nid = "bare"\nkind = "loopback"\n'
        )
        return path

    return write


def _run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), input=answer)


def _shelly(plug) -> str:
    return f'kind = "shelly"\nscope = "wall_ac"\nhost = "{plug.host}"\nrate_hz = 10.0\ntimeout_s = 0.5\n'


def test_a_meter_is_read_and_says_how_well(plug, lab):
    path = lab(_shelly(plug()))
    result = _run("read", "pi", "-i", str(path), "--seconds", "0.3")
    assert result.exit_code == 0
    assert "scope wall_ac, 10 Hz" in result.stdout
    assert "25.700 W on average (25.700 to 25.700)" in result.stdout
    answer = json.loads(_run("read", "pi", "-i", str(path), "--seconds", "0.3", "--json").stdout)
    assert answer["mean_w"] == pytest.approx(25.7)
    assert answer["meter"]["kind"] == "shelly"
    assert answer["failed"] == 0
    assert answer["counted_j"] == 0.0
    assert 5 < answer["rate_hz"] < 15


def test_power_is_cycled_only_when_it_is_meant(plug, lab):
    device = plug()
    path = lab(_shelly(device))
    device.asked.clear()
    assert _run("power-cycle", "pi", "-i", str(path), answer="n\n").exit_code == 1
    assert device.asked == []
    result = _run("power-cycle", "pi", "-i", str(path), "--off-s", "0.5", "--yes")
    assert result.exit_code == 0
    assert "pi: off for 0.5 s, on again" in result.stdout
    assert sum("Switch.Set" in uri for uri in device.asked) == 2


def test_a_board_that_is_unknown_or_has_no_meter_is_told(plug, lab):
    path = lab(_shelly(plug()))
    unknown = _run("read", "pie", "-i", str(path)).exception
    assert isinstance(unknown, UsageError)
    assert "there are: pi, bare" in str(unknown)
    bare = _run("read", "bare", "-i", str(path)).exception
    assert isinstance(bare, UsageError)
    assert "board 'bare' has no meter: give it a table [board.meter]" in str(bare)


def test_a_meter_without_a_switch_says_so(lab, sysfs, tmp_path):
    sysfs("ina226", "1-0040", in1_input=5000, curr1_input=1000, power1_input=5_000_000)
    path = lab(f'kind = "hwmon"\nscope = "dc_input"\nchip = "ina226"\nroot = "{tmp_path}"\n')
    error = _run("power-cycle", "pi", "-i", str(path), "--yes").exception
    assert isinstance(error, HarnessError)
    assert "a hwmon meter cannot switch power; a shelly can" in str(error)


def test_a_meter_that_another_command_reads_is_waited_for_and_it_says_for_whom(plug, lab):
    device = plug()
    path = lab(_shelly(device) + "\n")
    path.write_text(path.read_text().replace('id = "pi"', 'id = "pi"\npatience_s = 0.3', 1))
    code = (
        "import sys, time; sys.argv = ['tunebench', 'run']\n"
        "from tunebench.targets.host_lock import HostLock\n"
        f"assert HostLock('meter shelly {device.host} channel 0').take('it') is None\n"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        try:
            refused = _run("read", "pi", "-i", str(path), "--seconds", "0.2")
            assert isinstance(refused.exception, HarnessError)
            assert f"shelly meter is in use by process {other.pid} of" in str(refused.exception)
            assert "(tunebench run); waited 0 s" in str(refused.exception)
            assert "pi: waiting: shelly meter is in use by process" in refused.stderr
            device.asked.clear()
            cut = _run("power-cycle", "pi", "-i", str(path), "--yes")
            assert isinstance(cut.exception, HarnessError) and device.asked == []
        finally:
            other.kill()
    assert _run("read", "pi", "-i", str(path), "--seconds", "0.2").exit_code == 0
