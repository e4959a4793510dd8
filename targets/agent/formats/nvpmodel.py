"""Jetson's power modes: ``nvpmodel -q`` (also ``--verbose``), ``nvpmodel -p``, and ``/etc/nvpmodel.conf``.

The number of a mode means another mode on another board or release, so the name is what counts.
"""

import re
from typing import Dict, List, Optional

from tunebench.targets.agent.formats.reading import Reading, body, unlike, without_power

_MODE = re.compile(r"^.*?NV Power Mode:[ \t]*(\S.*)$", re.MULTILINE)
_NUMBER = re.compile(r"\d+$")
_FAN = re.compile(r"NV Fan Mode:[ \t]*(\S+)")
_LISTED = re.compile(r"POWER_MODEL:? ID=(\d+) NAME=([^\s>]+)")
_DEFAULT = re.compile(r"PM_CONFIG DEFAULT=(\d+)")
_TROUBLE = re.compile(r"NVPM (?:WARN|ERROR)[^\n]*")


def parse(text: str) -> Reading:
    """Read ``details``: ``name`` and ``id`` of the current mode, ``modes`` that are listed; there is no power in it."""
    text = body(text)
    names, listed = [name.rstrip() for name in _MODE.findall(text)], _LISTED.findall(text)
    trouble = [line.strip() for line in _TROUBLE.findall(text)]
    if not names and not listed:
        return without_power(
            [], trouble[0] if trouble else unlike("an answer of nvpmodel", text), name=None, id=None
        )
    modes = [{"id": int(number), "name": name} for number, name in listed]
    name = names[-1] if names else None
    fan, default = _FAN.search(text), _DEFAULT.search(text)
    return without_power(
        [],
        name=name,
        id=_number_of(text, name, modes),
        modes=modes,
        fan_mode=fan.group(1) if fan else None,
        default_id=int(default.group(1)) if default else None,
        warnings=trouble,
    )


def _number_of(text: str, name: Optional[str], modes: List[Dict[str, object]]) -> Optional[int]:
    below: Optional[int] = None
    is_next = False
    for line in filter(None, map(str.strip, text.splitlines())):
        if is_next and _NUMBER.match(line):
            below = int(line)
        is_next = "NV Power Mode:" in line
    if below is not None:
        return below
    known = [mode["id"] for mode in modes if mode["name"] == name]
    return known[0] if known else None  # type: ignore[return-value]
