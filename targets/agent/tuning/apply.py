"""Set what is wanted, and put back what an undo list says: the agent's commands ``tune`` and ``untune``."""

import os
from typing import Any, Callable, Dict, List, Optional

from tunebench.targets.agent import lease, workdir
from tunebench.targets.agent.job.state import running
from tunebench.targets.agent.tuning.operation import ALREADY, UNAVAILABLE, Item, Look, Operation
from tunebench.targets.agent.tuning.system import System
from tunebench.targets.agent.tuning.table import BY_NAME, KEYS, OPERATIONS
from tunebench.targets.agent.tuning.undo import UndoList, items_of
from tunebench.targets.agent.workdir import AgentError, Workdir

#: Makes the board's view of a root; a test replaces it by one that dies in the middle.
MakeSystem = Callable[[str], System]
#: States of a report's row that leave the board as it was asked to be.
GOOD = ("set", "already")


def tune(place: Workdir, request: Dict[str, Any], make: MakeSystem = System) -> Dict[str, Any]:
    """Make every change that ``wanted`` asks for; each is noted in the undo list before it is made.

    Args:
        place: the working directory, in which the undo list is.
        request: ``{"root", "owner": {"token", ...}, "wanted": {"governor": "performance", ...}}``.
        make: how the board is reached.

    Returns:
        ``{"tuned": [row...]}``; a row has ``op``, ``state`` (``set``, ``already``, ``unavailable``, ``refused``,
        ``failed``), ``before``, ``after``, ``how`` and ``reason``.

    Raises:
        AgentError: the lease is another's, or the request is not of the agreed form.
    """
    owner, wanted, root = _checked(request)
    system = make(root)
    with place.locked():
        _guard(place, owner)
        asked = [operation for operation in OPERATIONS if operation.asked(wanted)]
        return {"tuned": [set_one(place, operation, system, wanted, owner) for operation in asked]}


def _checked(request: Dict[str, Any]) -> Any:
    owner, wanted, root = request.get("owner"), request.get("wanted"), request.get("root", "/")
    if not isinstance(owner, dict) or not isinstance(owner.get("token"), str):
        raise AgentError("job", "tune: expected an 'owner' with a 'token'")
    if not isinstance(wanted, dict) or not set(wanted) <= set(KEYS):
        raise AgentError("job", "tune: 'wanted' may have the keys %s" % ", ".join(KEYS))
    if not isinstance(root, str) or not os.path.isabs(root):
        raise AgentError("job", "tune: 'root' must be an absolute path")
    return owner, wanted, root


def _guard(place: Workdir, owner: Dict[str, Any]) -> None:
    """Refuse where another measures on the board."""
    held = lease.holder(place)
    if held is not None and held.get("owner", {}).get("token") != owner["token"]:
        raise lease.refused(held)
    for rep_id in running(place):
        if _token_of(place, rep_id) != owner["token"]:
            raise AgentError("lease", "the board still runs " + rep_id)


def _token_of(place: Workdir, rep_id: str) -> Any:
    job = workdir.read_json(os.path.join(place.job(rep_id), "job.json")) or {}
    return (job.get("owner") or {}).get("token")


def set_one(
    place: Workdir, operation: Operation, system: System, wanted: Dict[str, Any], owner: Dict[str, Any]
) -> Dict[str, Any]:
    """Make one change and read it back; call it with the working directory's lock. Returns a row as :func:`tune` does.

    Args:
        owner: whose change it is; with ``rep_id`` it is a repetition's own, which :func:`undo_of` puts back.
    """
    undo = UndoList(place)
    look = operation.look(system, wanted)
    row = _row(operation, look)
    if look.state == ALREADY:
        return dict(row, state="already")
    if look.state == UNAVAILABLE:
        return dict(row, state="unavailable", reason=look.reason)
    items = list(look.items)
    entry = undo.add(operation, system.root, items, owner) if operation.undone else None
    done = operation.set(system, items)
    reason = done.reason or operation.wrong(system, items)
    row["how"] = done.how
    if reason is None:
        return dict(row, state="set")
    if entry is not None:
        # What was half made is undone at once; what cannot be undone stays on the list.
        left = _undone(operation, system, items_of(entry))
        if left is None:
            undo.remove(entry)
        else:
            reason += "; and it could not be undone: " + left
    return dict(row, state="refused" if done.denied else "failed", reason=reason)


def _row(operation: Operation, look: Look) -> Dict[str, Any]:
    return {
        "op": operation.name,
        "state": None,
        "before": _joined(item.before for item in look.items),
        "after": _joined(item.after for item in look.items),
        "how": None,
        "reason": None,
    }


def _joined(values: Any) -> Optional[str]:
    """Join the distinct values that are not empty, in their order; ``None`` if there is none."""
    texts = list(dict.fromkeys(value for value in values if value))
    return ", ".join(texts) or None


def _undone(operation: Operation, system: System, items: List[Item]) -> Optional[str]:
    """Restore and verify; return why the board is not as it was, or ``None``."""
    if not items:
        return None
    done = operation.restore(system, items)
    left = operation.left(system, items)
    return None if left is None else "; ".join(filter(None, [done.reason, left]))


def untune(place: Workdir, request: Dict[str, Any], make: MakeSystem = System) -> Dict[str, Any]:
    """Put back what the undo list says, last change first; each entry goes once it is verified.

    Args:
        place: the working directory, in which the undo list is.
        request: ``{"owner": {"token", ...}}``: who undoes it, not who made it.
        make: how the board is reached.

    Returns:
        ``{"untuned": [row...], "kept": reason or None}``; a row has ``op``, ``state`` (``restored``, ``rebooted``:
        a reboot has undone it, ``left``: changed by others since, ``failed``), ``before``, ``after``, ``owner``,
        ``reason``. ``kept``: a repetition of the owner's own still runs on the tuned board, nothing was undone.

    Raises:
        AgentError: the lease is another's, or the undo list makes no sense.
    """
    owner = _checked(dict(request, wanted={}))[0]
    with place.locked():
        _guard(place, owner)
        mine = running(place)
        if mine:
            return {"untuned": [], "kept": "repetition %s still runs on it" % mine[0]}
        undo = UndoList(place)
        return {
            "untuned": [_restore(entry, undo, make) for entry in reversed(list(undo.entries))],
            "kept": None,
        }


def undo_of(place: Workdir, rep_id: str, make: MakeSystem = System) -> List[str]:
    """Put back what was set for one repetition, last change first; return what could not be put back, and why.

    Call it with the working directory's lock. What the run itself has set stays.
    """
    undo = UndoList(place)
    mine = [entry for entry in reversed(undo.entries) if entry["owner"].get("rep_id") == rep_id]
    rows = [_restore(entry, undo, make) for entry in mine]
    return ["%s: %s" % (row["op"], row["reason"]) for row in rows if row["state"] == "failed"]


def _restore(entry: Dict[str, Any], undo: UndoList, make: MakeSystem) -> Dict[str, Any]:
    items = items_of(entry)
    row = {
        "op": entry["op"],
        "state": "failed",
        "before": _joined(item.before for item in items),
        "after": _joined(item.after for item in items),
        "owner": {key: entry["owner"].get(key) for key in ("user", "host", "pid")},
        "reason": None,
    }  # type: Dict[str, Any]
    operation = BY_NAME.get(entry["op"])
    if operation is None or not all(operation.ours(item.key) for item in items):
        return dict(row, reason="not an operation that this version knows: it is left as it is")
    if not operation.persists and entry["boot_id"] != workdir.boot_id():
        undo.remove(entry)
        return dict(row, state="rebooted", reason="the board has rebooted since, which undid it")
    if not os.path.isdir(entry["root"]):
        undo.remove(entry)
        return dict(row, state="left", reason="the simulated board %s is gone" % entry["root"])
    system = make(entry["root"])
    others = [operation.foreign(system, item) for item in items]
    left = _undone(operation, system, [item for item, reason in zip(items, others) if reason is None])  # noqa: B905
    if left is not None:
        return dict(row, reason=left)
    undo.remove(entry)
    reason = "; ".join(filter(None, others)) or None
    return dict(row, state="left" if all(others) else "restored", reason=reason)


def possible(system: System, wanted: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Return what each operation could do here, and what it would take; changes nothing.

    Args:
        system: the board.
        wanted: what ``[board.tuning]`` asks for; commands are those of these values where they depend on them.

    Returns:
        rows with ``op``, ``keys``, ``asked``, ``available``, ``reason`` (why not, or what is wrong with what is
        asked), ``how`` (``direct``, ``sudo``, or ``None``: not permitted) and ``commands`` (argument lists that
        sudoers would have to allow).
    """
    return [possible_one(operation, system, wanted) for operation in OPERATIONS]


def possible_one(operation: Operation, system: System, wanted: Dict[str, Any]) -> Dict[str, Any]:
    """Return what one operation could do here: a row of :func:`possible`."""
    commands = operation.commands(system, wanted)
    files = operation.writes(system, wanted)
    # What runs a program is only set with privileges; a simulated board's programs answer everybody.
    as_root = os.geteuid() == 0 or not system.real
    direct = all(system.may_write(name) for name in files) if files else as_root
    how = None  # type: Optional[str]
    if commands:
        how = (
            "direct" if direct else "sudo" if all(system.may_sudo(command) for command in commands) else None
        )
    asked = operation.asked(wanted)
    return {
        "op": operation.name,
        "keys": list(operation.keys),
        "asked": asked,
        "available": bool(commands),
        "reason": operation.look(system, wanted).reason if asked else None if commands else operation.absent,
        "how": how,
        "commands": commands,
    }
