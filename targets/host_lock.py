"""One command of this host at a time: the second waits for the first, and says for whom.

For what no board can guard by itself: a loopback board is this host, and a meter knows no owners. A lock is a file with
flock(2), so the kernel gives it back when its holder ends, however it ends. The file says who holds it; that is for
people, and nothing is decided by it. All accounts of the host share the locks. Threads of one process share a lock, too.

Where no lock can be made (no folder that all accounts may write to), a command goes on without: a board's lease and the
driver of a meter are still there.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import json
import os
import shlex
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tunebench.targets.sanitize import one_line

#: Folders that all accounts may write to, and nobody may remove others' files from (hier(7)); never a user's TMPDIR.
FOLDERS = ("/run/lock", "/dev/shm", "/tmp", "/var/tmp")  # noqa: S108 - files are opened with care
_OPEN_TO_ALL = 0o1777
_LOOK_S = 0.25
#: How often who waits says for whom.
_TELL_S = 60.0
_MOST_B = 4096


@dataclass(frozen=True)
class Wait:
    """How a command waits.

    Attributes:
        patience_s: how long; 0: not at all.
        note: is told for whom it waits.
        pause: waits some seconds; True ends the wait at once, as ``threading.Event().wait`` does.
    """

    patience_s: float = 0.0
    note: Callable[[str], None] = lambda _: None
    pause: Callable[[float], bool] | None = None


NO_WAIT = Wait()


class HostLock:
    """A lock of this host, known by its name.

    Args:
        name: what is locked; whoever gives the same name means the same thing.
    """

    #: Locks of this process: path -> descriptor and by how many it is held.
    _held: dict[Path, tuple[int, int]] = {}  # noqa: RUF012 - of the process
    _guard = threading.Lock()

    def __init__(self, name: str) -> None:
        folder = _folder()
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:20]
        self._path = None if folder is None else folder / f"tunebench-{digest}.lock"
        self._taken = False

    def take(self, what: str, wait: Wait = NO_WAIT) -> str | None:
        """Take the lock, or wait for it.

        Args:
            what: what is locked, for the sentence.

        Returns:
            None once it is held; else who has it, in a sentence.
        """
        give_up_s = time.monotonic() + wait.patience_s
        told_s = float("-inf")
        while not self._try():
            sentence = f"{what} is in use by {self._holder()}"
            now_s = time.monotonic()
            if now_s >= give_up_s:
                waited = f"; waited {wait.patience_s:.0f} s" if wait.patience_s else ""
                return sentence + waited
            if now_s - told_s >= _TELL_S:
                told_s = now_s
                wait.note(f"waiting: {sentence}")
            seconds = min(_LOOK_S, give_up_s - now_s)
            if wait.pause is None:
                time.sleep(seconds)
            elif wait.pause(seconds):
                return f"{sentence}; the wait was stopped"
        return None

    def give(self) -> None:
        """Give the lock back; giving it back twice is harmless."""
        if not self._taken or self._path is None:
            return
        self._taken = False
        with self._guard:
            descriptor, count = self._held[self._path]
            if count > 1:
                self._held[self._path] = (descriptor, count - 1)
                return
            del self._held[self._path]
            with contextlib.suppress(OSError):
                # Still locked: who waits with the old file sees that it is gone, and opens the next one.
                self._path.unlink()
            os.close(descriptor)

    def _try(self) -> bool:
        """Take the lock if it is free; True as well where no lock can be made."""
        if self._path is None or self._taken:
            return True
        with self._guard:
            if self._path in self._held:
                descriptor, count = self._held[self._path]
                self._held[self._path] = (descriptor, count + 1)
                self._taken = True
                return True
            try:
                opened = _open(self._path)
            except BlockingIOError:
                return False
            except OSError:
                return True
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is(self._path, opened):
                    raise BlockingIOError  # its holder has just removed it
            except OSError as error:
                os.close(opened)
                return not isinstance(error, BlockingIOError)  # file systems without locks
            _sign(opened)
            self._held[self._path] = (opened, 1)
            self._taken = True
            return True

    def _holder(self) -> str:
        """Return who holds it, as its file says; the file may be anybody's."""
        try:
            with Path(self._path or "").open("rb") as file:
                content = json.loads(file.read(_MOST_B))
            user, pid, since, command = (
                one_line(str(content[key]))[:300] for key in ("user", "pid", "since", "command")
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another command of this host"
        return f"process {pid} of {user} since {since} ({command})"


def _folder() -> Path | None:
    """Return the first folder that is open to all accounts: all of them find the same one."""
    for name in FOLDERS:
        with contextlib.suppress(OSError):
            state = os.lstat(name)
            if stat.S_ISDIR(state.st_mode) and state.st_mode & _OPEN_TO_ALL == _OPEN_TO_ALL:
                return Path(name)
    return None


def _open(path: Path) -> int:
    """Open the lock's file, and make it first where it is not there; links are not followed.

    Without O_CREAT where it is there: the kernel refuses that for files of others in such folders
    (protected_regular, proc(5)).

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for _ in range(3):
        try:
            opened = os.open(path, os.O_RDWR | flags)
        except FileNotFoundError:
            try:
                opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o666)
            except FileExistsError:
                continue
            with contextlib.suppress(OSError):
                # Whatever the umask: whoever holds it signs it, and what it says is for people only.
                os.fchmod(opened, 0o666)  # nosec B103
        except PermissionError:
            opened = os.open(path, os.O_RDONLY | flags)
        if stat.S_ISREG(os.fstat(opened).st_mode):
            return opened
        os.close(opened)
        raise OSError(f"{path}: is no file")
    raise BlockingIOError


def _is(path: Path, opened: int) -> bool:
    """Tell whether the path still leads to the file that was opened."""
    try:
        there, ours = os.lstat(path), os.fstat(opened)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _sign(opened: int) -> None:
    """Write into the file who holds it; where that fails, others wait for a nameless command."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    program = Path(sys.argv[0] if sys.argv else "")
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m tunebench
    signature = {
        "pid": os.getpid(),
        "user": user,
        "command": shlex.join([name, *sys.argv[1:]])[:300],
        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
    }
    with contextlib.suppress(OSError):
        os.ftruncate(opened, 0)
        os.pwrite(opened, json.dumps(signature).encode(), 0)
