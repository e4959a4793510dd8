"""Check what a board sent back: it is untrusted until its hashes, names and sizes are right."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

from tunebench.targets.agent import protocol
from tunebench.targets.errors import ReplyError, TornError

MAX_FILES = 1000


def unpack(content: bytes, sha256: str, max_files: int = MAX_FILES) -> dict[str, bytes]:
    """Return the files of a harvest's tar, by name; nothing is written to disk.

    Raises:
        ReplyError: the hash does not match, a member is no plain relative file of acceptable size, or the archive
            does not end where and as an archive ends.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise ReplyError(f"harvest: SHA-256 is {digest}, the board announced {sha256[:100]}")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                name = _checked_name(member, files, max_files)
                files[name] = _content(archive, member)
            _check_end(content, archive.offset)
    except RecursionError:  # a chain of extended headers
        raise ReplyError("harvest: not a readable tar: headers within headers") from None
    # LookupError: the library's own, on a sparse file's map that is cut off.
    except (tarfile.TarError, EOFError, ValueError, OverflowError, LookupError) as error:
        raise ReplyError(f"harvest: not a readable tar: {error}") from error
    return files


def _check_end(content: bytes, end_b: int) -> None:
    """Check that two blocks of zeros end the archive; zeros up to a whole record may follow, and nothing else.

    The reader itself stops without a word at a header that it cannot read, and where the archive is cut off.
    """
    rest_b = len(content) - end_b
    if any(content[end_b : end_b + 2 * tarfile.BLOCKSIZE]):
        raise ReplyError(f"harvest: not a readable tar: no member and no end at byte {end_b}")
    if rest_b < 2 * tarfile.BLOCKSIZE:
        raise ReplyError(
            f"harvest: the tar is cut off: {rest_b} bytes after its last member, no end of archive"
        )
    if rest_b > 2 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE or any(content[end_b:]):
        raise ReplyError(f"harvest: {rest_b} bytes after the tar's last member are not the end of an archive")


def _checked_name(member: tarfile.TarInfo, files: Mapping[str, bytes], max_files: int) -> str:
    name = member.name
    path = PurePosixPath(name)
    if not member.isreg() or member.issparse():
        raise ReplyError(f"harvest: {name[:200]!r} is not a regular file")
    if path.is_absolute() or ".." in path.parts or str(path) != name or "\0" in name or "\\" in name:
        raise ReplyError(f"harvest: {name[:200]!r} is not a plain relative path")
    if not name.isprintable():
        raise ReplyError(f"harvest: {name[:200]!r} holds characters that cannot be shown")
    if not 0 <= member.size <= protocol.MAX_FILE_B:
        raise ReplyError(f"harvest: {name[:200]!r} has {member.size} bytes, at most {protocol.MAX_FILE_B}")
    if name in files:
        raise ReplyError(f"harvest: {name[:200]!r} twice")
    if len(files) >= max_files:
        raise ReplyError(f"harvest: more than {max_files} files")
    return name


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    data = b"" if file is None else file.read()
    if len(data) != member.size:
        raise ReplyError(f"harvest: {member.name[:200]!r} is cut off")
    return data


def verify(files: Mapping[str, bytes], rep_id: str) -> None:
    """Compare the files with the exit record, if there is one.

    Raises:
        TornError: the record is malformed, or a file is missing or does not have its hash.
        ReplyError: the record is of another repetition, or of a form that was never agreed.
    """
    if "exit.json" not in files:
        return  # a lost job; what there is of it stands for itself
    try:
        text = files["exit.json"].decode("utf-8")
        record = protocol.check_schema(
            protocol.parse_object(text, "exit record"), protocol.EXIT_SCHEMA, "exit record"
        )
    except (UnicodeDecodeError, protocol.ProtocolError) as error:
        raise TornError(f"harvest: {error}", files) from error
    if record.get("rep_id") != rep_id or record.get("outcome") not in protocol.OUTCOMES:
        raise ReplyError(f"harvest: the exit record is not one of {rep_id}")
    listed = record.get("files")
    if not isinstance(listed, dict):
        raise ReplyError("harvest: the exit record lists no files")
    for name, entry in listed.items():
        wanted = entry.get("sha256") if isinstance(entry, dict) else None
        if name not in files:
            raise TornError(f"harvest: {name[:200]!r} of the exit record did not come", files)
        if hashlib.sha256(files[name]).hexdigest() != wanted:
            raise TornError(f"harvest: {name[:200]!r} does not have the hash of the exit record", files)
