"""Mails, spam or not, with drift in time: SpamAssassin's public corpus (2002-2003).

Classes ham / spam. Pretrain: the earlier groups ``easy-ham-1`` and ``spam-1``; fine-tune and test: the later or harder
ones ``easy-ham-2``, ``hard-ham-1`` and ``spam-2``. A text is a mail's subject, a line break, its body. Mails whose body
stands earlier in the file are left out: campaigns are sent again word for word.

Within a group mails stand in the order of the archive, which is that of arrival. Fine-tuning mails are spaced evenly over
the first 40% of each group, test mails over the rest, so that none is tested that was there before training ended. Of
``easy-ham-1`` as many are taken for pretraining as there are of ``spam-1``.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.datasets.texts import TEXT, TextSet, build, spread

REVISION, TASK = 1, TEXT
FILE = Source(
    "spam_mail.jsonl.gz",
    "SpamAssassin's public mail corpus (https://spamassassin.apache.org/old/publiccorpus/), one mail a line as JSON with "
    "group, spam, subject and body, personal details replaced",
    sha256="884043c0761e9663c9b1e2ed10644a35253c2ae4210ca2d8a3f1f9f1d1cdce0e",
    also=("spam_mail/spam_mail.jsonl.gz",),
)
#: most mails of each class to pretrain with; as many as there are
PRETRAIN = 2000
#: share of a group, from its beginning, that is for fine-tuning
EARLY = 0.4
FINETUNE = {"easy-ham-2": 200, "hard-ham-1": 95, "spam-2": 205}
TEST = {"easy-ham-2": 300, "hard-ham-1": 144, "spam-2": 356}
META: dict[str, Any] = {
    "classes": ["ham", "spam"],
    "source": FILE.home,
    "licence": "the corpus is public, its mails remain their authors': not redistributed",
    "drift": "in time and kind: groups easy-ham-1 and spam-1 before, easy-ham-2, hard-ham-1 and spam-2 after",
    "splits": "repeated bodies left out; of each later group the first 40% fine-tune, the rest tests; spaced evenly",
    "revision": REVISION,
}


def load(store: Store) -> TextSet:
    """Load the mails; see the module.

    Raises:
        DataUnavailable: the file is missing or damaged.
    """
    file = store.obtain(FILE)
    groups: dict[str, list[tuple[str, int]]] = {}
    seen: set[str] = set()
    try:
        with gzip.open(file.path, "rt", encoding="utf-8") as lines:
            for line in lines:
                mail = json.loads(line)
                if mail["body"] not in seen:
                    seen.add(mail["body"])
                    text = f"{mail['subject']}\n{mail['body']}"
                    groups.setdefault(mail["group"], []).append((text, int(mail["spam"])))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise FILE.damaged(file.path, error) from error
    missing = {"easy-ham-1", "spam-1", *FINETUNE} - set(groups)
    if missing:
        raise FILE.damaged(file.path, f"no mails of group {sorted(missing)[0]}")
    spam = spread(groups["spam-1"], PRETRAIN)
    parts: dict[str, list[tuple[str, int]]] = {"pretrain": spread(groups["easy-ham-1"], len(spam)) + spam}
    cut = {name: int(EARLY * len(groups[name])) for name in FINETUNE}
    parts["finetune"] = [row for name, n in FINETUNE.items() for row in spread(groups[name][: cut[name]], n)]
    parts["test"] = [row for name, n in TEST.items() for row in spread(groups[name][cut[name] :], n)]
    return build("spam-mail", parts, META)
