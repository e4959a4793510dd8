"""Read known_hosts files as OpenSSH does; sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT.

A line that cannot be understood is skipped and told, and costs nothing else.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tunebench.targets.transport.config.parsed import matches
from tunebench.targets.transport.host_keys.blobs import BlobError, key_type_of

_log = logging.getLogger("tunebench.ssh")
_MARKERS = ("@cert-authority", "@revoked")
#: Lines that a user has been told of: once a process is enough.
_told: set[tuple[Path, str]] = set()


@dataclass(frozen=True)
class KnownKey:
    """A line of a known_hosts file.

    Attributes:
        marker: ``""``, ``"@cert-authority"`` or ``"@revoked"``.
        names: the first field: comma-separated patterns, or one hashed name.
        blob: the public key.
        line: its number, from 1.
    """

    marker: str
    names: str
    key_type: str
    blob: bytes
    file: Path
    line: int

    def is_of(self, name: str) -> bool:
        """Tell whether the line is for a host: ``host`` on port 22, ``[host]:port`` else, in lower case."""
        if self.names.startswith("|"):
            return _is_hash_of(self.names, name)
        met = False
        for pattern in self.names.lower().split(","):
            if matches(name, pattern.removeprefix("!")):
                if pattern.startswith("!"):
                    return False
                met = True
        return met

    @property
    def place(self) -> str:
        """Return where the line stands."""
        return f"{self.file}, line {self.line}"


def read(files: Iterable[Path]) -> list[KnownKey]:
    """Return the keys of known_hosts files in their order; files that are not there have none."""
    keys: list[KnownKey] = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                _tell(file, f"cannot be read: {error.strerror}")
            continue
        for number, line in enumerate(content.decode("utf-8", "surrogateescape").split("\n"), 1):
            try:
                key = parse(line, file, number)
            except ValueError as error:
                _tell(file, f"line {number} is left out: {error}")
                continue
            if key is not None:
                keys.append(key)
    return keys


def _tell(file: Path, what: str) -> None:
    if (file, what) not in _told:
        _told.add((file, what))
        _log.warning("known hosts %s: %s", file, what)


def parse(line: str, file: Path, number: int) -> KnownKey | None:
    """Return the key of one line; ``None`` for comments, and for keys of SSH 1, which nobody speaks any more.

    Raises:
        ValueError: the line cannot be understood; it says why.
    """
    fields = line.strip(" \t\r").split(None)
    if not fields or fields[0].startswith("#"):
        return None
    marker = ""
    if fields[0].startswith("@"):
        marker = fields.pop(0)
        if marker not in _MARKERS:
            raise ValueError(f"marker {marker[:40]!r}: expected {' or '.join(_MARKERS)}")
    if len(fields) >= 4 and fields[1].isdigit() and fields[2].isdigit():
        return None
    if len(fields) < 3:
        raise ValueError("expected names, key type and key")
    names, key_type, text = fields[:3]
    try:
        blob = base64.b64decode(text, validate=True)
        within = key_type_of(blob)
    except (binascii.Error, BlobError, ValueError):
        raise ValueError(f"its {key_type[:40]} key is cut or damaged") from None
    if within != key_type:
        raise ValueError(f"it says {key_type[:40]}, its key is {within[:40]}")
    if names.startswith("|") and _hash_parts(names) is None:
        raise ValueError("its hashed name is damaged")
    return KnownKey(marker, names, key_type, blob, file, number)


def _hash_parts(names: str) -> tuple[bytes, bytes] | None:
    """Return salt and hash of ``|1|SALT|HASH``."""
    parts = names.split("|")
    if len(parts) != 4 or parts[:2] != ["", "1"]:
        return None
    try:
        return base64.b64decode(parts[2], validate=True), base64.b64decode(parts[3], validate=True)
    except binascii.Error:
        return None


def _is_hash_of(names: str, name: str) -> bool:
    parts = _hash_parts(names)
    return parts is not None and hmac.compare_digest(_hash(parts[0], name), parts[1])


def _hash(salt: bytes, name: str) -> bytes:
    return hmac.new(salt, name.encode("utf-8", "surrogateescape"), hashlib.sha1).digest()


def hashed(name: str) -> str:
    """Return a name as ``HashKnownHosts yes`` has it written."""
    salt = os.urandom(20)
    parts = (base64.b64encode(part).decode() for part in (salt, _hash(salt, name)))
    return "|1|" + "|".join(parts)


def as_line(blob: bytes) -> str:
    """Return a public key as files have it: its type and its base64."""
    return f"{key_type_of(blob)} {base64.b64encode(blob).decode()}"


def append(path: Path, names: str, blob: bytes) -> None:
    """Append a key; boards connect in parallel, so under a lock. Comments of the file are kept.

    Raises:
        OSError: the file cannot be written.
    """
    line = f"{names} {as_line(blob)}\n".encode()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        if line in text.splitlines(keepends=True):
            return
        if text and not text.endswith(b"\n"):
            line = b"\n" + line
        file.write(line)
