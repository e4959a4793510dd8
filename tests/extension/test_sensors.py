"""Sensors of a lab's package: what travels, what a board makes of it, and what a broken one costs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from tunebench.harness.artifacts.gather import build_payload, travelling_workloads
from tunebench.harness.errors import UsageError
from tunebench.targets.agent.doctor import permissions
from tunebench.targets.agent.sensors import discover as discover_module
from tunebench.targets.agent.sensors import plugins
from tunebench.targets.agent.sensors.base import Channel, Sensor
from tunebench.targets.agent.sensors.discover import discover
from tunebench.targets.agent.workdir import Workdir
from tunebench.targets.payload import make_payload
from tunebench.workloads.engines import lab

HEAD = """
from tunebench.targets.agent.sensors.base import Channel, Device, Discovery, Sensor

def channel(identifier, **other):
    return Channel(identifier, "room", "light", "lx", None, "a toy", None)._replace(**other)
"""
GOOD = (
    HEAD
    + """
DEVICES = [Device("dev/light", "the room's light", "toys", "RULE", False), "not a device"]

def discover(root="/"):
    return Discovery([Sensor([channel("light_lx")], lambda: [7.0])], {"dust": "no dust sensor here"})
"""
)
#: What a module does -> what is said of it.
BROKEN = {
    "import smbus_of_nobody": "ModuleNotFoundError: No module named 'smbus_of_nobody'",
    "def discover(root): 1 / 0": "ZeroDivisionError: division by zero",
    "def discover(root): raise SystemExit(3)": "SystemExit: 3",
    "def discover(root): return []": "discover() returned list, not Discovery",
    "def discover(root): return Discovery([7], {})": "discover() found int, not a Sensor",
    "def discover(root): return Discovery([Sensor(['x'])], {})": "a channel is str, not Channel",
    "def discover(root): return Discovery([Sensor([channel('')])], {})": "a field of channel '' is no text",
    "def discover(root): return Discovery([Sensor([channel('a', unit=3)])], {})": "a field of channel 'a' is no text",
    "def discover(root): return Discovery([Sensor([channel('a', quantum='1')])], {})": (
        "quantum or rate_hz of channel 'a' is no number"
    ),
    "def discover(root): return Discovery([Sensor([channel('a'), channel('a')])], {})": "there is a channel 'a' already",
    "def discover(root): return Discovery([Sensor([channel('load_1m')])], {})": "there is a channel 'load_1m' already",
    "def discover(root): return Discovery([Sensor([channel('rss_b')])], {})": "there is a channel 'rss_b' already",
    "pass": "AttributeError: module 'my_room.light' has no attribute 'discover'",
}
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Function (files, entry points): an installed package ``my-room``; without entry points, none is installed."""

    def write(files: dict[str, str], points: str = "light = my_room.light") -> None:
        written = {
            **{f"my_room/{name}": text for name, text in files.items()},
            "my_room-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: my-room\nVersion: 1\n",
            "my_room-1.dist-info/entry_points.txt": f"[tunebench.sensors]\n{points}\n",
        }
        for name, text in written.items():
            (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "site" / name).write_text(text)
        monkeypatch.syspath_prepend(tmp_path / "site")

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_room"]:
        del sys.modules[name]


@pytest.fixture
def on_board(install: Install, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Function (text of the module): this process is a board whose payload carries the package."""

    def carry(text: str) -> None:
        install({"__init__.py": "", "light.py": text})
        monkeypatch.setattr(plugins, "points", lambda: {"light": ("my_room.light", "my-room")})

    return carry


def names(payload: bytes) -> set[str]:
    return set(zipfile.ZipFile(BytesIO(payload)).namelist())


# -- on the host -----------------------------------------------------------------------------------


def test_without_such_a_package_the_payload_holds_what_it_held():
    assert build_payload().sha256 == make_payload(travelling_workloads()).sha256


def test_the_payload_carries_the_packages_files_and_a_table_and_nothing_else(install):
    before = names(build_payload().read())
    install({"__init__.py": "", "light.py": GOOD, "parts/lens.py": "", "notes.txt": "not code"})
    after = names(build_payload().read())
    assert after - before == {
        "my_room/__init__.py",
        "my_room/light.py",
        "my_room/parts/lens.py",
        "tunebench/targets/agent/sensors/lab.py",
    }
    assert before <= after


def test_a_name_of_ours_cannot_be_taken(install):
    before = build_payload().sha256
    install({"__init__.py": "", "light.py": GOOD}, "thermal = my_room.light")
    assert build_payload().sha256 == before


@pytest.mark.parametrize(
    ("files", "points", "reason"),
    [
        (
            {},
            "light = my_roon.light",
            "no package 'my_roon': a sensor's package is a folder with __init__.py",
        ),
        ({"__init__.py": ""}, "light = my_room.light", "no module 'my_room.light' in package 'my_room'"),
        (
            {"__init__.py": "", "light.py": "def ("},
            "light = my_room.light",
            "my_room/light.py is not Python: ",
        ),
        ({}, "light = tunebench.light", "a package called tunebench cannot travel beside ours"),
    ],
)
def test_a_package_that_cannot_travel_is_one_sentence(install, files, points, reason):
    install(files, points)
    with pytest.raises(UsageError) as told:
        build_payload()
    start = f"sensor 'light' of package my-room ({points.partition(' = ')[2]}): {reason}"
    assert str(told.value).startswith(start)
    assert "\n" not in str(told.value)


# -- on the board ----------------------------------------------------------------------------------


def test_a_board_reads_the_sensor_from_the_payload_alone(install, tmp_path):
    install({"__init__.py": "", "light.py": GOOD})
    (tmp_path / "payload.zip").write_bytes(build_payload().read())
    script = (
        f"import sys, json; sys.path.insert(0, {str(tmp_path / 'payload.zip')!r})\n"
        "from tunebench.targets.agent.sensors.discover import discover\n"
        f"found = discover({str(tmp_path)!r})\n"
        "print(json.dumps([{c.id: v for s in found.sensors for c, v in zip(s.channels, s.read())}, found.missing]))"
    )
    # -S and -I leave out site-packages and the checkout: nothing but the payload can be imported
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    values, missing = json.loads(done.stdout)
    assert values == {"light_lx": 7.0}
    assert missing["dust"] == "no dust sensor here"
    assert missing["power"].startswith("no power sensor")


def test_the_doctor_tells_of_the_devices_that_it_needs(on_board, tmp_path):
    on_board(GOOD)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/light").write_text("")
    rows = permissions.examine(Workdir(str(tmp_path)), {"root": str(tmp_path)})["devices"]
    assert [row["what"] for row in rows if row["path"] == "/dev/light"] == ["the room's light"]


@pytest.mark.parametrize("text", list(BROKEN))
def test_a_broken_sensor_is_missing_with_its_reason_and_disturbs_no_other(on_board, simulated, text):
    tree = simulated("pi-4")
    before = discover(str(tree))
    on_board(HEAD + text)
    after = discover(str(tree))
    assert {
        **before.missing,
        "light": f"sensor 'light' of package my-room (my_room.light): {BROKEN[text]}",
    } == (after.missing)
    ids = [
        [channel.id for sensor in found.sensors for channel in sensor.channels] for found in (before, after)
    ]
    assert ids[0] == ids[1]
    assert discover_module.devices()  # the doctor is not disturbed, either


def test_a_sensor_that_hangs_at_discovery_is_left_behind(on_board, simulated, monkeypatch):
    on_board(HEAD + "import time\ndef discover(root): time.sleep(30)")
    tree = simulated("pi-4")
    monkeypatch.setattr(discover_module, "_MODULE_S", 0.5)
    missing = discover(str(tree)).missing
    assert missing["light"] == "sensor 'light' of package my-room (my_room.light): no answer within 0.5 s"


def test_a_power_sensor_of_a_package_is_the_boards_power(on_board, simulated):
    tree = simulated("pi-4")
    assert "power" in discover(str(tree)).missing
    on_board(
        HEAD + "def discover(root):\n"
        "    power = channel('input_w', kind='power', unit='W', scope='board_input')\n"
        "    return Discovery([Sensor([power], lambda: [3.5])], {})"
    )
    assert "power" not in discover(str(tree)).missing


@pytest.mark.parametrize(
    ("values", "expected", "reason"),
    [
        ([1.5, None], [1.5, None], None),
        ([1.5], [None, None], "1 values of 2 channels"),
        ([1.5, math.nan], [1.5, None], "not a finite number: nan"),
        (["1.5", 2], [None, 2], "not a finite number: '1.5'"),
        ([True, 2], [None, 2], "not a finite number: True"),
    ],
)
def test_what_is_no_number_is_no_value(values, expected, reason):
    channels = [Channel(name, "room", "light", "lx", None, "a toy", None) for name in "ab"]
    guarded = plugins.GuardedSensor(Sensor(channels, lambda: values))
    assert guarded.read() == expected
    assert guarded.reason == reason


def test_closing_never_fails():
    class Clumsy(Sensor):
        def close(self):
            raise OSError("gone")

    plugins.GuardedSensor(Clumsy([])).close()


# -- engines travel the same way -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "files", "reason"),
    [
        ("my_roon", {}, "no package 'my_roon': an engine's 'package' is a folder with __init__.py"),
        ("my_room", {"light.py": "def ("}, "my_room/light.py is not Python: "),
    ],
)
def test_an_engine_that_cannot_travel_is_one_sentence(install, monkeypatch, package, files, reason):
    install({"__init__.py": "", **files}, "")
    monkeypatch.setattr(lab, "points", lambda: {"guess": ("my_room.guess:ENGINE", "my-room")})
    with pytest.raises(UsageError) as told:
        build_payload({"guess": package})
    assert str(told.value).startswith(f"engine 'guess' of package my-room (my_room.guess:ENGINE): {reason}")
