"""Exclusive use of the board: who has it, and until when.

The expiry counts in CLOCK_BOOTTIME of one boot (a board may have no real-time clock), so a reboot ends
every lease. A lease is taken before a job and never renewed while it runs.
"""

import os
from typing import Any, Dict, Optional

from targets.agent import workdir
from targets.agent.workdir import AgentError, Workdir


def holder(place: Workdir) -> Optional[Dict[str, Any]]:
    """The lease in force, or ``None``."""
    lease = workdir.read_json(place.lease)
    if lease is None or lease.get("boot_id") != workdir.boot_id():
        return None
    expires_s = lease.get("expires_boottime_s")
    if not isinstance(expires_s, (int, float)) or expires_s <= workdir.boottime_s():
        return None
    return lease


def take(place: Workdir, owner: Dict[str, Any], rep_id: str, lease_s: float) -> None:
    """Take or replace the lease; call it under the working directory's lock.

    Raises:
        AgentError: (kind ``lease``) another owner holds it.
    """
    held = holder(place)
    if held is not None and held.get("owner", {}).get("token") != owner.get("token"):
        raise AgentError("lease", refusal(held))
    lease = {
        "schema": "tunebench.lease/1",
        "owner": owner,
        "rep_id": rep_id,
        "boot_id": workdir.boot_id(),
        "expires_boottime_s": workdir.boottime_s() + lease_s,
    }
    workdir.write_json(place.lease, lease)


def release(place: Workdir, rep_id: str) -> None:
    """Give the lease up if it was taken for ``rep_id``; call it under the working directory's lock."""
    lease = workdir.read_json(place.lease)
    if lease is not None and lease.get("rep_id") == rep_id:
        os.remove(place.lease)


def refusal(held: Dict[str, Any]) -> str:
    """A sentence that says who holds the board."""
    owner = held.get("owner", {})
    return "the board is leased to %s@%s (process %s) for %.0f s more, repetition %s" % (
        owner.get("user"),
        owner.get("host"),
        owner.get("pid"),
        held["expires_boottime_s"] - workdir.boottime_s(),
        held.get("rep_id"),
    )
