"""What memory holds at the start: file caches. Source: Documentation/admin-guide/sysctl/vm.rst (drop_caches)."""

import os
from typing import Any, Dict, List, Optional, Sequence

from tunebench.targets.agent.tuning.operation import CHANGE, UNAVAILABLE, Item, Look, Operation
from tunebench.targets.agent.tuning.system import Done, System

_FILE = "proc/sys/vm/drop_caches"


class DropCaches(Operation):
    """``drop_caches = true``: every run starts with the same, empty caches; there is nothing to undo."""

    name = "drop_caches"
    keys = ("drop_caches",)
    undone = False
    absent = "no /%s on this board" % _FILE

    def look(self, system: System, wanted: Dict[str, Any]) -> Look:
        if not system.exists(_FILE):
            return Look(UNAVAILABLE, self.absent)
        return Look(CHANGE, None, [Item(_FILE, "", "3")])

    def set(self, system: System, items: Sequence[Item]) -> Done:
        os.sync()  # only what has been written can be dropped
        return system.write(_FILE, "3")

    def wrong(self, system: System, items: Sequence[Item]) -> Optional[str]:
        return None  # the write has succeeded or failed; the file says nothing of what is cached

    def ours(self, key: str) -> bool:
        return False

    def writes(self, system: System, wanted: Dict[str, Any]) -> List[str]:
        return [_FILE] if system.exists(_FILE) else []

    def commands(self, system: System, wanted: Dict[str, Any]) -> List[List[str]]:
        return [system.writing(name) for name in self.writes(system, wanted)]
