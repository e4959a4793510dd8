"""NVIDIA Jetson: power mode (nvpmodel) and pinned clocks (jetson_clocks).

Sources: NVIDIA Jetson Linux Developer Guide, "Platform Power and Performance"; the jetson_clocks script.
A mode's number means another mode on another board: modes are chosen by their name in /etc/nvpmodel.conf.
"""

import re
from typing import Any, Dict, List, Optional, Sequence

from tunebench.targets.agent.environment import jetpack
from tunebench.targets.agent.sensors import gpu
from tunebench.targets.agent.tuning.cpufreq import POLICIES, number
from tunebench.targets.agent.tuning.operation import ALREADY, CHANGE, UNAVAILABLE, Item, Look, Operation
from tunebench.targets.agent.tuning.system import NO_ARGUMENTS, Done, System

#: Readable by root alone: whoever could write it could make `jetson_clocks --restore` write anywhere as root.
STORE = "/root/.tunebench-clocks.conf"
#: Clocks that are pinned: the folders' pattern, the files of the least and of the most.
_CPU_LIMITS = ("scaling_min_freq", "scaling_max_freq")
_GPU_LIMITS = ("min_freq", "max_freq")


def _gpus(system: System) -> List[str]:
    """Return the devfreq folders of the GPU's own clock (not of its video engines)."""
    return gpu.nodes(system.find(gpu.DEVFREQ))


def modes(system: System) -> Dict[str, str]:
    """Return name -> number of each power mode of this board."""
    return {name: str(number) for number, name in jetpack.modes(system.root).items()}


class PowerMode(Operation):
    """``power_mode = "15W"``; survives a reboot. A mode that needs a reboot is refused: we never reboot a board."""

    name = "power_mode"
    keys = ("power_mode",)
    persists = True
    absent = "no power modes: /etc/nvpmodel.conf has no POWER_MODEL that can be read"

    def look(self, system: System, wanted: Dict[str, Any]) -> Look:
        value, offered = str(wanted["power_mode"]), modes(system)
        if not offered:
            return Look(UNAVAILABLE, self.absent)
        if value not in offered:
            return Look(UNAVAILABLE, "no power mode %r; this board has: %s" % (value, ", ".join(offered)))
        now = jetpack.power_mode(system.root)
        if now.name is None:
            return Look(UNAVAILABLE, now.reason)
        item = Item("power_mode", now.name, value)
        return Look(ALREADY if item.before == value else CHANGE, None, [item])

    def set(self, system: System, items: Sequence[Item]) -> Done:
        done = self._switch(system, items[0].after)
        if done.reason is not None and "NVPM ERROR" in done.out and not _wants_reboot(done.out):
            # It can stop half way (masks that could not be set), with -q still naming the old mode.
            self._switch(system, items[0].before)
        return done

    def _switch(self, system: System, name: str) -> Done:
        number_of_it = modes(system).get(name)
        if number_of_it is None:
            return Done("direct", "no power mode %r in /etc/nvpmodel.conf" % name)
        # Its standard input is empty: a question whether to reboot now is answered by nothing, that is no.
        done = system.do(["nvpmodel", "-m", number_of_it])
        if _wants_reboot(done.out):
            reason = "power mode %s needs a reboot, which is yours to do: sudo nvpmodel -m %s" % (
                name,
                number_of_it,
            )
            return done._replace(reason=reason)
        errors = [line.strip() for line in done.out.splitlines() if "NVPM ERROR" in line]
        return done._replace(reason="; ".join(errors[:3])[:300]) if errors else done

    def wrong(self, system: System, items: Sequence[Item]) -> Optional[str]:
        return _mode_is_not(system, items[0].after)

    def restore(self, system: System, items: Sequence[Item]) -> Done:
        if jetpack.power_mode(system.root).name == items[0].before:
            return Done("direct", None)
        return self._switch(system, items[0].before)

    def left(self, system: System, items: Sequence[Item]) -> Optional[str]:
        return _mode_is_not(system, items[0].before)

    def foreign(self, system: System, item: Item) -> Optional[str]:
        now = jetpack.power_mode(system.root).name
        if now is None or now in (item.before, item.after):
            return None
        return "the power mode is %s now, which is not ours" % now

    def ours(self, key: str) -> bool:
        return key == "power_mode"

    def commands(self, system: System, wanted: Dict[str, Any]) -> List[List[str]]:
        """Return the commands that set the wanted mode and the one in force; those of all modes if none is wanted."""
        offered = modes(system)
        names = list(offered)  # type: List[Any]
        if wanted.get("power_mode"):
            names = [wanted["power_mode"], jetpack.power_mode(system.root).name]
        return [system.running(["nvpmodel", "-m", offered[name]]) for name in names if name in offered]


def _wants_reboot(out: str) -> bool:
    return "reboot required" in out.lower() or "reboot now?" in out.lower()


def _mode_is_not(system: System, name: str) -> Optional[str]:
    now = jetpack.power_mode(system.root).name
    return None if now == name else "nvpmodel -q says %s, not %s" % (now or "nothing", name)


class JetsonClocks(Operation):
    """``jetson_clocks = true``: CPU, GPU and memory clocks pinned to the power mode's maximum."""

    name = "jetson_clocks"
    keys = ("jetson_clocks",)
    absent = (
        "no Jetson GPU: looked for /%s, named after its chip (17000000.gv11b), .gpu or gpu-gpc-0"
        % gpu.DEVFREQ
    )

    def look(self, system: System, wanted: Dict[str, Any]) -> Look:
        items = self._limits(system)
        if not _gpus(system) or not items:
            return Look(UNAVAILABLE, self.absent)
        return Look(CHANGE if any(item.before != item.after for item in items) else ALREADY, None, items)

    def _limits(self, system: System) -> List[Item]:
        """Return each clock's minimum, as it is now and as it is when pinned."""
        folders = [(folder, _CPU_LIMITS) for folder in system.find(POLICIES)]
        folders += [(folder, _GPU_LIMITS) for folder in _gpus(system)]
        items = []
        for folder, (low, high) in folders:
            least, most = (number(system, "%s/%s" % (folder, name)) for name in (low, high))
            if least is not None and most is not None:
                items.append(Item("%s/%s" % (folder, low), str(least), str(most)))
        return items

    def set(self, system: System, items: Sequence[Item]) -> Done:
        # It asks before it overwrites a stored state; what an earlier run stored has been restored by now.
        done = system.do(["jetson_clocks", "--store", STORE], b"y\n")
        return done if done.reason is not None else system.do(["jetson_clocks"])

    def wrong(self, system: System, items: Sequence[Item]) -> Optional[str]:
        loose = [item.key for item in self._limits(system) if item.before != item.after]
        return "minimum below maximum in " + ", ".join(map(system.shown, loose[:4])) if loose else None

    def restore(self, system: System, items: Sequence[Item]) -> Done:
        if self.left(system, items) is None:
            return Done("direct", None)
        return system.do(["jetson_clocks", "--restore", STORE])

    def ours(self, key: str) -> bool:
        return bool(re.match(r"sys/(devices/system/cpu/cpufreq|class/devfreq)/[^/]+/[a-z_]+\Z", key))

    def commands(self, system: System, wanted: Dict[str, Any]) -> List[List[str]]:
        if not _gpus(system):
            return []
        ways = (["--store", STORE], ["--restore", STORE], [NO_ARGUMENTS])
        return [system.running(["jetson_clocks"] + way) for way in ways]
