"""A report names no person and no machine: paths, addresses and accounts are taken out of all its text.

Boards and methods keep the names that the lab gave them: without those a report cannot be read. A copy whose
boards are pseudonyms is made by ``tunebench export --anonymise``; its report is as readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tunebench.reports.records import Repetition
from tunebench.reports.sharing.anonymous import Anonymiser

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


def scrubber(words: Iterable[str] = ()) -> Scrub:
    """A function that takes paths, addresses, accounts and ``words`` out of text.

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
    """Whether a fingerprint's key tells one machine apart from all others.

    >>> names_one("Serial"), names_one("model")
    (True, False)
    """
    return key.lower() in _IDENTITIES


def scrubbed(value: Any, scrub: Scrub) -> Any:
    """JSON-ready values with all text scrubbed; keys that name one machine are left out."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {
            key: one if key in _KEYS else scrubbed(one, scrub)
            for key, one in value.items()
            if not names_one(str(key))
        }
    if isinstance(value, list | tuple):
        return [scrubbed(one, scrub) for one in value]
    return value


def shown_names(repetitions: Iterable[Repetition]) -> set[str]:
    """Names of boards, methods and tasks: they stay, even if a machine or a user has the same."""
    return {name for rep in repetitions for name in (rep.board_id, rep.label, rep.task, rep.method)}
