"""What ssh says when it does not connect, as one of our errors: these decide whether it is tried again."""

from __future__ import annotations

import re
import shlex

from tunebench.targets.errors import (
    AuthError,
    HostKeyError,
    IncompatibleError,
    LinkError,
    SshConfigError,
    TargetError,
    UnreachableError,
)

#: What ssh says last -> the error it is; the first that is found counts.
_WORDS: tuple[tuple[str, type[TargetError]], ...] = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED", HostKeyError),
    (r"revoked|Host key verification failed|host key is known|Certificate invalid", HostKeyError),
    (r"no matching .* found|Unable to negotiate", IncompatibleError),
    (r"Permission denied|Too many authentication failures|No more authentication methods", AuthError),
    (
        r"Could not resolve hostname|Connection refused|No route to host|Network is unreachable",
        UnreachableError,
    ),
    (r"connect to host .*(timed out|Connection timed out)|stdio forwarding failed", UnreachableError),
    (r"Bad configuration|Bad owner or permissions|bad configuration options|jumphost loop", SshConfigError),
    (r"Can't open user config file|Invalid|unknown user|No user exists|keyword .* argument", SshConfigError),
)
_MEANINGS: dict[type[TargetError], str] = {
    HostKeyError: "the host key is not accepted",
    AuthError: "the board does not accept our keys",
    IncompatibleError: "no algorithm in common",
    SshConfigError: "ssh config",
}
_FRAME = re.compile(r"^@+$|^\s*$")


def translated(host: str, said: str) -> TargetError:
    """Return what ssh said when it did not connect as one of our errors."""
    lines = [line.strip(" @") for line in said.splitlines() if not _FRAME.match(line.strip())]
    words = "; ".join(line for line in lines if line)[-900:] or "it said nothing"
    for pattern, error in _WORDS:
        if re.search(pattern, said, re.IGNORECASE):
            meaning = _MEANINGS.get(error, "not reachable")
            if error is HostKeyError and "HAS CHANGED" in said:
                meaning = "the host key has changed"
            elif error is HostKeyError and "host key is known" in said:
                command = shlex.join(["ssh", "--", host])
                meaning = f"unknown host key; check it, then connect once, `{command}`, or set host_keys = 'accept-new'"
            return error(f"{host}: {meaning}: {words}")
    return LinkError(f"{host}: the connection could not be set up: {words}")
