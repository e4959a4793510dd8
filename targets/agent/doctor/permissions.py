"""What an account may do on a board, and what would let it do more: groups, devices, sudo. Changes nothing."""

import grp
import os
import stat
from typing import Any, Dict, List, Optional, Tuple

from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import find
from tunebench.targets.agent.tuning import apply
from tunebench.targets.agent.tuning.system import System, user_name
from tunebench.targets.agent.workdir import Workdir

SCHEMA = "tunebench.examine/1"
#: (pattern, what it gives, group that it belongs to by custom, udev rule that gives it to that group, write too).
_DEVICES: Tuple[Tuple[str, str, Optional[str], str, bool], ...] = (
    (
        "dev/vcio*",
        "vcgencmd: the Pi 5's power, the firmware's clock",
        "video",
        'KERNEL=="vcio*", GROUP="video", MODE="0660"',
        True,
    ),
    (
        "dev/gpiochip*",
        "GPIO: an edge that marks the window for a meter",
        "gpio",
        'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"',
        True,
    ),
    (
        "sys/class/powercap/intel-rapl:*/energy_uj",
        "RAPL: the package's energy (readable by root alone since CVE-2020-8694: it can leak secrets to other users)",
        None,
        'SUBSYSTEM=="powercap", KERNEL=="intel-rapl:*", RUN+="/bin/chmod a+r /sys%p/energy_uj"',
        False,
    ),
)


def examine(place: Workdir, request: Dict[str, Any]) -> Dict[str, Any]:
    """Answer ``{"root", "wanted"}``.

    Returns:
        ``user``, ``groups``, ``root_user`` (it may do anything), ``sudo`` (the board has it), ``workdir``,
        ``devices`` (rows with ``path``, ``what``, ``access``, ``group``, ``member``, ``udev``) and ``tuning``
        (see :func:`tunebench.targets.agent.tuning.apply.possible`).
    """
    root, wanted = str(request.get("root", "/")), request.get("wanted")
    groups = _groups()
    return {
        "schema": SCHEMA,
        "user": user_name(),
        "groups": groups,
        "root_user": os.geteuid() == 0,
        "sudo": programs.find_program("sudo") is not None,
        "workdir": place.root,
        "devices": [row for entry in _DEVICES for row in _device(root, entry, groups)],
        "tuning": apply.possible(System(root), wanted if isinstance(wanted, dict) else {}),
    }


def _groups() -> List[str]:
    return sorted(filter(None, (_group_name(gid) for gid in {os.getgid(), *os.getgroups()})))


def _group_name(gid: int) -> Optional[str]:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


def _device(
    root: str, entry: Tuple[str, str, Optional[str], str, bool], groups: List[str]
) -> List[Dict[str, Any]]:
    pattern, what, group, rule, write = entry
    rows = []
    for path in find(root, pattern)[:8]:
        try:
            state = os.stat(path)
        except OSError:
            continue
        mine = bool(state.st_mode & (stat.S_IRGRP if not write else stat.S_IWGRP))
        owner = _group_name(state.st_gid) if mine and state.st_gid != 0 else None
        rows.append(
            {
                "path": "/" + os.path.relpath(path, root),
                "what": what,
                "access": os.access(path, os.R_OK | (os.W_OK if write else 0)),
                # The group that has access now; without one, the rule makes it the customary one.
                "group": owner or group,
                "member": (owner or group) in groups,
                "udev": None if owner else rule,
            }
        )
    return rows
