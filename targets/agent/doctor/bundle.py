"""A redacted capture of what a board measures with: files under the sensor paths, and what its programs answer.

It has the layout of a simulated board (files by their path, answers in ``.commands/``), so that a board nobody
here has can be a tree in a test. What is collected is a list of places, never a search; each file is bounded in
size and in the time that it may take; see :mod:`tunebench.targets.agent.doctor.redact` for what is taken out.
"""

import hashlib
import io
import json
import os
import stat
import tarfile
import threading
import time
from typing import Any, BinaryIO, Dict, List, Optional, Tuple

from tunebench.targets.agent.doctor import redact
from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import find
from tunebench.targets.agent.sensors import tegrastats

SCHEMA = "tunebench.bundle/1"
MAX_FILE_B = 64 * 1024
MAX_TOTAL_B = 8 * 1024 * 1024
MAX_FILES = 4000
#: A kernel file that takes longer is broken, and is left out.
READ_S = 2.0
#: All together; what has not been read by then is left out.
TOTAL_S = 180.0
COMMAND_S = 10.0
MAX_STREAM_LINES = 5

_CPU = "sys/devices/system/cpu/"
PLACES = (
    "proc/device-tree/model",
    "proc/device-tree/compatible",
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/cmdline",
    "proc/cgroups",
    "proc/swaps",
    "proc/loadavg",
    "proc/uptime",
    "proc/vmstat",
    "proc/stat",
    "proc/sys/kernel/osrelease",
    "proc/sys/vm/drop_caches",
    "etc/os-release",
    "usr/lib/os-release",
    "etc/nv_tegra_release",
    "etc/nvpmodel.conf",
    "var/lib/nvpmodel/status",
    "sys/fs/cgroup/cgroup.controllers",
    "sys/class/dmi/id/product_name",
    "sys/class/dmi/id/bios_version",
    _CPU + "online",
    _CPU + "possible",
    _CPU + "present",
    _CPU + "cpu*/online",
    _CPU + "cpufreq/policy*/*",
    _CPU + "cpufreq/policy*/stats/time_in_state",
    "sys/class/thermal/thermal_zone*/*",
    "sys/class/thermal/thermal_zone*/cdev*/type",
    "sys/class/thermal/cooling_device*/*",
    "sys/bus/i2c/drivers/ina*/*-*/name",
    "sys/bus/i2c/drivers/ina*/*-*/hwmon/hwmon*/*",
    "sys/bus/i2c/drivers/ina*/*-*/iio*device*/*",
    "sys/bus/i2c/devices/*-*/name",
    "sys/bus/i2c/devices/*-*/iio*device*/*",
    "sys/bus/iio/devices/iio:device*/*",
    "sys/class/hwmon/hwmon*/*",
    "sys/class/devfreq/*/*",
    "sys/class/devfreq/*/device/load",
    "sys/devices/gpu.*/load",
    "sys/devices/platform/gpu.*/load",
    "sys/devices/platform/*gpu/load",
    "sys/devices/platform/bus@*/*gpu/load",
    "sys/class/powercap/*/*",
    "sys/block/zram*/mm_stat",
    "sys/devices/platform/soc*/*firmware*/get_throttled",
    "sys/devices/platform/*firmware*/get_throttled",
)
#: Queries only: nothing here changes a board.
COMMANDS = (
    ("vcgencmd", "pmic_read_adc"),
    ("vcgencmd", "get_throttled"),
    ("vcgencmd", "measure_temp"),
    ("vcgencmd", "measure_temp", "pmic"),
    ("vcgencmd", "measure_clock", "arm"),
    ("vcgencmd", "measure_clock", "v3d"),
    ("vcgencmd", "measure_volts", "core"),
    ("vcgencmd", "version"),
    ("vcgencmd", "bootloader_version"),
    ("nvpmodel", "-q"),
    ("nvpmodel", "-p", "--verbose"),
    ("jetson_clocks", "--show"),
)
STREAMS = (("tegrastats", "--interval", str(tegrastats.INTERVAL_MS)),)
_SECRET_NAMES = ("serial", "uuid", "unique_id", "wwid", "address")


class _LeftOut(Exception):
    """Why a file is not in the bundle."""


class _Reader(threading.Thread):
    """Reads one file, away from the thread that must not hang with it."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self.content: Optional[bytes] = None
        self.reason: Optional[str] = None

    def run(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                self.content = os.read(descriptor, MAX_FILE_B + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.reason = os.strerror(error.errno or 0)


def collect(root: str = "/") -> Tuple[Dict[str, bytes], Dict[str, Any]]:
    """Collect the board's files and its programs' answers, redacted.

    Args:
        root: where the board's file system starts.

    Returns:
        files by their path below the root, and a summary: ``schema``, ``files``, ``bytes``, ``programs``,
        ``redacted`` (kind -> count), ``left_out`` (``{"name", "reason"}``).
    """
    redactor = redact.Redactor(root)
    files: Dict[str, bytes] = {}
    left_out: List[Dict[str, str]] = []
    give_up_s, total_b = time.monotonic() + TOTAL_S, 0
    for name in _listed(root):
        try:
            if time.monotonic() > give_up_s:
                raise _LeftOut("no time left")
            if len(files) >= MAX_FILES or total_b > MAX_TOTAL_B - MAX_FILE_B:
                raise _LeftOut("the bundle is full")
            content = _read(root, name, redactor)
        except _LeftOut as reason:
            left_out.append({"name": name, "reason": str(reason)})
            continue
        if content is not None:
            files[name] = content
            total_b += len(content)
    asked = _ask(root, redactor)
    files.update(asked)
    return files, {
        "schema": SCHEMA,
        "files": len(files),
        "bytes": sum(map(len, files.values())),
        "programs": sorted(asked),
        "redacted": dict(redactor.counts),
        "left_out": left_out[:200],
    }


def _listed(root: str) -> List[str]:
    """Return the paths below the root that are there, each once."""
    names: Dict[str, None] = {}
    for pattern in PLACES:
        for path in find(root, pattern):
            name = os.path.relpath(path, root)
            base = os.path.basename(name).lower()
            if base != "uevent" and not any(word in base for word in _SECRET_NAMES):
                names.setdefault(name, None)
    return list(names)


def _read(root: str, name: str, redactor: redact.Redactor) -> Optional[bytes]:
    """Return a file's redacted content, or ``None`` if it is a folder or a file that nobody may read.

    Raises:
        _LeftOut: why it is left out.
    """
    path = os.path.join(root, name)
    top, end = os.path.realpath(root), os.path.realpath(path)
    if not programs.is_real(root) and not end.startswith(top + os.sep):
        raise _LeftOut("leads out of the simulated board")
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise _LeftOut(os.strerror(error.errno or 0)) from None
    if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not mode & 0o444):
        return None
    if not stat.S_ISREG(mode):
        raise _LeftOut("no regular file")
    try:
        text = _content(path).decode("utf-8")
    except UnicodeDecodeError:
        raise _LeftOut("no text") from None
    return redact.RULES.get(name, redact.Redactor.attribute)(redactor, text).encode("utf-8")


def _content(path: str) -> bytes:
    reader = _Reader(path)
    reader.start()
    reader.join(READ_S)
    if reader.is_alive():
        raise _LeftOut("no answer within %g s" % READ_S)
    if reader.content is None:
        raise _LeftOut(reader.reason or "unreadable")
    if len(reader.content) > MAX_FILE_B:
        raise _LeftOut("larger than %d bytes" % MAX_FILE_B)
    return reader.content


def _ask(root: str, redactor: redact.Redactor) -> Dict[str, bytes]:
    """Return the answers of the board's programs, keyed by the file from which a simulated board replays each."""
    answers = {}
    for argv in COMMANDS:
        said = programs.run(root, argv, COMMAND_S)
        if said.reason is None:
            answers[_file(argv)] = _answer(argv, said.rc, redactor.words(said.out[:MAX_FILE_B]))
    for argv in STREAMS:
        with programs.stream(root, argv) as stream:
            lines = _first_lines(stream) if stream.reason is None else []
        if lines:
            answers[_file(argv)] = _answer(argv, 0, redactor.words("\n".join(lines) + "\n"))
    return answers


def _first_lines(stream: Any) -> List[str]:
    """Return the first lines of a stream, as many as arrive in time."""
    lines: List[str] = []

    def take() -> None:
        for line in stream.lines():
            lines.append(line[:4096])
            if len(lines) >= MAX_STREAM_LINES:
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(COMMAND_S)
    return list(lines)


def _file(argv: Tuple[str, ...]) -> str:
    return "%s/%s" % (programs.COMMANDS, programs.recording_name(argv))


def _answer(argv: Tuple[str, ...], rc: Optional[int], out: str) -> bytes:
    return (json.dumps({"argv": list(argv), "rc": rc, "out": out}, sort_keys=True) + "\n").encode("utf-8")


def packed(root: str = "/") -> Tuple[Dict[str, Any], BinaryIO]:
    """Return the reply that announces a bundle, and its uncompressed tar."""
    files, summary = collect(root)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            archive.addfile(info, io.BytesIO(files[name]))
    data = content.getvalue()
    content.seek(0)
    return {"tar_b": len(data), "sha256": hashlib.sha256(data).hexdigest(), "summary": summary}, content
