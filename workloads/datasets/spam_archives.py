"""SpamAssassin's published archives as mails: subject and body, personal details replaced.

Five archives, one a group. Of a mail the plain text is taken, else that of its HTML without tags. List tags and ``Re:``
of subjects, signatures, list footers and quoting headers are left out, since they would give the label away; addresses,
links, numbers and names become ``<mail>``, ``<url>``, ``<number>``, ``<name>``. Mails of less than 20 characters are left
out, bodies end at 1,200. The archives' hashes are not known: where this was written their address could not be reached.
They are recorded at first use.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import email.message
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from tunebench.workloads.datasets.archive import ArchiveError, tar_files
from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.store import Arrays, Store, StoredFile

HOME = "https://spamassassin.apache.org/old/publiccorpus/"
SPAM = ("spam-1", "spam-2")
_NAMES = {
    "easy-ham-1": "20030228_easy_ham.tar.bz2",
    "easy-ham-2": "20030228_easy_ham_2.tar.bz2",
    "hard-ham-1": "20030228_hard_ham.tar.bz2",
    "spam-1": "20030228_spam.tar.bz2",
    "spam-2": "20050311_spam_2.tar.bz2",
}
#: group -> its archive
ARCHIVES: Mapping[str, Source] = {
    group: Source(name, HOME, HOME + name, max_b=50_000_000, max_unpacked_b=200_000_000)
    for group, name in _NAMES.items()
}
CONVERSION = 1
SHORTEST, LONGEST, LONGEST_SUBJECT = 20, 1200, 160
#: a mail's file: its number and its MD5
_MAIL = re.compile(r"\d+\.[0-9a-f]{32}")
_TAGS = re.compile(r"(?i)^\s*((re|fwd?|\[[^\]]*\]):?\s*)+")
_FOOTER = re.compile(r"\n-- ?\n|\n_{20,}")
_QUOTING = re.compile(r"\s*(On .* wrote:|.* writes:|>+ ?From:|From:|To:|Cc:)")
_HIDDEN = re.compile(r"(?is)<(script|style|head).*?</\1>")
_MARKUP = re.compile(r"(?s)<[^>]*>")
_DETAILS = (
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)*"), "<mail>"),
    (re.compile(r"(?i)\b(https?|ftp)://\S+|\bwww\.\S+"), "<url>"),
    (
        re.compile(
            r"\[[A-Z][\w.-]+(?: [A-Z][\w.-]*)+\]|\b[A-Z][a-z]+ (?:[A-Z]\. )?[A-Z][a-z]+(?= (?:wrote|writes|said)\b)"
        ),
        "<name>",
    ),
    (re.compile(r"(\+?\d[\d ().-]{6,}\d)"), "<number>"),
)


class Mail(NamedTuple):
    """A mail; ``spam`` is its class."""

    group: str
    spam: bool
    subject: str
    body: str


def read_mails(store: Store) -> tuple[list[Mail], dict[str, str]]:
    """Return all mails, group by group, each in its archive's order of numbers; and the archives' SHA-256 by group.

    Raises:
        DataUnavailable: an archive is not there and may not be fetched, or it is damaged.
    """
    files = {group: store.obtain(source) for group, source in ARCHIVES.items()}
    hashes = {group: file.sha256 for group, file in files.items()}
    mark = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12]

    def make() -> Arrays:
        lines = "\n".join(
            json.dumps(mail) for group, file in files.items() for mail in _of_archive(group, file, store)
        )
        return {"lines": np.frombuffer(lines.encode(), dtype=np.uint8)}

    lines = store.converted(f"spam-mail-{mark}-c{CONVERSION}", make)["lines"].tobytes().decode()
    return [Mail(*json.loads(line)) for line in lines.split("\n") if line], hashes


def _of_archive(group: str, file: StoredFile, store: Store) -> Iterator[Mail]:
    source = ARCHIVES[group]
    if store.progress is not None:
        store.progress(f"reading {source.name}", 0.0)
    try:
        members = sorted(
            (PurePosixPath(name).name, content)
            for name, content in tar_files(file.path, source.max_unpacked_b)
            if _MAIL.fullmatch(PurePosixPath(name).name)
        )
    except ArchiveError as error:
        raise source.damaged(file.path, error) from error
    if not members:
        raise source.damaged(file.path, "it holds no mail")
    for _, content in members:
        subject, body = _subject_and_body(content)
        if len(body) >= SHORTEST:
            yield Mail(group, group in SPAM, subject[:LONGEST_SUBJECT], body)


def _subject_and_body(raw: bytes) -> tuple[str, str]:
    message = email.message_from_bytes(raw)
    given = message.get("Subject", "")
    try:
        subject = str(email.header.make_header(email.header.decode_header(given)))
    except (email.errors.MessageError, LookupError, ValueError):  # an unknown or a wrong encoding
        subject = str(given)
    return masked(_TAGS.sub("", subject)), masked(_text(message))[:LONGEST]


def _text(message: email.message.Message) -> str:
    """Return the plain parts of a mail, else its HTML without markup."""
    plain: list[str] = []
    rich: list[str] = []
    for part in message.walk():
        if part.get_content_maintype() != "text":
            continue
        raw = part.get_payload(decode=True)
        content = raw if isinstance(raw, bytes) else b""
        try:
            text = content.decode(part.get_content_charset() or "latin-1", "replace")
        except LookupError:
            text = content.decode("latin-1")
        (rich if part.get_content_subtype() == "html" else plain).append(text)
    if plain:
        return "\n".join(plain)
    return html.unescape(_MARKUP.sub(" ", _HIDDEN.sub(" ", "\n".join(rich))))


def masked(text: str) -> str:
    """Return a text in one line, without footers and quoting headers, with personal details replaced.

    >>> masked("Ada Lovelace wrote to a.b@example.org\\nabout http://example.org/x\\n-- \\nAda, +44 20 7946 0958")
    '<name> wrote to <mail> about <url>'
    """
    lines = _FOOTER.split(text)[0].splitlines()
    text = "\n".join(line for line in lines if not _QUOTING.match(line))
    for pattern, replacement in _DETAILS:
        text = pattern.sub(replacement, text)
    return re.sub(r"\s+", " ", text).strip()
