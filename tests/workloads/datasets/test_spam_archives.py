"""SpamAssassin's archives: fetched once over loopback, read in place, personal details replaced. Made-up mails."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace

import pytest

from tunebench.workloads import datasets
from tunebench.workloads.datasets import DataUnavailable, spam_archives
from tunebench.workloads.datasets.spam_archives import masked, read_mails
from tunebench.workloads.datasets.store import Store

COUNTS = {"easy-ham-1": 12, "easy-ham-2": 60, "hard-ham-1": 60, "spam-1": 10, "spam-2": 60}
HTML = (
    b"From: x@example.org\nSubject: =?utf-8?q?Re=3A_=5Blist=5D_Caf=C3=A9?=\nContent-Type: text/html; charset=latin-1\n\n"
    b"<html><head>no</head><script>no()</script><body>Call +44 20 7946 0958 &amp; see http://example.org/a"
    b" or mail me@example.org</body></html>\n"
)


def plain(group, number):
    body = (
        f"On Monday Ada wrote:\n> From: ada\nThe body of mail {number} of {group}, long enough.\n-- \nAda\n"
    )
    return f"From: a@example.org\nSubject: Re: [ILUG] Number {number}\n\n{body}".encode()


def packed(members, folder="mails"):
    """Return a tar.bz2 of (name, content)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:bz2") as archive:
        for name, content in members:
            item = tarfile.TarInfo(f"{folder}/{name}")
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))
    return made.getvalue()


def mail_name(number):
    return f"{number:05}.{hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()}"


@pytest.fixture
def home(served, monkeypatch):
    """The folder of the archives, and what was asked of its server."""
    folder, url, asked = served
    archives = {}
    for group, source in spam_archives.ARCHIVES.items():
        members = [(mail_name(at), plain(group, at)) for at in range(COUNTS[group], 0, -1)]
        members += [("cmds", b"mv one two"), (mail_name(0), HTML)]
        (folder / source.name).write_bytes(packed(members))
        archives[group] = replace(source, url=f"{url}/{source.name}")
    monkeypatch.setattr(spam_archives, "ARCHIVES", archives)
    return folder, asked


def test_archives_are_fetched_once_when_asked_for_and_cut_as_the_file_is(home, tmp_path):
    _, asked = home
    cache = tmp_path / "cache"
    with pytest.raises(DataUnavailable, match="prepare --download"):
        datasets.load("spam-mail", cache_dir=cache)
    assert asked == []
    first = datasets.load("spam-mail", download=True, cache_dir=cache)
    again = datasets.load("spam-mail", cache_dir=cache)
    assert len(asked) == len(COUNTS) and again.texts == first.texts and again.meta == first.meta
    # The mail in HTML stands in every archive, and counts where it stands first.
    assert len(first.texts["pretrain"]) == 10 + 10
    assert first.texts["pretrain"][0] == "Café\nCall <number> & see <url> or mail <mail>"
    assert first.texts["pretrain"][-1] == "Number 10\nThe body of mail 10 of spam-1, long enough."
    assert set(first.meta["archives_sha256"]) == set(COUNTS) and first.meta["source"] == spam_archives.HOME


def test_mails_stand_in_the_order_of_their_numbers(home, tmp_path):
    mails, _ = read_mails(Store(None, tmp_path, download=True))
    subjects = [mail.subject for mail in mails if mail.group == "spam-1"]
    assert subjects == ["Café", *(f"Number {at}" for at in range(1, 11))]
    assert {mail.group for mail in mails if mail.spam} == {"spam-1", "spam-2"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (packed([(mail_name(1), plain("spam-1", 1))])[:-20], "not a sound tar.bz2"),
        (packed([("../../../etc/passwd", b"x")]), "points outside"),
        (packed([("cmds", b"x")]), "it holds no mail"),
        (b"BZh9 and nothing of the kind", "not a sound tar.bz2"),
    ],
    ids=["cut", "outside", "empty", "no archive"],
)
def test_an_archive_that_is_no_good_is_refused_by_name(home, tmp_path, body, words):
    folder, _ = home
    name = spam_archives.ARCHIVES["spam-1"].name
    (folder / name).write_bytes(body)
    with pytest.raises(DataUnavailable) as error:
        datasets.load("spam-mail", download=True, cache_dir=tmp_path / "cache")
    assert words in str(error.value) and name in str(error.value) and spam_archives.HOME in str(error.value)


def test_a_file_that_would_unpack_to_too_much_is_refused(home, tmp_path, monkeypatch):
    archives = spam_archives.ARCHIVES
    small = {**archives, "spam-1": replace(archives["spam-1"], max_unpacked_b=100)}
    monkeypatch.setattr(spam_archives, "ARCHIVES", small)
    with pytest.raises(DataUnavailable, match="unpacks to more than the 100 bytes"):
        read_mails(Store(None, tmp_path, download=True))


def test_names_and_links_are_replaced_and_footers_cut():
    assert masked("Ada B. Lovelace wrote to a.b@example.org\nof www.example.org\n-- \nAda") == (
        "<name> wrote to <mail> of <url>"
    )
    assert masked("a\nTo: ada\nFrom: you\nb\n" + "_" * 20 + "\nlist") == "a b"
