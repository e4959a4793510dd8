"""What only a Jetson has: its L4T release, the JetPack of that release, and its power mode by name."""

import os
import re
from typing import Dict, NamedTuple, Optional

from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import text_of

#: JetPack by L4T release, as NVIDIA publishes them together (developer.nvidia.com/embedded/jetpack-archive; from 36.5 on
#: compared with public tables that were read off that page on 2026-09-22). A release that is not listed has no JetPack
#: here: a neighbour's would be a guess.
JETPACK: Dict[str, str] = {
    "28.1": "3.1",
    "28.2": "3.2",
    "32.1": "4.2",
    "32.2": "4.2.1",
    "32.2.1": "4.2.2",
    "32.2.3": "4.2.3",
    "32.3.1": "4.3",
    "32.4.2": "4.4 DP",
    "32.4.3": "4.4",
    "32.4.4": "4.4.1",
    "32.5": "4.5",
    "32.5.1": "4.5.1",
    "32.5.2": "4.5.1",
    "32.6.1": "4.6",
    "32.7.1": "4.6.1",
    "32.7.2": "4.6.2",
    "32.7.3": "4.6.3",
    "32.7.4": "4.6.4",
    "32.7.5": "4.6.5",
    "32.7.6": "4.6.6",
    "34.1": "5.0 DP",
    "34.1.1": "5.0.1 DP",
    "35.1": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5": "5.1.3",
    "35.6": "5.1.4",
    "35.6.1": "5.1.5",
    "35.6.2": "5.1.5",
    "36.2": "6.0 DP",
    "36.3": "6.0",
    "36.4": "6.1",
    "36.4.2": "6.1.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5": "6.2.2",
    "36.5.2": "6.2.3",
    "38.2": "7.0",
    "38.2.1": "7.0",
    "38.2.2": "7.0",
    "38.4": "7.1",
    "39.2": "7.2",
    "39.2.1": "7.2.1",
}
#: ``# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: ...``
_RELEASE = re.compile(r"R(\d+) \(release\), REVISION: ([0-9.]+)")
#: ``< POWER_MODEL ID=0 NAME=MAXN >``
_MODEL = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)\s*>")
_TIMEOUT_S = 10.0


class Mode(NamedTuple):
    """A power mode.

    Attributes:
        name: as in ``/etc/nvpmodel.conf``: an id alone means another mode on another board.
        id: on this board.
        reason: why ``name`` is missing.
    """

    name: Optional[str]
    id: Optional[int]
    reason: Optional[str]


def release(text: Optional[str]) -> Optional[str]:
    """Return the L4T release from ``/etc/nv_tegra_release``.

    >>> release("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic")
    '36.4.3'
    """
    match = _RELEASE.search(text or "")
    return "%s.%s" % match.groups() if match else None


def jetpack(l4t: Optional[str]) -> Optional[str]:
    """Return the JetPack that an L4T release belongs to, or ``None`` where it is not known.

    >>> jetpack("36.4.3"), jetpack("35.6.0"), jetpack("39.2.0"), jetpack("99.1")
    ('6.2', '5.1.4', '7.2', None)
    """
    return JETPACK.get(re.sub(r"(\.0)+$", "", l4t)) if l4t else None


def modes(root: str = "/") -> Dict[int, str]:
    """Return id -> name of all power modes of this board (the file is world-readable)."""
    text = text_of(os.path.join(root, "etc/nvpmodel.conf")) or ""
    return {int(number): name for number, name in _MODEL.findall(text)}


def power_mode(root: str = "/") -> Mode:
    """Return the mode in force, from ``nvpmodel -q``: asking needs no root."""
    said = programs.run(root, ["nvpmodel", "-q"], _TIMEOUT_S)
    if said.reason is not None:
        return Mode(None, None, said.reason)
    name, number = None, None
    for line in said.out.splitlines():
        if "Power Mode:" in line:
            name = line.split("Power Mode:", 1)[1].strip() or None
        elif line.strip().isdigit():
            number = int(line.strip())
    if name is None and number is not None:
        name = modes(root).get(number)
    if name is not None:
        return Mode(name, number, None)
    if number is not None:
        return Mode(
            None, number, "nvpmodel says only id %d, and /etc/nvpmodel.conf has no such mode" % number
        )
    return Mode(None, None, "nvpmodel -q said: %s" % said.out.strip()[:200])
