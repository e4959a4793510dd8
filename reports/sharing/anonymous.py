"""Taking out of results who measured, where and on whose boards; what was measured stays.

Boards and labs are named by a salted hash: equal in all exports made with one salt, not to be guessed without it.
Structured fields are replaced where they stand; free text (reasons, notes, commands) is scrubbed of the same names and
of everything that looks like an address, a user at a host, a serial number or a home folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What can tell a person or a machine apart, wherever it stands in text.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b"), "[mac]"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b(?!\.\d)"), "[address]"),
    (re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){3,7}[0-9A-Fa-f]{0,4}(?![\w:])"), "[address]"),
    # Begun only where a word begins: endless text without an @ is looked at once, not once a letter.
    (re.compile(r"(?<![\w.+-])[\w.+-]+@[\w.-]+"), "[user]@[host]"),
    (re.compile(r"(?:/home|/Users)/[^\s/\"':,;]+|/root(?![\w-])"), "~"),
    (re.compile(r"(?i)\b(serial\w{0,24}\s*[:=]\s*)\S+"), r"\1[serial]"),
)
#: Keys whose values are left out wherever they stand: identities, and text that nobody has looked through.
_DROPPED = (
    "serial",
    "hostname",
    "host",
    "user",
    "owner",
    "mac",
    "address",
    "boot_id",
    "machine_id",
    "proxy_jump",
    "key",
)
#: Host names that say nothing; replacing them would only spoil text.
_COMMON = {"", "localhost", "root", "127.0.0.1", "board", "pi", "jetson", "lab", "linux", "loopback"}


@dataclass
class Anonymiser:
    """Replaces names; one instance an export.

    Args:
        salt: secret of the lab; the same salt gives the same pseudonyms.
        words: further names to take out of free text: this machine's name, the user's.
    """

    salt: bytes
    words: Iterable[str] = ()
    _names: dict[str, str] = field(default_factory=dict, init=False)

    def pseudonym(self, kind: str, name: str) -> str:
        """``board-3f9a2c41``: stable for one salt.

        >>> one = Anonymiser(b"salt")
        >>> one.pseudonym("board", "pi5-01") == one.pseudonym("board", "pi5-01")
        True
        >>> one.pseudonym("board", "pi5-01") == Anonymiser(b"other").pseudonym("board", "pi5-01")
        False
        """
        digest = hashlib.blake2b(f"{kind}:{name}".encode(), key=self.salt[:64], digest_size=4).hexdigest()
        made = f"{kind}-{digest}"
        self._names[name] = made
        return made

    def hashed(self, value: str) -> str:
        """A series key or a file's hash that contains identities, hashed again with the salt."""
        return hashlib.blake2b(value.encode(), key=self.salt[:64], digest_size=20).hexdigest()

    def text(self, value: str) -> str:
        """Free text without names and addresses."""
        for pattern, replacement in _PATTERNS:
            value = pattern.sub(replacement, value)
        known = sorted({*self._names, *self.words} - _COMMON, key=len, reverse=True)
        for name in known:
            value = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self._names.get(name, "[name]"), value)
        return value

    def value(self, value: Any) -> Any:
        """Any JSON value: text is scrubbed, keys that name somebody are dropped."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): self.value(one)
                for key, one in value.items()
                if not _names_somebody(str(key))
            }
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value


def _names_somebody(key: str) -> bool:
    parts = re.split(r"[^a-z]+", key.lower())
    return any(part in _DROPPED for part in parts) or key.lower() in _DROPPED
