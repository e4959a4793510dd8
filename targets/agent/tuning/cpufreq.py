"""CPU governor and frequency limits, for every cluster (policy) of the board.

Source: Documentation/admin-guide/pm/cpufreq.rst. All of it is gone after a reboot.
"""

import re
from typing import Any, Dict, List, Optional, Sequence

from tunebench.targets.agent.tuning.operation import ALREADY, CHANGE, UNAVAILABLE, Item, Look, Operation
from tunebench.targets.agent.tuning.system import Done, System

POLICIES = "sys/devices/system/cpu/cpufreq/policy*"
_OURS = re.compile(r"sys/devices/system/cpu/cpufreq/policy\d{1,4}/scaling_(governor|min_freq|max_freq)\Z")
_NONE = "no CPU frequency control: looked for /" + POLICIES


class Governor(Operation):
    """``governor = "performance"``: one of those that the kernel offers, on all policies."""

    name = "governor"
    keys = ("governor",)
    absent = _NONE

    def look(self, system: System, wanted: Dict[str, Any]) -> Look:
        value = str(wanted["governor"])
        items = []
        for name in system.find(POLICIES + "/scaling_governor"):
            now = system.read(name)
            offered = (system.read(name.replace("_governor", "_available_governors")) or "").split()
            if now is None:
                return Look(UNAVAILABLE, "%s cannot be read" % system.shown(name))
            if offered and value not in offered:
                return Look(
                    UNAVAILABLE, "governor %r is not offered; there are: %s" % (value, ", ".join(offered))
                )
            items.append(Item(name, now, value))
        if not items:
            return Look(UNAVAILABLE, self.absent)
        changed = [item for item in items if item.before != value]
        return Look(CHANGE if changed else ALREADY, None, items)

    def foreign(self, system: System, item: Item) -> Optional[str]:
        now = system.read(item.key)
        if now is None or now in (item.before, item.after):
            return None
        return "%s is %s now, which is not ours" % (system.shown(item.key), now)

    def ours(self, key: str) -> bool:
        return bool(_OURS.match(key))

    def writes(self, system: System, wanted: Dict[str, Any]) -> List[str]:
        return system.find(POLICIES + "/scaling_governor")

    def commands(self, system: System, wanted: Dict[str, Any]) -> List[List[str]]:
        return [system.writing(name) for name in self.writes(system, wanted)]


class Frequency(Operation):
    """``freq_khz`` pins minimum and maximum (a number, or ``"max"``); ``min_freq_khz``, ``max_freq_khz`` set one."""

    name = "frequency"
    keys: Sequence[str] = ("freq_khz", "min_freq_khz", "max_freq_khz")
    absent = _NONE

    def look(self, system: System, wanted: Dict[str, Any]) -> Look:
        items: List[Item] = []
        for policy in system.find(POLICIES):
            policy_look = self.look_at(system, policy, wanted)
            if policy_look.state == UNAVAILABLE:
                return policy_look
            items += policy_look.items
        if not items:
            return Look(UNAVAILABLE, self.absent)
        return Look(CHANGE if any(item.before != item.after for item in items) else ALREADY, None, items)

    def look_at(self, system: System, policy: str, wanted: Dict[str, Any]) -> Look:
        """Look at one cluster: its two limits, as they are and as they are wanted."""
        low_name, high_name = policy + "/scaling_min_freq", policy + "/scaling_max_freq"
        low, high = number(system, low_name), number(system, high_name)
        if low is None or high is None:
            return Look(UNAVAILABLE, "%s: its frequency limits cannot be read" % system.shown(policy))
        least, most = (
            number(system, policy + "/cpuinfo_min_freq"),
            number(system, policy + "/cpuinfo_max_freq"),
        )
        new_low, new_high = _limits(wanted, low, high, most)
        offered = offered_khz(system, policy)
        for value in sorted({new_low, new_high} - {low, high}):
            if offered and value not in offered:
                return Look(
                    UNAVAILABLE,
                    "%s does not offer %d kHz; it has: %s"
                    % (system.shown(policy), value, ", ".join(map(str, offered))),
                )
            if (least is not None and value < least) or (most is not None and value > most):
                return Look(
                    UNAVAILABLE, "%s: %d kHz is outside %s to %s" % (system.shown(policy), value, least, most)
                )
        if new_low > new_high:
            return Look(
                UNAVAILABLE,
                "%s: minimum %d kHz above maximum %d kHz" % (system.shown(policy), new_low, new_high),
            )
        pair = [Item(low_name, str(low), str(new_low)), Item(high_name, str(high), str(new_high))]
        return Look(CHANGE, None, pair)

    def set(self, system: System, items: Sequence[Item]) -> Done:
        return _write_pairs(system, items, "after")

    def restore(self, system: System, items: Sequence[Item]) -> Done:
        return _write_pairs(system, items, "before")

    def ours(self, key: str) -> bool:
        return bool(_OURS.match(key))

    def writes(self, system: System, wanted: Dict[str, Any]) -> List[str]:
        return system.find(POLICIES + "/scaling_min_freq") + system.find(POLICIES + "/scaling_max_freq")

    def commands(self, system: System, wanted: Dict[str, Any]) -> List[List[str]]:
        return [system.writing(name) for name in self.writes(system, wanted)]


def number(system: System, name: str) -> Optional[int]:
    """Return a file's number, or ``None``."""
    text = system.read(name)
    return int(text) if text is not None and text.isdigit() else None


def offered_khz(system: System, policy: str) -> List[int]:
    """Return the steps that a cluster offers, lowest first; empty where it lists none."""
    words = (system.read(policy + "/scaling_available_frequencies") or "").split()
    return sorted(int(word) for word in words if word.isdigit())


def _limits(wanted: Dict[str, Any], low: int, high: int, most: Optional[int]) -> List[int]:
    """Return the new minimum and maximum."""
    pinned = wanted.get("freq_khz")
    if pinned == "max":
        return [most or high, most or high]
    if pinned is not None:
        return [int(pinned), int(pinned)]
    return [int(wanted.get("min_freq_khz") or low), int(wanted.get("max_freq_khz") or high)]


def _write_pairs(system: System, items: Sequence[Item], which: str) -> Done:
    """Write each cluster's two limits, in the order in which the minimum never exceeds the maximum."""
    how = "direct"
    for low, high in zip(items[::2], items[1::2]):  # noqa: B905 - Python 3.6
        now_high = number(system, high.key)
        first, second = low, high
        if now_high is not None and int(getattr(low, which)) > now_high:
            first, second = high, low
        for item in (first, second):
            value = getattr(item, which)
            if system.read(item.key) == value:
                continue
            done = system.write(item.key, value)
            how = done.how
            if done.reason is not None:
                return done
    return Done(how, None)
