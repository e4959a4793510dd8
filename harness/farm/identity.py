"""The name under which a process holds places, ``HOST/tunebench-PID-SUFFIX``, and what it tells of that process."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket

from tunebench.harness.processes import has_ended, this_process

#: Owners with this name are some tunebench.
PREFIX = "tunebench-"
#: A suffix is a digest of the kernel's boot and namespace of process numbers, then what makes each identity another.
_KERNEL_DIGITS, _RANDOM_B = 8, 3
_FORM = re.compile(
    rf"(?P<host>[^/]+)/{PREFIX}(?P<pid>[0-9]+)-(?P<kernel>[0-9a-f]{{{_KERNEL_DIGITS}}})?[0-9a-f]{{6}}"
)


def new() -> tuple[str, str]:
    """Return host and name of an identity for this process."""
    name = f"{PREFIX}{os.getpid()}-{_kernel() or ''}{secrets.token_hex(_RANDOM_B)}"
    return socket.gethostname(), name


def is_of_tunebench(owner: str) -> bool:
    """Tell whether an owner of a place is some tunebench, and no person."""
    return f"/{PREFIX}" in owner


def living_pid(owner: str) -> int | None:
    """Return the number of an owner's process, if this host has one that lives; it may be another of that number."""
    form = _FORM.fullmatch(owner)
    if form is None or form["host"] != socket.gethostname() or has_ended(int(form["pid"])):
        return None
    return int(form["pid"])


def is_dead(owner: str) -> bool:
    """Tell whether an owner is a tunebench of this host, boot and namespace that has ended; False where not certain."""
    form = _FORM.fullmatch(owner)
    if form is None or form["host"] != socket.gethostname():
        return False
    return form["kernel"] is not None and form["kernel"] == _kernel() and has_ended(int(form["pid"]))


def _kernel() -> str | None:
    """Return what tells this boot and namespace from others; None: it is not known."""
    here = this_process()
    if here.boot_id is None or here.pid_ns is None:
        return None
    return hashlib.sha256(f"{here.boot_id} {here.pid_ns}".encode()).hexdigest()[:_KERNEL_DIGITS]
