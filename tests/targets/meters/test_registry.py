"""Kinds of meters of a lab's own packages: found by entry points, imported when they are named."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TOY = '''
print("toy imported")
from typing import Literal
from tunebench.targets.meters.keys import MeterKeys
from tunebench.targets.meters.polled import PolledMeter, Reading
from tunebench.targets.meters.base import MeterInfo

class Keys(MeterKeys):
    """Always the same power."""
    kind: Literal["toy"]
    power_w: float = 5.0

class Toy(PolledMeter):
    def __init__(self, keys):
        super().__init__(0.01)
        self._keys = keys
    @property
    def info(self):
        return MeterInfo("toy", "toy", self._keys.scope, "a toy", None, 100.0, "host")
    def open(self):
        pass
    def read(self):
        return Reading(self._keys.power_w)

def make(keys):
    return Toy(keys)
'''
READ = """
import sys, pathlib
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import UsageError
from tunebench.targets.meters import open_meter
print("begun")
try:
    keys = load_inventory(pathlib.Path("lab.toml")).boards[0].meter
except UsageError as error:
    sys.exit("refused: %s" % error)
with open_meter(keys) as meter:
    meter.start()
    trace = meter.stop()
print(type(keys).__module__, keys.scope, set(trace.power_w))
"""


@pytest.fixture
def installed(tmp_path):
    """Installs packages that declare meters, writes an inventory with ``meter``, and reads it in a new process."""
    (tmp_path / "toy_lab.py").write_text(TOY)
    (tmp_path / "broken_lab.py").write_text("import no_such_driver\n")
    info = tmp_path / "toy_lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-lab\nVersion: 1.0\n")
    points = "toy = toy_lab\nbroken = broken_lab\nempty = string\nshelly = toy_lab\n"
    (info / "entry_points.txt").write_text("[tunebench.meters]\n" + points)

    def read(meter: str) -> subprocess.CompletedProcess[str]:
        board = '[[board]]\nid = "pi"\nhost = "pi"\nkind = "linux"\n'
        (tmp_path / "lab.toml").write_text(f"{board}[board.meter]\n{meter}\n")
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        return subprocess.run(
            [sys.executable, "-c", READ], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    return read


def test_a_package_adds_a_kind_that_is_imported_when_an_inventory_names_it(installed):
    done = installed('kind = "toy"\nscope = "dc_input"\npower_w = 7.5')
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["begun", "toy imported", "toy_lab dc_input {7.5}"]
    other = installed(
        'kind = "csv-replay"\nscope = "dc_input"\npath = "x"\ntime_column = 0\npower_column = 1'
    )
    assert "toy imported" not in other.stdout


@pytest.mark.parametrize(
    ("meter", "message"),
    [
        (
            'kind = "toy"\nscope = "dc_input"\nwatts = 1',
            "toy meter: unknown key 'watts'; allowed: kind, power_w, scope",
        ),
        ('kind = "toy"', "toy meter: key 'scope' is missing"),
        (
            'kind = "broken"\nscope = "dc_input"',
            "meter kind 'broken' of package toy-lab (broken_lab) cannot be imported: ModuleNotFoundError: "
            "No module named 'no_such_driver'",
        ),
        (
            'kind = "empty"\nscope = "dc_input"',
            "meter kind 'empty' of package toy-lab (string) has no 'Keys'",
        ),
        ('kind = "toys"\nscope = "dc_input"', "is 'toys'; allowed: hwmon, serial-csv, csv-replay, shelly"),
        (
            'kind = "shelly"\nscope = "wall_ac"\npower_w = 1',
            "unknown key 'power_w'; allowed: channel, generation, host",
        ),
    ],
)
def test_a_mistake_is_one_sentence_of_that_board(installed, meter, message):
    done = installed(meter)
    assert done.returncode == 1
    assert done.stderr.startswith("refused: lab.toml: board 'pi': ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
