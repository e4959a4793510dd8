"""Write a file that a user has asked for by name: whole, or not at all.

It is written beside its place and renamed: whoever opens the page sees the old one or the new one, and a full disk
leaves the old one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import stat
import sys
from pathlib import Path

#: Nobody can mend these by naming another file on the same disk.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


#: A file of this name is standard output.
STDOUT = Path("-")
#: What a file is called where only its folder was named.
_NAMES = {
    "--html": "report.html",
    "--json": "report.json",
    "--junit": "gate.xml",
    "--md": "gate.md",
    "--table": "repetitions.csv",
    "--bundle": "bundle.zip",
}


class OutputError(Exception):
    """A file could not be written; what was there before is still there.

    Attributes:
        disk: the disk is full or failing; otherwise another name would do.
    """

    def __init__(self, message: str, *, disk: bool = False) -> None:
        super().__init__(message)
        self.disk = disk


def refuse_folder(path: Path, option: str) -> None:
    """Refuse a folder where a file is to be written.

    Raises:
        OutputError: it is one; the message has an option that would do.
    """
    try:
        folder = path.is_dir()
    except OSError:  # a name that is too long, say; writing tells it
        return
    if folder:
        inside = path / _NAMES.get(option, "output")
        raise OutputError(
            f"{path}: cannot be written: Is a directory; name a file in it with {option} FILE, e.g."
            f" {option} {shlex.quote(str(inside))}"
        )


def write_output(path: Path, data: bytes, option: str) -> None:
    """Write a file in one step, its folder made if it is missing; ``-`` is standard output.

    Devices and pipes are written to as they are; a link's target is replaced, not the link; the mode is kept.

    Args:
        path: where to.
        data: its content.
        option: the option that names this file, for the message.

    Raises:
        OutputError: it cannot be written.
    """
    if path == STDOUT:
        _print(data)
        return
    refuse_folder(path, option)
    try:
        _make_folder(path.parent)
        _write(path, data)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _DISK:
            remainder = "the old file is unchanged" if path.is_file() else "no part of it was left there"
            raise OutputError(
                f"{path}: cannot be written: {reason}; {remainder}. Make room, or name a place on another disk with"
                f" {option} FILE",
                disk=True,
            ) from error
        raise OutputError(
            f"{path}: cannot be written: {reason}; name another place with {option} FILE"
        ) from error


def _print(data: bytes) -> None:
    """Write to standard output, whose own rules say what becomes of what cannot be written."""
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # a notebook's
        sys.stdout.write(data.decode("utf-8", "replace"))
        return
    binary.write(data)
    binary.flush()


def _write(path: Path, data: bytes) -> None:
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    old = _state(target)
    if path.is_relative_to("/dev") or (old is not None and not stat.S_ISREG(old.st_mode)):
        target.write_bytes(data)
        return
    part = target.with_name(f".tunebench-{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except PermissionError:
        if old is None or not os.access(target, os.W_OK):
            raise
        target.write_bytes(data)  # one may write to the file, but not to its folder
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            part.chmod(stat.S_IMODE(old.st_mode))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
