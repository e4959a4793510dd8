"""Disks that can be filled and folders that cannot be written: only where root lets us mount and mark them."""

from __future__ import annotations

import array
import contextlib
import fcntl
import functools
import os
import subprocess
import tempfile
import time
from pathlib import Path

# <linux/fs.h>
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


class SmallDisk:
    """A file system in memory of a few MiB, mounted at a path."""

    def __init__(self, path: Path, mib: int = 64) -> None:
        self.path = path
        self._mib = mib

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def mount(self) -> None:
        """Mount it.

        Raises:
            OSError: it cannot be.
        """
        self.path.mkdir(mode=0o700)
        _run("mount", "-t", "tmpfs", "-o", f"size={self._mib}m,mode=0700", "tmpfs", str(self.path))

    def unmount(self) -> None:
        """Unmount it, at once or as soon as nobody uses it; do nothing if it is not mounted."""
        for options in ([], [], ["-l"]):
            if not os.path.ismount(self.path):
                return
            with contextlib.suppress(OSError):
                _run("umount", *options, str(self.path))
                return
            time.sleep(0.5)

    def fill(self) -> None:
        """Fill it to the last byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size_b in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size_b):
                        pass

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")


@functools.cache
def no_small_disk() -> str | None:
    """Return why no file system can be mounted here; None if it can."""
    with tempfile.TemporaryDirectory(prefix="tunebench-faults-") as folder:
        disk = SmallDisk(Path(folder) / "disk", mib=1)
        try:
            disk.mount()
        except OSError as error:
            return f"a small file system must be mounted, which takes root: {error}"
        disk.unmount()
    return None


def set_read_only(folder: Path, read_only: bool) -> None:
    """Forbid, for root too, that files are created, renamed or removed in a folder or below it; or allow it again.

    Raises:
        OSError: the file system or the account does not allow it.
    """
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(FileNotFoundError):  # a job's folder was just removed
            _mark(Path(path), read_only)


def _mark(folder: Path, read_only: bool) -> None:
    if os.geteuid() != 0:
        folder.chmod(0o500 if read_only else 0o700)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(descriptor, _GET_FLAGS, flags)
        flags[0] = flags[0] | _IMMUTABLE if read_only else flags[0] & ~_IMMUTABLE
        fcntl.ioctl(descriptor, _SET_FLAGS, flags)
    finally:
        os.close(descriptor)


@functools.cache
def no_read_only() -> str | None:
    """Return why no folder can be made read-only here; None if it can."""
    with tempfile.TemporaryDirectory(prefix="tunebench-faults-") as folder:
        try:
            set_read_only(Path(folder), True)
            set_read_only(Path(folder), False)
        except OSError as error:
            return f"the file system below {folder} knows no immutable folders, or root may not make them: {error}"
    return None
