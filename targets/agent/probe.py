"""What the board is: fingerprint, sensors, interpreters. Nothing is guessed; what is not readable is null."""

import json
import os
import platform
import shutil
import subprocess
from typing import Any, Dict, List, Optional, Sequence

from targets.agent import jobs, processes, workdir
from targets.agent.protocol import PROBE_SCHEMA
from targets.agent.sensors import memory
from targets.agent.sensors.base import text_of
from targets.agent.sensors.discover import discover
from targets.agent.workdir import Workdir

#: Importing torch takes up to a minute from an SD card.
IMPORT_S = 240
_SIGILL = -4
#: Runs in the interpreter in question, in a child: a torch built for another CPU dies by SIGILL.
_ASK = """
import json, sys
found = {"python": "%d.%d.%d" % sys.version_info[:3], "torch": None, "cuda": False, "reason": None}
print(json.dumps(found))
sys.stdout.flush()
try:
    import torch
    float((torch.ones(8, 8) @ torch.ones(8, 8)).sum())
    found["torch"] = torch.__version__
    found["cuda"] = bool(torch.cuda.is_available())
except ImportError as error:
    found["reason"] = "torch cannot be imported: %s" % error
except Exception as error:
    found["reason"] = "torch does not work: %r" % error
print(json.dumps(found))
"""


def probe(place: Workdir, request: Dict[str, Any], root: str = "/") -> Dict[str, Any]:
    """Answer a probe request: ``{"interpreters": [[argv]...], "run_id"}``."""
    found = discover(root)
    table = memory.fields(text_of(os.path.join(root, "proc/meminfo")))
    return {
        "schema": PROBE_SCHEMA,
        "fingerprint": fingerprint(root, table),
        "cpu_features": cpu_features(text_of(os.path.join(root, "proc/cpuinfo")) or ""),
        "channels": [dict(channel._asdict()) for sensor in found.sensors for channel in sensor.channels],
        "missing": found.missing,
        "interpreters": [interpreter(argv) for argv in request.get("interpreters", [])],
        "disk_free_b": shutil.disk_usage(place.root).free,
        "mem_total_b": _bytes(table.get("MemTotal")),
        "mem_available_b": _bytes(table.get("MemAvailable")),
        "boot_id": workdir.boot_id(),
        "governor": text_of(os.path.join(root, "sys/devices/system/cpu/cpufreq/policy0/scaling_governor")),
        "power_mode": power_mode(),
        "jobs": known_jobs(place, request.get("run_id")),
    }


def _bytes(kib: Optional[int]) -> Optional[int]:
    return None if kib is None else kib * 1024


def fingerprint(root: str, meminfo: Dict[str, int]) -> Dict[str, Dict[str, Any]]:
    """Tiers of what identifies the board: hardware, firmware, os, python."""

    def text(path: str) -> Optional[str]:
        return text_of(os.path.join(root, path)) or None

    release = text("etc/os-release") or text("usr/lib/os-release") or ""
    pretty = [line[12:].strip("\"' ") for line in release.splitlines() if line.startswith("PRETTY_NAME=")]
    model = text("proc/device-tree/model") or text("sys/class/dmi/id/product_name")
    l4t = (text("etc/nv_tegra_release") or "").splitlines()
    return {
        "hardware": {
            "model": model,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "cores_online": text("sys/devices/system/cpu/online"),
            "cpu": cpu_name(text("proc/cpuinfo") or ""),
            "ram_b": _bytes(meminfo.get("MemTotal")),
            "compatible": (text("proc/device-tree/compatible") or "").replace("\0", " ") or None,
        },
        "firmware": {
            "bios": text("sys/class/dmi/id/bios_version"),
            "l4t": l4t[0].lstrip("# ") if l4t else None,
            "bootloader": text("proc/device-tree/chosen/bootloader/version"),
        },
        "os": {
            "kernel": text("proc/sys/kernel/osrelease"),
            "pretty_name": pretty[0] if pretty else None,
            "libc": _libc(),
        },
        "python": {"agent": platform.python_version()},
    }


def _libc() -> Optional[str]:
    """The C library that runs, e.g. ``glibc 2.36`` (``platform.libc_ver`` tells what was linked)."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None


def cpu_name(cpuinfo: str) -> Optional[str]:
    """The model's name on x86, implementer and part on ARM."""
    table: Dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        table.setdefault(key.strip(), value.strip())
    if table.get("model name"):
        return table["model name"]
    if "CPU part" in table:
        return "implementer %s part %s" % (table.get("CPU implementer"), table["CPU part"])
    return None


def cpu_features(cpuinfo: str) -> str:
    """What decides which compiled code runs here: each distinct line of flags and of ARM core parts, once."""
    wanted = ("flags", "Features", "CPU implementer", "CPU part")
    lines = [line for line in cpuinfo.splitlines() if line.partition(":")[0].strip() in wanted]
    return "\n".join(sorted(set(lines)))[:16384]


def power_mode() -> Optional[str]:
    """Jetson's power mode by name (ids mean another mode on another board)."""
    try:
        said = _run(["nvpmodel", "-q"], 10).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError):
        return None
    names = [line.split(":", 1)[1].strip() for line in said.splitlines() if "Power Mode:" in line]
    return names[0] if names else None


def _run(argv: Sequence[str], timeout_s: float) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout_s,
        check=False,
    )


def interpreter(argv: List[str], timeout_s: float = IMPORT_S) -> Dict[str, Any]:
    """Whether an interpreter starts, and which torch it has; never raises."""
    answer = {"argv": argv, "ok": False, "python": None, "torch": None, "cuda": False, "reason": None}
    try:
        done = _run(processes.expanded(argv) + ["-c", _ASK], timeout_s)
    except subprocess.TimeoutExpired:
        answer["reason"] = "no answer within %g s" % timeout_s
        return answer
    except OSError as error:
        answer["reason"] = "cannot start %s: %s" % (argv[0], error.strerror)
        return answer
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and "python" in said:
            answer.update(said, ok=True)
    if done.returncode == _SIGILL:
        answer["reason"] = "SIGILL: this torch build does not run on this CPU"
    elif done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        answer["reason"] = "exit status %d: %s" % (done.returncode, "".join(last)[:300])
    return answer


def known_jobs(place: Workdir, run_id: Optional[str]) -> List[Dict[str, Any]]:
    """The jobs on the board, of one run or of all."""
    found = []
    for name in sorted(os.listdir(place.jobs)) if os.path.isdir(place.jobs) else []:
        job = workdir.read_json(os.path.join(place.job(name), "job.json")) or {}
        if run_id is None or job.get("run_id") == run_id:
            found.append({"rep_id": name, "run_id": job.get("run_id"), "state": jobs.state(place.job(name))})
    return found
