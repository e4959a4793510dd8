"""Who the board is, in tiers that change at different times: hardware, firmware, os, python.

Two runs whose tier differs were not made on the same thing; each tier has a hash, so that a comparison can
say which one changed. Nothing here is guessed: what is not readable is null.
"""

import hashlib
import json
import os
import platform
import re
from typing import Any, Dict, List, Optional

from tunebench.targets.agent.environment import jetpack
from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import text_of
from tunebench.targets.agent.sensors import memory

Tier = Dict[str, Any]
#: A Pi's serial has 32 bits and could be found by trying: the hash is made slow (40 ms on a Zero 2 W's kind of core).
_SERIAL_SALT = b"tunebench.serial/1"
_SERIAL_ROUNDS = 20000
_VCGENCMD_S = 10.0
_SOC = re.compile(
    r"(?:brcm|nvidia|rockchip|allwinner|qcom|amlogic|fsl|ti|mediatek|samsung),([a-z]+\d[\w-]*)\Z"
)


def fingerprint(root: str, interpreters: List[Dict[str, Any]]) -> Dict[str, Tier]:
    """Return the tiers.

    Args:
        root: where the board's file system starts.
        interpreters: what is known of them; the first one belongs to the Python tier.
    """
    return {
        "hardware": hardware(root),
        "firmware": firmware(root),
        "os": operating_system(root),
        "python": python_stack(interpreters),
    }


def hashes(tiers: Dict[str, Tier]) -> Dict[str, str]:
    """Return tier -> SHA-256 of its canonical JSON."""
    return {
        name: hashlib.sha256(json.dumps(tier, sort_keys=True, allow_nan=False).encode()).hexdigest()
        for name, tier in tiers.items()
    }


def hardware(root: str) -> Tier:
    """Return model, SoC, cores, memory; the serial number only as a hash."""
    cpuinfo = _text(root, "proc/cpuinfo") or ""
    total_kib = memory.fields(_text(root, "proc/meminfo")).get("MemTotal")
    compatible = _text(root, "proc/device-tree/compatible")
    return {
        "model": _text(root, "proc/device-tree/model") or _text(root, "sys/class/dmi/id/product_name"),
        "compatible": compatible.replace("\0", " ") if compatible else None,
        "soc": soc(compatible),
        "machine": platform.machine(),
        "cores": count(_text(root, "sys/devices/system/cpu/possible")) or _processors(cpuinfo),
        "cores_online": _text(root, "sys/devices/system/cpu/online"),
        "cpu": cpu_name(cpuinfo),
        "lse": has_lse(cpuinfo),
        "ram_b": None if total_kib is None else total_kib * 1024,
        "serial_sha256": serial_hash(root, cpuinfo),
    }


def firmware(root: str) -> Tier:
    """Return what was flashed: a PC's BIOS, a Pi's boot loader and VideoCore firmware, a Jetson's L4T and JetPack."""
    release = _text(root, "etc/nv_tegra_release")
    l4t = jetpack.release(release)
    bootloader = _text(root, "proc/device-tree/chosen/bootloader/version")
    return {
        "bios": _text(root, "sys/class/dmi/id/bios_version"),
        "l4t": l4t,
        "l4t_text": release.splitlines()[0].lstrip("# ") if release else None,
        "jetpack": jetpack.jetpack(l4t),
        "bootloader": bootloader,
        "vcgencmd": vcgencmd_version(root),
    }


def operating_system(root: str) -> Tier:
    """Return kernel, distribution, C library."""
    release = os_release(_text(root, "etc/os-release") or _text(root, "usr/lib/os-release") or "")
    return {
        "kernel": _text(root, "proc/sys/kernel/osrelease"),
        "pretty_name": release.get("PRETTY_NAME"),
        "id": release.get("ID"),
        "version_id": release.get("VERSION_ID"),
        "libc": libc(),
    }


def python_stack(interpreters: List[Dict[str, Any]]) -> Tier:
    """Return the agent's Python, and the workload's with its torch build."""
    tier = {"agent": platform.python_version()}  # type: Tier
    for interpreter in interpreters[:1]:
        tier.update({key: interpreter.get(key) for key in ("python", "torch", "cuda", "cuda_version")})
    return tier


def _text(root: str, path: str) -> Optional[str]:
    """Return the text of a file below the root, without the NUL that ends a device-tree string."""
    return text_of(os.path.join(root, path)) or None


def soc(compatible: Optional[str]) -> Optional[str]:
    """Return the chip's name from the device tree's ``compatible`` (NUL-separated, most special first).

    >>> soc("raspberrypi,5-model-b" + chr(0) + "brcm,bcm2712")
    'bcm2712'
    """
    for entry in (compatible or "").split("\0"):
        match = _SOC.match(entry)
        if match and not re.match(r"p\d{4}", match.group(1)):  # nvidia,p3767-0003 is a module, not a chip
            return match.group(1)
    return None


def count(ranges: Optional[str]) -> Optional[int]:
    """Return how many CPUs a kernel list names.

    >>> count("0-3,5")
    5
    """
    if not ranges or not re.match(r"\d+(-\d+)?(,\d+(-\d+)?)*\Z", ranges):
        return None
    ends = [part.split("-") for part in ranges.split(",")]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in ends)


def _processors(cpuinfo: str) -> Optional[int]:
    """Return CPUs that are online, for kernels that do not list the possible ones."""
    return sum(line.startswith("processor") for line in cpuinfo.splitlines()) or None


def cpu_name(cpuinfo: str) -> Optional[str]:
    """Return the model's name on x86, implementer and part on ARM."""
    table = {}  # type: Dict[str, str]
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        table.setdefault(key.strip(), value.strip())
    if table.get("model name"):
        return table["model name"]
    if "CPU part" in table:
        return "implementer %s part %s" % (table.get("CPU implementer"), table["CPU part"])
    return None


def cpu_features(cpuinfo: str) -> str:
    """Return what decides which compiled code runs here: each distinct line of flags and of ARM core parts, once."""
    wanted = ("flags", "Features", "CPU implementer", "CPU part")
    lines = [line for line in cpuinfo.splitlines() if line.partition(":")[0].strip() in wanted]
    return "\n".join(sorted(set(lines)))[:16384]


def has_lse(cpuinfo: str) -> Optional[bool]:
    """Tell whether every ARM core has the atomics of ARMv8.1 (LSE); ``None`` on other machines.

    Torch builds that use them unasked die by SIGILL on Cortex-A53, A57 and A72.
    """
    lines = [line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("Features")]
    return all("atomics" in features for features in lines) if lines else None


def serial_hash(root: str, cpuinfo: str) -> Optional[str]:
    """Return a salted, slow SHA-256 of the serial number: it tells boards apart and does not reveal the number."""
    serial = _text(root, "proc/device-tree/serial-number")
    if serial is None:
        match = re.search(r"^Serial\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
        serial = match.group(1) if match else None
    if serial is None or not serial.strip("0"):
        return None
    return hashlib.pbkdf2_hmac("sha256", serial.encode(), _SERIAL_SALT, _SERIAL_ROUNDS).hex()


def vcgencmd_version(root: str) -> Optional[str]:
    """Return the VideoCore firmware's date and hash (``vcgencmd version``); early Pi 5 firmware over-reads its power."""
    said = programs.run(root, ["vcgencmd", "version"], _VCGENCMD_S)
    lines = [line.strip() for line in said.out.splitlines() if line.strip()]
    # Without the right to ask, it says so on standard output.
    if said.rc != 0 or not any(line.startswith("version ") for line in lines):
        return None
    return " / ".join(line for line in lines if not line.startswith("Copyright"))


def os_release(text: str) -> Dict[str, str]:
    """Return ``/etc/os-release`` as a table."""
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def libc() -> Optional[str]:
    """Return the C library that runs, e.g. ``glibc 2.36`` (``platform.libc_ver`` tells what was linked)."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None
