"""A report names no person and no machine: paths, addresses and accounts are taken out of all its text.

Boards and methods keep the names that the lab gave them: without those a report cannot be read. A copy whose
boards are pseudonyms is made by ``tunebench export --anonymise``; its report is as readable.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from tunebench.reports.records import Repetition

#: Folders of every Linux machine: they tell what was read, not who read it.
_PUBLIC = "sys|proc|dev|boot|etc|usr|lib|opt|var/lib|run"
_PATH = re.compile(rf"(?<![\w./~:<*)}}-])/(?!(?:{_PUBLIC})/)(?:[^\s/\"':,;<>()]+/)+([^\s/\"':,;<>()]*)")
#: Longer text is cut before it is shown; looking all through it would only cost time.
_MOST = 20_000
#: Fingerprint keys that name one machine.
_IDENTITIES = frozenset(
    ("serial", "hostname", "host", "user", "mac", "address", "machine_id", "boot_id", "uuid")
)
#: Text that is ours and is used as a key: never touched.
_KEYS = frozenset(("rep_ids", "rep_id", "run_id", "plan_sha256"))

Scrub = Callable[[str], str]
_T = TypeVar("_T")


def scrubber(words: Iterable[str] = ()) -> Scrub:
    """Return a function that takes paths, addresses, accounts and ``words`` out of text.

    >>> scrub = scrubber(["ann"])
    >>> scrub("tunebench run --inventory /home/ann/lab/pi.toml --out /srv/ann/results")
    'tunebench run --inventory …/pi.toml --out …/results'
    >>> scrub("ann@10.0.0.7 said digits/mlp; /sys/class/thermal/temp is read")
    '[name]@[address] said digits/mlp; /sys/class/thermal/temp is read'
    """
    anonymiser = Anonymiser(salt=b"report", words=[word for word in words if len(word) > 2])

    def scrub(text: str) -> str:
        if len(text) > _MOST:
            return f"{scrub(text[:_MOST])}… ({len(text) - _MOST} more characters)"
        return anonymiser.text(_PATH.sub(r"…/\1", text))

    return scrub


def names_one(key: str) -> bool:
    """Return whether a fingerprint's key identifies one machine (a serial number, an address).

    >>> names_one("Serial"), names_one("model")
    (True, False)
    """
    return key.lower() in _IDENTITIES


def scrubbed(value: _T, scrub: Scrub) -> _T:
    """Scrub all text in a value; keys of mappings that identify one machine are left out.

    Args:
        value: dataclasses, mappings, lists, tuples and plain values, of any depth.
    """
    clean: _T = _scrubbed(value, scrub)
    return clean


def _scrubbed(value: Any, scrub: Scrub) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if is_dataclass(value) and not isinstance(value, type):
        members = {item.name: getattr(value, item.name) for item in fields(value) if item.name not in _KEYS}
        return replace(value, **{name: _scrubbed(member, scrub) for name, member in members.items()})
    if isinstance(value, Mapping):
        return {
            key: member if key in _KEYS else _scrubbed(member, scrub)
            for key, member in value.items()
            if not names_one(str(key))
        }
    if isinstance(value, list | tuple):
        return [_scrubbed(member, scrub) for member in value]
    return value


def shown_names(repetitions: Iterable[Repetition]) -> set[str]:
    """Return the names of boards, methods and tasks: they are shown even if a machine or a user has the same name."""
    return {name for rep in repetitions for name in (rep.board_id, rep.label, rep.task, rep.method)}


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
    """A replacer of names by pseudonyms; make one for each export.

    Args:
        salt: secret of the lab; the same salt gives the same pseudonyms.
        words: further names to take out of free text: this machine's name, the user's.
    """

    salt: bytes
    words: Iterable[str] = ()
    _names: dict[str, str] = field(default_factory=dict, init=False)

    def pseudonym(self, kind: str, name: str) -> str:
        """Return a pseudonym such as ``board-3f9a2c41``, stable for one salt.

        >>> lab = Anonymiser(b"salt")
        >>> lab.pseudonym("board", "pi5-01") == lab.pseudonym("board", "pi5-01")
        True
        >>> lab.pseudonym("board", "pi5-01") == Anonymiser(b"other").pseudonym("board", "pi5-01")
        False
        """
        digest = hashlib.blake2b(f"{kind}:{name}".encode(), key=self.salt[:64], digest_size=4).hexdigest()
        made = f"{kind}-{digest}"
        self._names[name] = made
        return made

    def hashed(self, value: str) -> str:
        """Return a series key, or a hash of a file that holds identities, hashed again with the salt."""
        return hashlib.blake2b(value.encode(), key=self.salt[:64], digest_size=20).hexdigest()

    def text(self, value: str) -> str:
        """Remove names and addresses from free text."""
        for pattern, replacement in _PATTERNS:
            value = pattern.sub(replacement, value)
        known = sorted({*self._names, *self.words} - _COMMON, key=len, reverse=True)
        for name in known:
            value = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self._names.get(name, "[name]"), value)
        return value

    def value(self, value: Any) -> Any:
        """Scrub the text of a JSON value and leave out the keys that identify a person or a machine."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): self.value(member)
                for key, member in value.items()
                if not _names_somebody(str(key))
            }
        if isinstance(value, list | tuple):
            return [self.value(member) for member in value]
        return value


def _names_somebody(key: str) -> bool:
    parts = re.split(r"[^a-z]+", key.lower())
    return any(part in _DROPPED for part in parts) or key.lower() in _DROPPED
