"""What the account of this process has: a name, a home, and a place for what can be made again.

Containers (``docker run --user 12345``, OpenShift) and Jenkins agents run under numbers without names; services have
homes that cannot be written (``ProtectHome=read-only``). Everything works there, too.
"""

from __future__ import annotations

import functools
import getpass
import os
import stat
import tempfile
from pathlib import Path

_NAME = "tunebench"


def complete_account() -> None:
    """Give a nameless account a name and a home, by the variables that are asked first (getpass, os.path.expanduser).

    Paramiko, fabric and torch ask for a name in places of their own and end with ``getpwuid(): uid not found``; ``~``
    stands for nothing. An account that has them keeps them. Commands that this process starts inherit both, so that a
    loopback board works.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"
    if _home() is None:
        os.environ["HOME"] = "/"  # as Docker does


def cache_place(name: str) -> Path:
    """Return the folder in which things of one kind are kept: downloads, artefacts, builds. It need not be there yet.

    ``$XDG_CACHE_HOME/tunebench`` (XDG Base Directory Specification: an absolute path, others are ignored), else
    ``~/.cache/tunebench``. Where neither can be written, a folder of this account below the temporary directory.
    """
    for base in _bases():
        if _can_be_made(base):
            return base / name
    return _temporary() / name


def cache_places(name: str) -> list[Path]:
    """Return the folder of :func:`cache_place`, then the others that are there: what lies in them is read."""
    first = cache_place(name)
    others = [base / name for base in _bases()]
    return [first, *(place for place in others if place != first and place.is_dir())]


def home_can_be_written() -> bool:
    """Tell whether ``~/.cache/tunebench`` is there or can be made, and written to."""
    return any(map(_can_be_made, _of_home()))


def _home() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the table of users
        return None
    return home if home.is_absolute() else None


def _bases() -> list[Path]:
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return [*([named / _NAME] if named.is_absolute() else []), *_of_home()]


def _of_home() -> list[Path]:
    home = _home()
    return [] if home is None else [home / ".cache" / _NAME]


def _can_be_made(path: Path) -> bool:
    """Tell whether a folder is there and can be written, or can be made; nothing is made to find out."""
    there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _temporary() -> Path:
    """Return a folder of this account alone below the temporary directory, which all accounts may write to.

    A folder of that name that somebody else has made is not trusted: libraries that are run lie in it.
    """
    path = Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}"
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_ours(path):
            return _own()
    return path


def _is_ours(path: Path) -> bool:
    state = path.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022


@functools.cache
def _own() -> Path:
    """Return a new folder, the same for the life of this process."""
    return Path(tempfile.mkdtemp(prefix=f"{_NAME}-"))
