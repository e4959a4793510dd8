"""What an account may do on a board, and what would let it do more: groups, devices, sudo. Changes nothing."""

import grp
import os
import stat
from typing import Any, Dict, List, Optional

from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import find
from tunebench.targets.agent.sensors import discover
from tunebench.targets.agent.sensors.base import Device
from tunebench.targets.agent.tuning import apply
from tunebench.targets.agent.tuning.system import System, user_name
from tunebench.targets.agent.workdir import Workdir

SCHEMA = "tunebench.examine/1"
#: Of no sensor alone; theirs stand in their modules.
_DEVICES = (
    Device(
        "dev/vcio*",
        "vcgencmd: the Pi 5's power, the firmware's clock",
        "video",
        'KERNEL=="vcio*", GROUP="video", MODE="0660"',
        True,
    ),
    Device(
        "dev/gpiochip*",
        "GPIO: an edge that marks the window for a meter",
        "gpio",
        'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"',
        True,
    ),
)


def examine(place: Workdir, request: Dict[str, Any]) -> Dict[str, Any]:
    """Answer an examination request: ``{"root", "wanted"}``.

    Returns:
        ``user``, ``groups``, ``root_user`` (it may do anything), ``sudo`` (the board has it), ``workdir``,
        ``devices`` (rows with ``path``, ``what``, ``access``, ``group``, ``member``, ``udev``) and ``tuning``
        (see :func:`tunebench.targets.agent.tuning.apply.possible`).
    """
    root, wanted = str(request.get("root", "/")), request.get("wanted")
    groups = _groups()
    devices = list(_DEVICES) + discover.devices()
    return {
        "schema": SCHEMA,
        "user": user_name(),
        "groups": groups,
        "root_user": os.geteuid() == 0,
        "sudo": programs.find_program("sudo") is not None,
        "workdir": place.root,
        "devices": [row for device in devices for row in _device(root, device, groups)],
        "tuning": apply.possible(System(root), wanted if isinstance(wanted, dict) else {}),
    }


def _groups() -> List[str]:
    return sorted(filter(None, (_group_name(gid) for gid in {os.getgid(), *os.getgroups()})))


def _group_name(gid: int) -> Optional[str]:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


def _device(root: str, device: Device, groups: List[str]) -> List[Dict[str, Any]]:
    group, write = device.group, device.write
    rows = []
    for path in find(root, device.pattern)[:8]:
        try:
            state = os.stat(path)
        except OSError:
            continue
        mine = bool(state.st_mode & (stat.S_IRGRP if not write else stat.S_IWGRP))
        owner = _group_name(state.st_gid) if mine and state.st_gid != 0 else None
        rows.append(
            {
                "path": "/" + os.path.relpath(path, root),
                "what": device.what,
                "access": os.access(path, os.R_OK | (os.W_OK if write else 0)),
                # The group that has access now; without one, the rule makes it the customary one.
                "group": owner or group,
                "member": (owner or group) in groups,
                "udev": None if owner else device.udev,
            }
        )
    return rows
