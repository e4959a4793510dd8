"""What the board is and has: fingerprint, sensors, interpreters, state. What is not readable is null."""

import os
import shutil
from typing import Any, Dict, List, Optional

from tunebench.targets.agent import lease, workdir
from tunebench.targets.agent.environment import identity, jetpack
from tunebench.targets.agent.environment.interpreters import interpreter
from tunebench.targets.agent.job import state
from tunebench.targets.agent.linux import perf_events
from tunebench.targets.agent.linux.mounts import noexec
from tunebench.targets.agent.linux.sysfs import find, text_of
from tunebench.targets.agent.protocol import PROBE_SCHEMA
from tunebench.targets.agent.sensors import memory
from tunebench.targets.agent.sensors.discover import discover
from tunebench.targets.agent.workdir import Workdir

#: Changes that a run made to the board and has not taken back yet.
UNDO = "undo.json"


def probe(place: Workdir, request: Dict[str, Any], root: str = "/") -> Dict[str, Any]:
    """Answer a probe request: ``{"interpreters": [[argv]...], "run_id"}``.

    Below another root than ``/`` everything but the machine's architecture, the free disk, the C library, what the CPU
    counts, the interpreters and the working directory comes from that tree.
    """
    discovery = discover(root)
    table = memory.fields(text_of(os.path.join(root, "proc/meminfo")))
    interpreters = [interpreter(argv) for argv in request.get("interpreters", [])]
    tiers = identity.fingerprint(root, interpreters)
    mode = jetpack.power_mode(root)
    counters = perf_events.tried()
    return {
        "schema": PROBE_SCHEMA,
        "fingerprint": tiers,
        "fingerprint_sha256": identity.hashes(tiers),
        "cpu_features": identity.cpu_features(text_of(os.path.join(root, "proc/cpuinfo")) or ""),
        "channels": [dict(channel._asdict()) for sensor in discovery.sensors for channel in sensor.channels],
        "missing": dict(discovery.missing, **counters.missing),
        "pmu": [event.name for event in counters.events],
        "interpreters": interpreters,
        "disk_free_b": shutil.disk_usage(place.root).free,
        "noexec": noexec(place.root),
        "mem_total_b": _bytes(table.get("MemTotal")),
        "mem_available_b": _bytes(table.get("MemAvailable")),
        "swaps": swaps(root),
        "boot_id": workdir.boot_id(),
        "governor": governor(root),
        "power_mode": mode.name,
        "power_mode_id": mode.id,
        "power_mode_reason": mode.reason,
        "lease": lease.described(place),
        "undo_pending": os.path.exists(os.path.join(place.root, UNDO)),
        "simulated": os.path.realpath(root) != "/",
        "jobs": known_jobs(place, request.get("run_id")),
    }


def _bytes(kib: Optional[int]) -> Optional[int]:
    return None if kib is None else kib * 1024


def governor(root: str = "/") -> Optional[str]:
    """Return the cpufreq governor; where the clusters differ, all of them in the kernel's order."""
    paths = find(root, "sys/devices/system/cpu/cpufreq/policy*/scaling_governor")
    names = [name for name in map(text_of, paths) if name]
    return ",".join(sorted(set(names), key=names.index)) or None


def swaps(root: str = "/") -> Optional[List[Dict[str, Any]]]:
    """Return what the board swaps to (``/proc/swaps``); ``zram`` swaps into memory, and so hides how much a job needs."""
    text = text_of(os.path.join(root, "proc/swaps"))
    if text is None:
        return None
    areas = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) >= 4 and words[2].isdigit() and words[3].isdigit():
            name = os.path.basename(words[0])
            areas.append(
                {
                    "name": name,
                    "zram": name.startswith("zram"),
                    "size_b": int(words[2]) * 1024,
                    "used_b": int(words[3]) * 1024,
                }
            )
    return areas


def known_jobs(place: Workdir, run_id: Optional[str]) -> List[Dict[str, Any]]:
    """Return the jobs on the board, of one run or of all."""
    jobs = []
    for name in sorted(os.listdir(place.jobs)) if os.path.isdir(place.jobs) else []:
        job = workdir.read_json(os.path.join(place.job(name), "job.json"))
        if job is None:  # half removed, or half made; repetitions are named after their run
            job = {"run_id": run_id} if run_id and name.startswith(run_id + ".") else {}
        if run_id is None or job.get("run_id") == run_id:
            jobs.append({"rep_id": name, "run_id": job.get("run_id"), "state": state.state(place.job(name))})
    return jobs
