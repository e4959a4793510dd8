"""What a board says of its account's rights, checked: what it asks for as root is held against a list.

The list is of all that tunebench ever runs as root: the lines for sudoers are made from these answers, and what a
board answers is not trusted.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tunebench.targets.agent.tuning.system import sudoers_line
from tunebench.targets.errors import ReplyError

Text = Annotated[str, StringConstraints(max_length=500)]

_SYSTEM = r"/(?:usr/(?:local/)?)?s?bin/"
_RUNS_AS_ROOT = re.compile(
    rf"{_SYSTEM}tee /(?:sys/devices/system/cpu/cpufreq/policy\d+/scaling_(?:governor|min_freq|max_freq)"
    r"|proc/sys/vm/drop_caches)"
    rf"|{_SYSTEM}nvpmodel -m \d+"
    rf'|{_SYSTEM}jetson_clocks (?:""|--(?:store|restore) /root/\.tunebench-clocks\.conf)'
)
_USER = re.compile(r"[A-Za-z0-9_#][A-Za-z0-9_.@\\-]{0,63}\$?")
_UDEV = re.compile(r"[ -~]{1,200}")


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Device(_Reply):
    """A file that a sensor or a meter needs, and who may use it."""

    path: Text
    what: Text
    access: bool
    group: Text | None
    member: bool
    udev: Annotated[str, StringConstraints(max_length=200)] | None


class Possible(_Reply):
    """An operation of ``[board.tuning]`` on this board; ``how`` is null where the account may not."""

    op: Text
    keys: list[Text]
    asked: bool
    available: bool
    reason: Text | None
    how: Text | None
    commands: list[Annotated[list[Text], Field(max_length=6)]] = Field(max_length=256)


class Examination(_Reply):
    """See :func:`tunebench.targets.agent.doctor.permissions.examine`."""

    user: Text
    groups: list[Text] = Field(max_length=256)
    root_user: bool
    sudo: bool
    workdir: Text
    devices: list[Device] = Field(max_length=64)
    tuning: list[Possible] = Field(max_length=32)

    def sudoers(self, row: Possible) -> list[str]:
        """Return the lines of sudoers that would allow an operation."""
        return [sudoers_line(self.user, command) for command in row.commands]


def read_examination(reply: Any, board_id: str) -> Examination:
    """Check a board's answer.

    Raises:
        ReplyError: it is not of the agreed form, or asks for a right that tunebench never needs.
    """
    try:
        examination = Examination.model_validate(reply)
    except ValidationError as error:
        raise ReplyError(f"{board_id}: examine: {str(error)[:300]}") from error
    if not _USER.fullmatch(examination.user):
        raise ReplyError(f"{board_id}: examine: {examination.user[:80]!r} is no user's name")
    for command in (command for row in examination.tuning for command in row.commands):
        if not _RUNS_AS_ROOT.fullmatch(" ".join(command)):
            raise ReplyError(f"{board_id}: examine: {' '.join(command)[:200]!r} is nothing that needs root")
    for rule in (device.udev for device in examination.devices if device.udev):
        if not _UDEV.fullmatch(rule) or ("RUN" in rule and "/bin/chmod a+r /sys%p/energy_uj" not in rule):
            raise ReplyError(f"{board_id}: examine: {rule[:100]!r} is no rule of ours")
    return examination
