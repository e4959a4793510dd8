"""Where things lie on the board, and how they are written."""

import fcntl
import json
import os
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

#: ``time.CLOCK_BOOTTIME`` came with Python 3.7; the number is the kernel's (clock_gettime(2)).
_CLOCK_BOOTTIME = 7


class AgentError(Exception):
    """Something the host must be told.

    Attributes:
        kind: ``condition``, ``lease``, ``workdir``, ``blob``, ``job`` or ``undo``.
        code: of a condition: the gate's code.
        holder: of a lease that is refused: who holds it, without the token that proves it.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        code: Optional[str] = None,
        holder: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.holder = holder


class Workdir:
    """The folders below the board's working directory."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.blobs = os.path.join(self.root, "blobs")
        self.jobs = os.path.join(self.root, "jobs")
        self.lease = os.path.join(self.root, "lease.json")

    def job(self, rep_id: str) -> str:
        """Return the folder of one repetition; the id must have been checked."""
        return os.path.join(self.jobs, rep_id)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the working directory's lock: one agent at a time changes the lease or the jobs."""
        descriptor = os.open(os.path.join(self.root, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def read_text(path: str) -> Optional[str]:
    """Return a small file's text without surrounding blanks, or ``None`` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace").strip("\0 \n\t")
    except OSError:
        return None


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """Return a JSON object from a file, or ``None`` if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: str, value: Dict[str, Any], durable: bool = False) -> None:
    """Write by rename, so that a reader sees all or nothing; ``durable`` also survives a power cut."""
    part = "%s.part.%d" % (path, os.getpid())
    try:
        with open(part, "w", encoding="utf-8") as file:
            json.dump(value, file, sort_keys=True, allow_nan=False)
            file.write("\n")
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(part, path)
    except OSError:
        if os.path.exists(part):
            os.remove(part)  # a full disk is not to be littered, too
        raise
    if durable:
        sync_folder(path)


def sync_file(path: str) -> None:
    """Make a file's content survive a power cut."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: str) -> None:
    """Make the coming or going of the file ``path`` survive a power cut."""
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def boot_id() -> str:
    """Return the kernel's id of this boot; monotonic clocks mean something only within one."""
    return read_text("/proc/sys/kernel/random/boot_id") or "unknown"


def boottime_s() -> float:
    """Return seconds since boot, suspend included: a Pi has no clock that survives a power cut."""
    return time.clock_gettime(_CLOCK_BOOTTIME)
