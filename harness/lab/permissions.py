"""Tell what a person would have to type on a board to widen the rights of its account."""

from __future__ import annotations

from tunebench.targets.client.examination import Examination


def fixes(rights: Examination) -> list[str]:
    """Return what root must type or add on the board to widen its account's rights; comments begin with ``#``."""
    lines: list[str] = []
    sudoers = [
        line for row in rights.tuning if row.available and row.how is None for line in rights.sudoers(row)
    ]
    if sudoers:
        lines += ["# in `sudo visudo -f /etc/sudoers.d/tunebench`:", *sudoers]
    groups: dict[str, list[str]] = {}
    for device in rights.devices:
        if not device.access and device.group and not device.member and not rights.root_user:
            groups.setdefault(device.group, []).append(device.what)
    for group, what in groups.items():
        lines += [
            f"# {'; '.join(dict.fromkeys(what))} (then log in again):",
            f"sudo usermod -aG {group} {rights.user}",
        ]
    rules = dict.fromkeys(device.udev for device in rights.devices if not device.access and device.udev)
    if rules:
        lines += [
            "# in /etc/udev/rules.d/60-tunebench.rules, then `sudo udevadm control --reload && sudo udevadm trigger`:",
            *(rule for rule in rules if rule),
        ]
    return lines
