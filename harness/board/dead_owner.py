"""Tell whether the process that holds a lease is dead: of this host and boot that is known, of others it never is.

A board cannot know it: the process ran elsewhere. Its own host can, if the number still means that process: same host
name, same boot (/proc/sys/kernel/random/boot_id) and same namespace of process numbers (pid_namespaces(7): a container
has its own). Whatever is not told, cannot be read or does not fit counts as alive; then the lease ends by its expiry. So
does a number that is in use again.
"""

from __future__ import annotations

import socket

from tunebench.harness.processes import has_ended, this_process
from tunebench.targets.client.replies import Owner
from tunebench.targets.errors import ConditionError


def dead_holder(error: ConditionError) -> Owner | None:
    """Return who holds the board that refused, if that process is dead; None if it lives or nobody can tell."""
    if error.holder is None:
        return None
    try:
        holder = Owner.read(dict(error.holder))
    except ValueError:
        return None
    return holder if is_dead(holder) else None


def is_dead(owner: Owner) -> bool:
    """Tell whether an owner is a process of this host and boot that has ended; False where that is not certain."""
    here = this_process()
    if here.boot_id is None or here.pid_ns is None or type(owner.pid) is not int or owner.pid <= 1:
        return False
    if (owner.boot_id, owner.pid_ns, owner.host) != (here.boot_id, here.pid_ns, socket.gethostname()):
        return False
    return has_ended(owner.pid, owner.started_ticks)
