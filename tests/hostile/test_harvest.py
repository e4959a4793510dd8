"""A harvest that is meant to harm: over a real link, from a board that packs what it likes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from tunebench.targets.agent import protocol
from tunebench.targets.client import harvest_check
from tunebench.targets.errors import LinkError, ReplyError


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int | None = None) -> bytes:
    """One tar member; ``size`` is what its header claims."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    content = b"evil" if kind == tarfile.REGTYPE else b""
    info.size = len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content.ljust(512 if content else 0, b"\0")


def said(tar: bytes, **changes: object) -> bytes:
    head = {"tar_b": len(tar), "sha256": hashlib.sha256(tar).hexdigest(), "left_out": [], **changes}
    return b"@tb1 " + json.dumps(head).encode() + b"\n" + tar


END = bytes(1024)
HOSTILE = {
    "a way up": member("../evil"),
    "a way up on the way": member("out/../../evil"),
    "an absolute path": member("/tmp/evil"),
    "a symlink": member("evil", tarfile.SYMTYPE, "/etc/passwd"),
    "a file behind a symlink": member("out", tarfile.SYMTYPE, "/tmp") + member("out/evil"),
    "a hard link": member("evil", tarfile.LNKTYPE, "/etc/passwd"),
    "a character device": member("evil", tarfile.CHRTYPE),
    "a block device": member("evil", tarfile.BLKTYPE),
    "a fifo": member("evil", tarfile.FIFOTYPE),
    "a folder": member("evil", tarfile.DIRTYPE),
    "a sparse file": member("evil", tarfile.GNUTYPE_SPARSE),
    "a kind nobody knows": member("evil", b"Z"),
    "a name with a newline": member("out/evil\n200 OK"),
    "a name with an escape": member("out/\x1b[2Jevil"),
    "a name that is not UTF-8": member("out/evil\udcff"),
    "no name": member(""),
    "a size beyond the end": member("evil", size=1 << 20),
    "a size of a terabyte": member("evil", size=1 << 40),
    "a negative size": member("evil", size=-512),
    "headers within headers": member("././@LongLink", b"L", size=0) * 5000 + member("evil"),
    "a header of a gigabyte": member("././@PaxHeader", b"x", size=1 << 30),
    "a negative header": member("././@PaxHeader", b"x", size=-512) + member("evil"),
}


@pytest.mark.parametrize("evil", HOSTILE)
def test_a_hostile_tar_is_refused_and_nothing_is_written(liar, bounded, tree, evil):
    board = liar(said(member("log.txt") + HOSTILE[evil] + END))
    before = tree()
    with bounded(5, 64), pytest.raises(ReplyError, match="harvest"):
        board.harvest("rep-1")
    assert tree() == before


def unpacked(tar: bytes) -> dict[str, bytes]:
    return harvest_check.unpack(tar, hashlib.sha256(tar).hexdigest())


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (b"", "cut off: 0 bytes"),
        (bytes(512), "cut off: 512 bytes"),
        (bytes(1000), "cut off: 1000 bytes"),
        (b"evil".ljust(512, b"\0") + END, "no member and no end at byte 1024"),
        (bytes(512) + member("evil") + END, "no member and no end"),
        (END + b"evil", "not the end of an archive"),
        (END + member("evil") + END, "not the end of an archive"),
        (bytes(1024 + 10240) + b"\0", "not the end of an archive"),
        (member("evil")[:300], "no member and no end"),
    ],
)
def test_an_archive_without_a_proper_end_is_refused(end, why):
    with pytest.raises(ReplyError, match=why):
        unpacked(member("log.txt") + end)


def sparse(old: bool) -> bytes:
    """A sparse file's header, by GNU's old way (its map goes on in the next block) or in an extended header."""
    if old:
        block = bytearray(member("evil", tarfile.GNUTYPE_SPARSE))
        block[482] = 1
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)
    return (
        member("x", tarfile.XHDTYPE, size=22) + b"22 GNU.sparse.map=0,9\n".ljust(512, b"\0") + member("evil")
    )


@pytest.mark.parametrize("rest", [b"", bytes(30), bytes(500), b"\xff" * 512])
@pytest.mark.parametrize("old", [True, False])
def test_a_sparse_map_that_is_cut_off_is_refused(old, rest):
    with pytest.raises(ReplyError, match="harvest"):
        unpacked(sparse(old) + rest)


@pytest.mark.parametrize("end", [END, bytes(1024 + 10240)])
def test_an_archive_may_end_in_zeros_up_to_a_whole_record(end):
    assert unpacked(member("log.txt") + end) == {"log.txt": b"evil"}
    assert unpacked(end) == {}


def test_what_is_no_tar_is_refused(liar):
    with pytest.raises(ReplyError, match="not a readable tar"):
        liar(said(b"evil" * 1000)).harvest("rep-1")


@pytest.mark.parametrize("size", [-1, protocol.MAX_HARVEST_B + 1, 1 << 80, 1.5, "12", True, None, [1]])
def test_an_impossible_size_is_refused(liar, size):
    with pytest.raises(ReplyError):
        liar(said(b"", tar_b=size)).harvest("rep-1")


def test_fewer_bytes_than_announced_are_a_broken_link(liar):
    with pytest.raises(LinkError, match="ended after 1024 of 4096"):
        liar(said(END, tar_b=4096)).harvest("rep-1")


def test_more_bytes_than_announced_are_not_read(liar):
    tar = member("log.txt") + END
    assert liar(said(tar) + b"x" * 3_000_000).harvest("rep-1").files == {"log.txt": b"evil"}


@pytest.mark.parametrize("sha256", ["0" * 64, "", None, 5, "x" * 1_000_000])
def test_a_hash_that_does_not_fit_is_refused(liar, sha256):
    with pytest.raises(ReplyError, match="SHA-256") as refusal:
        liar(said(END, sha256=sha256)).harvest("rep-1")
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("left_out", [5, "all", {"name": 1}, [1, {"name": "x"}]])
def test_what_was_left_out_is_a_list_of_objects_or_nothing(liar, left_out):
    files = liar(said(END, left_out=left_out)).harvest("rep-1").left_out
    assert [file.name for file in files] == (["x"] if isinstance(left_out, list) else [])


@pytest.mark.parametrize("files", [[], {"log.txt": 5}, {"log.txt": {"sha256": [1]}}, {"a\nb": {}}, 7])
def test_an_exit_record_that_lists_nonsense_is_refused(files):
    record = {"schema": protocol.EXIT_SCHEMA, "rep_id": "rep-1", "outcome": "ok", "files": files}
    with pytest.raises(ReplyError, match="harvest"):
        harvest_check.verify({"exit.json": json.dumps(record).encode(), "log.txt": b""}, "rep-1")


def test_a_tar_of_many_small_files_is_refused_in_time(bounded):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(3000):
            archive.addfile(tarfile.TarInfo(f"f{number}"))
    tar = buffer.getvalue()
    with bounded(3, 64), pytest.raises(ReplyError, match="more than"):
        harvest_check.unpack(tar, hashlib.sha256(tar).hexdigest())
