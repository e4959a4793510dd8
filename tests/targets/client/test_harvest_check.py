"""What a board sends back is not trusted."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from tunebench.targets.agent import protocol
from tunebench.targets.client import harvest_check
from tunebench.targets.errors import ReplyError


def packed(*members: tarfile.TarInfo, content: bytes = b"x") -> tuple[bytes, str]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            if member.isreg():
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def test_plain_files_come_through():
    assert harvest_check.unpack(*packed(member("exit.json"), member("out/result.json"))) == {
        "exit.json": b"x",
        "out/result.json": b"x",
    }


@pytest.mark.parametrize(
    "hostile",
    [
        member("/etc/passwd"),
        member("../outside"),
        member("out/../../outside"),
        member("./exit.json"),
        member("a//b"),
        member("back\\slash"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("hard", tarfile.LNKTYPE, "exit.json"),
        member("device", tarfile.CHRTYPE),
        member("block", tarfile.BLKTYPE),
        member("fifo", tarfile.FIFOTYPE),
        member("folder", tarfile.DIRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_anything_but_a_plain_relative_file_is_refused(hostile):
    with pytest.raises(ReplyError):
        harvest_check.unpack(*packed(member("exit.json"), hostile))


def test_a_name_twice_is_refused():
    with pytest.raises(ReplyError, match="twice"):
        harvest_check.unpack(*packed(member("exit.json"), member("exit.json")))


def test_too_many_files_are_refused():
    with pytest.raises(ReplyError, match="more than"):
        harvest_check.unpack(*packed(*(member(f"f{i}") for i in range(harvest_check.MAX_FILES + 1))))


def test_a_file_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(protocol, "MAX_FILE_B", 4)
    harvest_check.unpack(*packed(member("fits"), content=b"1234"))
    with pytest.raises(ReplyError, match="at most 4"):
        harvest_check.unpack(*packed(member("huge"), content=b"12345"))


def test_a_wrong_hash_is_refused():
    data, _ = packed(member("exit.json"))
    with pytest.raises(ReplyError, match="SHA-256"):
        harvest_check.unpack(data, "0" * 64)


@pytest.mark.parametrize("data", [b"no tar at all" * 100, b"\x1f\x8b" + bytes(600)])
def test_what_is_no_tar_is_refused_or_empty(data):
    with pytest.raises(ReplyError):
        harvest_check.unpack(data, hashlib.sha256(data).hexdigest())


def test_a_tar_that_is_cut_off_is_refused():
    data, _ = packed(member("exit.json"), content=b"y" * 5000)
    cut = data[:3000]
    with pytest.raises(ReplyError):
        harvest_check.unpack(cut, hashlib.sha256(cut).hexdigest())


def record(**changes) -> bytes:
    files = {"log.txt": {"sha256": hashlib.sha256(b"log").hexdigest(), "size": 3}}
    value = {"schema": protocol.EXIT_SCHEMA, "rep_id": "rep-1", "outcome": "ok", "files": files}
    return json.dumps({**value, **changes}).encode()


def test_files_that_agree_with_the_exit_record_are_accepted():
    harvest_check.verify({"exit.json": record(), "log.txt": b"log"}, "rep-1")
    harvest_check.verify({"log.txt": b"no record: a lost job"}, "rep-1")


@pytest.mark.parametrize(
    "files",
    [
        {"exit.json": record(), "log.txt": b"other"},
        {"exit.json": record()},
        {"exit.json": record(rep_id="rep-2"), "log.txt": b"log"},
        {"exit.json": record(outcome="splendid"), "log.txt": b"log"},
        {"exit.json": record(schema="tunebench.exit/2"), "log.txt": b"log"},
        {"exit.json": record(files=None), "log.txt": b"log"},
        {"exit.json": b"[1]", "log.txt": b"log"},
        {"exit.json": b"\xff\xfe", "log.txt": b"log"},
        {"exit.json": b'{"x": NaN}', "log.txt": b"log"},
    ],
)
def test_an_exit_record_that_does_not_fit_is_refused(files):
    with pytest.raises(ReplyError):
        harvest_check.verify(files, "rep-1")


def test_a_newer_minor_version_of_the_record_is_read():
    harvest_check.verify({"exit.json": record(schema="tunebench.exit/1.3"), "log.txt": b"log"}, "rep-1")
