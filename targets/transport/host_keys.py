"""Host keys: what is unknown is refused unless the inventory says ``accept-new``; what changed always is."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from pathlib import Path

import paramiko

from tunebench.targets.errors import HostKeyError


def fingerprint(key: paramiko.PKey) -> str:
    """Return the key's fingerprint as OpenSSH prints it: ``SHA256:`` and unpadded base64."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()


class RefuseUnknown(paramiko.MissingHostKeyPolicy):
    """Refuse a host whose key is not in ``known_hosts``."""

    def __init__(self, known_hosts: Path) -> None:
        self._known_hosts = known_hosts

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise HostKeyError(
            f"{hostname}: unknown host key {key.get_name()} {fingerprint(key)}; it is not in "
            f"{self._known_hosts}. Check it, then connect once with ssh, or set host_keys = 'accept-new'"
        )


class AcceptNew(paramiko.MissingHostKeyPolicy):
    """Append the key of a host never seen before to ``known_hosts``."""

    def __init__(self, known_hosts: Path) -> None:
        self._known_hosts = known_hosts

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        line = f"{hostname} {key.get_name()} {key.get_base64()}\n"
        try:
            append_line(self._known_hosts, line)
        except OSError as error:
            raise HostKeyError(f"{hostname}: cannot write its key to {self._known_hosts}: {error}") from error


def append_line(path: Path, line: str) -> None:
    """Append one line; boards connect in parallel, so under a lock. Comments of the file are kept."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        if line.encode() in text.splitlines(keepends=True):
            return
        if text and not text.endswith(b"\n"):
            line = "\n" + line
        file.write(line.encode())
