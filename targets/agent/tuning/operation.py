"""What every reversible operation looks like: read, check, set, verify, restore."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from tunebench.targets.agent.tuning.system import Done, System

#: What a look can find: nothing to do, something to do, the board lacks it, or it makes no sense here.
ALREADY, CHANGE, UNAVAILABLE = "already", "change", "unavailable"


class Item(NamedTuple):
    """One thing that is changed: where, from what, to what."""

    key: str
    before: str
    after: str


class Look(NamedTuple):
    """What is there, against what is wanted.

    Attributes:
        state: :data:`ALREADY`, :data:`CHANGE` or :data:`UNAVAILABLE`.
        reason: why it is unavailable.
        items: what would be changed.
    """

    state: str
    reason: Optional[str] = None
    items: Sequence[Item] = ()


class Operation:
    """One reversible change; subclasses are the rows of :data:`tunebench.targets.agent.tuning.table.OPERATIONS`.

    Attributes:
        name: in reports and undo lists.
        keys: of ``[board.tuning]`` that ask for it.
        persists: a reboot does not undo it.
        undone: whether there is anything to undo.
        absent: what is said of a board that has no such thing.
    """

    name = ""
    keys: Sequence[str] = ()
    persists = False
    undone = True
    absent = ""

    def asked(self, wanted: Dict[str, Any]) -> bool:
        """Tell whether ``[board.tuning]`` asks for it."""
        return any(wanted.get(key) not in (None, False) for key in self.keys)

    def look(self, system: System, wanted: Dict[str, Any]) -> Look:
        """Read the board's state and compare it with what is wanted; change nothing."""
        raise NotImplementedError

    def set(self, system: System, items: Sequence[Item]) -> Done:
        """Make the change."""
        return write_all(system, items, "after")

    def wrong(self, system: System, items: Sequence[Item]) -> Optional[str]:
        """Read again after :meth:`set`: return what is not as wanted, or ``None``."""
        return differing(system, items, "after")

    def restore(self, system: System, items: Sequence[Item]) -> Done:
        """Undo the change; doing it twice does no harm."""
        return write_all(system, items, "before")

    def left(self, system: System, items: Sequence[Item]) -> Optional[str]:
        """Read again after :meth:`restore`: return what is not as it was, or ``None``."""
        return differing(system, items, "before")

    def foreign(self, system: System, item: Item) -> Optional[str]:
        """Return what someone else has changed since, and is left to them; ``None``: it is ours to undo."""
        return None

    def ours(self, key: str) -> bool:
        """Tell whether an undo list may name ``key``: only its owner can write the file, yet it is checked."""
        raise NotImplementedError

    def commands(self, system: System, wanted: Dict[str, Any]) -> List[List[str]]:
        """Return what must be run as root to set and to restore it; for sudoers."""
        raise NotImplementedError

    def writes(self, system: System, wanted: Dict[str, Any]) -> List[str]:
        """Return the files it writes; with write access to them it needs no root. Empty: it runs a program."""
        return []


def write_all(system: System, items: Sequence[Item], which: str) -> Done:
    """Write each item's value; those that are right already are left alone."""
    how = "direct"
    for item in items:
        value = getattr(item, which)
        if system.read(item.key) == value:
            continue
        done = system.write(item.key, value)
        how = done.how
        if done.reason is not None:
            return done
    return Done(how, None)


def differing(system: System, items: Sequence[Item], which: str) -> Optional[str]:
    """Return items that do not read as ``which`` says, as one sentence."""
    differences = []
    for item in items:
        now, value = system.read(item.key), getattr(item, which)
        if now != value:
            differences.append("%s is %s, not %s" % (system.shown(item.key), now or "unreadable", value))
    return "; ".join(differences[:4]) or None
