"""Exclusive use of the board: who has it, and until when.

A lease is a file with its owner and an expiry. The expiry counts in CLOCK_BOOTTIME of one boot (a board may
have no real-time clock), so a reboot ends every lease. It is taken before a job and never renewed while one
runs; between two repetitions its owner keeps the board for a short gap, so that two campaigns do not
interleave. Only an expired lease can be taken over, and one whose owner is known to be dead by the host on
which it ran; the new one says from whom. A board cannot know that by itself: the host names the owner that
it found dead, and the lease is taken over only if it is still that owner's.

All functions that write are called under the working directory's lock.
"""

import os
import time
from typing import Any, Callable, Dict, Optional

from tunebench.targets.agent import workdir
from tunebench.targets.agent.workdir import AgentError, Workdir

SCHEMA = "tunebench.lease/1"
#: Code of the warning that a lease was taken over.
TAKEN_OVER = "lease-taken-over"
#: How often a waiting agent looks at the lease's file: a stat, which costs the board's owner nothing.
_LOOK_S = 0.5
#: What tells one process of one boot of one host from all others; what proves a lease (its token) is not among it.
IDENTITY = ("user", "host", "pid", "boot_id", "pid_ns", "started_ticks")


def holder(place: Workdir) -> Optional[Dict[str, Any]]:
    """Return the lease in force, or ``None``."""
    lease = workdir.read_json(place.lease)
    return lease if lease is not None and _left_s(lease) > 0 else None


def described(place: Workdir) -> Optional[Dict[str, Any]]:
    """Return who holds the board now, as a probe tells it: without the token that proves it."""
    held = holder(place)
    if held is None:
        return None
    description = {
        "owner": _without_token(_owner(held)),
        "rep_id": held.get("rep_id"),
        "expires_in_s": round(_left_s(held), 1),
    }
    origin = held.get("taken_over_from")
    if origin:
        description["taken_over_from"] = dict(origin, owner=_without_token(_owner(origin)))
    return description


def _without_token(owner: Dict[str, Any]) -> Dict[str, Any]:
    return {key: owner.get(key) for key in ("user", "host", "pid")}


def is_of(held: Optional[Dict[str, Any]], owner: Optional[Dict[str, Any]]) -> bool:
    """Tell whether a lease is held by exactly this process; without its boot nobody is known well enough."""
    if held is None or owner is None or not owner.get("boot_id"):
        return False
    holds = _owner(held)
    return all(holds.get(key) == owner.get(key) for key in IDENTITY)


def take(
    place: Workdir,
    owner: Dict[str, Any],
    rep_id: Optional[str],
    lease_s: float,
    dead: Optional[Dict[str, Any]] = None,
) -> Dict[str, Any]:
    """Take the lease, or extend one's own.

    Args:
        owner: ``user``, ``host``, ``pid`` and ``token``; whoever shows the same token owns the lease. With the
            rest of :data:`IDENTITY`, its own host can tell later that it is dead.
        rep_id: the repetition it is for; ``None`` holds the board between repetitions.
        lease_s: from now.
        dead: an owner whose process is dead, as its host knows; its lease is taken over before it has expired.

    Returns:
        the lease; ``taken_over_from`` in it says whose lease was there before, with ``owner``, ``rep_id``,
        ``expired_s`` ago (``None`` after a reboot, negative if its owner died before), ``rebooted``, ``dead``
        and ``released_by``.

    Raises:
        AgentError: (kind ``lease``) another owner holds it.
    """
    before = workdir.read_json(place.lease) or {}
    left_s, own = _left_s(before), _owner(before).get("token") == owner.get("token")
    died = left_s > 0 and not own and is_of(before, dead)
    if left_s > 0 and not own and not died:
        raise refused(before)
    if not died and left_s > 0 and rep_id is None:
        # Holding the board never cuts short what a repetition that still runs has been promised.
        rep_id, lease_s = before.get("rep_id"), max(lease_s, left_s)
    lease = {
        "schema": SCHEMA,
        "owner": owner,
        "rep_id": rep_id,
        "boot_id": workdir.boot_id(),
        "expires_boottime_s": workdir.boottime_s() + lease_s,
    }
    origin = before.get("taken_over_from") if own else _left_behind(before)
    if origin and died:
        origin["dead"] = True
    if origin:
        lease["taken_over_from"] = origin
    workdir.write_json(place.lease, lease)
    return lease


def wait_for(
    place: Workdir,
    attempt: Callable[[], Dict[str, Any]],
    wait_s: float,
    pause: Callable[[float], None] = time.sleep,
    dead: Optional[Dict[str, Any]] = None,
) -> Dict[str, Any]:
    """Repeat ``attempt`` whenever the lease has changed or run out, for ``wait_s`` at most.

    The wait is on the board, without traffic and without work: nobody who measures there notices it.

    Args:
        pause: waits some seconds; raises if nobody is there any more to give the lease to.
        dead: an owner whose lease binds nobody any more: then only its job is waited for.

    Raises:
        AgentError: what the last attempt raised.
    """
    give_up_s = time.monotonic() + wait_s
    while True:
        try:
            return attempt()
        except AgentError as error:
            if error.kind != "lease" or time.monotonic() >= give_up_s:
                raise
        seen = _stamp(place)
        while time.monotonic() < give_up_s and _stamp(place) == seen and _binds(place, dead):
            pause(min(_LOOK_S, max(0.0, give_up_s - time.monotonic())))
        if not _binds(place, dead) and _stamp(place) == seen:
            pause(_LOOK_S)  # refused though nobody holds it: a job still runs


def _binds(place: Workdir, dead: Optional[Dict[str, Any]]) -> bool:
    held = holder(place)
    return held is not None and not is_of(held, dead)


def ended(place: Workdir, rep_id: str, hold_s: float = 0.0) -> None:
    """End a repetition's lease: give it up, or keep the board for ``hold_s`` more."""
    lease = workdir.read_json(place.lease)
    if lease is None or lease.get("rep_id") != rep_id:
        return
    if hold_s > 0 and _left_s(lease) > 0:
        expires_s = workdir.boottime_s() + hold_s
        workdir.write_json(place.lease, dict(lease, rep_id=None, expires_boottime_s=expires_s))
    else:
        os.remove(place.lease)


def release(
    place: Workdir, owner: Dict[str, Any], force: bool = False, dead: Optional[Dict[str, Any]] = None
) -> Optional[Dict[str, Any]]:
    """Give one's own lease up, or end an expired one or that of a dead owner.

    Args:
        dead: see :func:`take`.
        force: end it whoever holds it. The file stays, run out, so that the next lease says from whom it
            was taken over and who ended it.

    Returns:
        what was there, or ``None``.

    Raises:
        AgentError: (kind ``lease``) it is another's, in force, and ``force`` is not set.
    """
    lease = workdir.read_json(place.lease)
    if lease is None:
        return None
    if _left_s(lease) <= 0 or _owner(lease).get("token") == owner.get("token") or is_of(lease, dead):
        os.remove(place.lease)
    elif force:
        ran_out = dict(lease, expires_boottime_s=workdir.boottime_s(), released_by=owner)
        workdir.write_json(place.lease, ran_out)
    else:
        raise refused(lease)
    return lease


def refused(held: Dict[str, Any]) -> AgentError:
    """Return the refusal of a board that is leased: a sentence, and the process that holds it."""
    owner = _owner(held)
    return AgentError("lease", refusal(held), holder={key: owner.get(key) for key in IDENTITY})


def refusal(held: Dict[str, Any]) -> str:
    """Return a sentence that says who holds the board, and until when."""
    owner, rep_id = _owner(held), held.get("rep_id")
    return "the board is leased to %s@%s (process %s) for %.0f s more, %s" % (
        owner.get("user"),
        owner.get("host"),
        owner.get("pid"),
        _left_s(held),
        "repetition %s" % rep_id if rep_id else "between two repetitions",
    )


def describe(origin: Dict[str, Any]) -> str:
    """Return a sentence on a lease that was taken over."""
    owner = _owner(origin)
    if origin.get("released_by"):
        by = origin["released_by"]
        why = "%s@%s ended it by force" % (by.get("user"), by.get("host"))
    elif origin.get("dead"):
        why = "that process is dead"
    elif origin.get("rebooted"):
        why = "the board was rebooted since"
    else:
        why = "it had expired %.0f s before" % (origin.get("expired_s") or 0.0)
    return "the lease of %s@%s (process %s, repetition %s) was taken over: %s" % (
        owner.get("user"),
        owner.get("host"),
        owner.get("pid"),
        origin.get("rep_id"),
        why,
    )


def _left_s(lease: Dict[str, Any]) -> float:
    """Return seconds that a lease is still in force; 0 or less if it is not."""
    expires_s = lease.get("expires_boottime_s")
    if not isinstance(expires_s, (int, float)) or lease.get("boot_id") != workdir.boot_id():
        return 0.0
    return expires_s - workdir.boottime_s()


def _owner(lease: Dict[str, Any]) -> Dict[str, Any]:
    owner = lease.get("owner")
    return owner if isinstance(owner, dict) else {}


def _left_behind(lease: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Return a new lease's record of the expired one before it; ``None`` if that had no owner."""
    if not _owner(lease):
        return None
    rebooted = lease.get("boot_id") != workdir.boot_id()
    former_lease = {
        "owner": _owner(lease),
        "rep_id": lease.get("rep_id"),
        "rebooted": rebooted,
        "expired_s": None if rebooted else -_left_s(lease),
    }
    if lease.get("released_by"):
        former_lease["released_by"] = lease["released_by"]
    return former_lease


def _stamp(place: Workdir) -> Optional[int]:
    try:
        return os.stat(place.lease).st_mtime_ns
    except OSError:
        return None
