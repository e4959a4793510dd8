"""Mails, spam or not, with drift in time: SpamAssassin's public corpus (2002-2003).

Classes ham / spam. Pretrain: the earlier groups ``easy-ham-1`` and ``spam-1``; fine-tune and test: the later or harder
ones ``easy-ham-2``, ``hard-ham-1`` and ``spam-2``. A text is a mail's subject, a line break, its body. Mails whose body
stands earlier in the file are left out: campaigns are sent again word for word.

Within a group mails stand in the order of the archive, which is that of arrival. Two sets cut it differently:

- ``spam-mail``: stretches of 20 mails to fine-tune on and of 30 to test on take turns, so that both have seen the same
  months, and the mails of one thread or campaign mostly stay together;
- ``spam-mail-later``: the first 40% of each group fine-tune, the rest tests: it came after all that was learnt.

Read from the file of masked mails where it lies in TUNEBENCH_DATA, else made from the published archives
(:mod:`tunebench.workloads.datasets.spam_archives`), which may be fetched.

Of a part as many mails are taken as the constants say, spaced evenly. Of ``easy-ham-1`` as many are taken for
pretraining as there are of ``spam-1``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunebench.workloads.datasets import spam_archives
from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.spam_archives import Mail
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.datasets.texts import TEXT, TextSet, build, spread

REVISION, TASK = 1, TEXT
#: text and class
_Mail = tuple[str, int]
FILE = Source(
    "spam_mail.jsonl.gz",
    "SpamAssassin's public mail corpus (https://spamassassin.apache.org/old/publiccorpus/), one mail a line as JSON with "
    "group, spam, subject and body, personal details replaced",
    sha256="884043c0761e9663c9b1e2ed10644a35253c2ae4210ca2d8a3f1f9f1d1cdce0e",
    also=("spam_mail/spam_mail.jsonl.gz",),
)
#: most mails of each class to pretrain with; as many as there are
PRETRAIN = 2000
#: mails of a stretch to fine-tune on and of one to test on; their share is that of ``spam-mail-later``, too
STRETCHES = (20, 30)
FINETUNE = {"easy-ham-2": 200, "hard-ham-1": 95, "spam-2": 205}
TEST = {"easy-ham-2": 300, "hard-ham-1": 139, "spam-2": 361}
META: dict[str, Any] = {
    "classes": ["ham", "spam"],
    "source": FILE.home,
    "licence": "the corpus is public, its mails remain their authors': not redistributed",
    "drift": "in time and kind: groups easy-ham-1 and spam-1 before, easy-ham-2, hard-ham-1 and spam-2 after",
    "revision": REVISION,
}


class _Mails:
    """The mails, cut one way or the other."""

    REVISION, TASK = REVISION, TASK

    def __init__(self, name: str, later: bool) -> None:
        self._name, self._later = name, later

    def load(self, store: Store) -> TextSet:
        """Load the mails; see the module.

        Raises:
            DataUnavailable: the file is missing or damaged.
        """
        groups, origin = _groups(store)
        spam = spread(groups["spam-1"], PRETRAIN)
        parts = {"pretrain": spread(groups["easy-ham-1"], len(spam)) + spam, "finetune": [], "test": []}
        for name, count in FINETUNE.items():
            early, late = self._cut(groups[name])
            parts["finetune"] += spread(early, count)
            parts["test"] += spread(late, TEST[name])
        how = (
            "the first 40% fine-tune, the rest tests"
            if self._later
            else "stretches of 20 and 30 mails take turns"
        )
        splits = f"repeated bodies left out; of each later group {how}; spaced evenly"
        return build(self._name, parts, {**META, **origin, "splits": splits})

    def _cut(self, mails: list[_Mail]) -> tuple[list[_Mail], list[_Mail]]:
        first, whole = STRETCHES[0], sum(STRETCHES)
        if self._later:
            cut = len(mails) * first // whole
            return mails[:cut], mails[cut:]
        inside = [at % whole < first for at in range(len(mails))]
        return (
            [mail for mail, chosen in zip(mails, inside, strict=True) if chosen],
            [mail for mail, chosen in zip(mails, inside, strict=True) if not chosen],
        )


MIXED, LATER = _Mails("spam-mail", later=False), _Mails("spam-mail-later", later=True)


def _groups(store: Store) -> tuple[dict[str, list[_Mail]], dict[str, Any]]:
    """Return group -> its mails (text, class) in order, without repeated bodies; and what the meta says of the source."""
    file = store.find(FILE)
    if file is not None:
        groups = _distinct(_of_file(file.path))
        if missing := {"easy-ham-1", "spam-1", *FINETUNE} - set(groups):
            raise FILE.damaged(file.path, f"no mails of group {sorted(missing)[0]}")
        return groups, {}
    sources = spam_archives.ARCHIVES.values()
    if not store.download and any(store.find(source) is None for source in sources):
        raise store.missing(FILE, fetchable=True)
    mails, hashes = spam_archives.read_mails(store)
    return _distinct(mails), {"source": spam_archives.HOME, "archives_sha256": hashes}


def _of_file(path: Path) -> list[Mail]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        return [Mail(row["group"], bool(row["spam"]), row["subject"], row["body"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise FILE.damaged(path, error) from error


def _distinct(mails: Iterable[Mail]) -> dict[str, list[_Mail]]:
    groups: dict[str, list[_Mail]] = {}
    bodies: set[str] = set()
    for mail in mails:
        if mail.body not in bodies:
            bodies.add(mail.body)
            groups.setdefault(mail.group, []).append((f"{mail.subject}\n{mail.body}", int(mail.spam)))
    return groups
