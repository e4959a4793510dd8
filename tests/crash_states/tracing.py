"""A child process under ptrace(2): killed before its n-th system call, or recorded.

Nothing has to be installed for it; it works where a process may trace its own child, as on a plain Debian or in a
container of today. Decoded are the calls by which files change, on x86-64 and aarch64.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TRACEME, SYSCALL, KILL, SETOPTIONS, SYSCALL_INFO = 0, 24, 8, 0x4200, 0x420E
TRACESYSGOOD, EXITKILL = 1, 0x100000
_ENTRY, _EXIT = 1, 2

#: Calls that change files or make them durable. A change by any other call is noticed when the log is replayed.
_NUMBERS = {
    "x86_64": {
        1: "write", 18: "pwrite64", 20: "writev", 2: "open", 257: "openat", 74: "fsync", 75: "fdatasync",
        76: "truncate", 77: "ftruncate", 82: "rename", 264: "renameat", 316: "renameat2", 83: "mkdir",
        258: "mkdirat", 87: "unlink", 263: "unlinkat", 84: "rmdir",
    },
    "aarch64": {
        64: "write", 68: "pwrite64", 66: "writev", 56: "openat", 82: "fsync", 83: "fdatasync", 45: "truncate",
        46: "ftruncate", 38: "renameat", 276: "renameat2", 34: "mkdirat", 35: "unlinkat",
    },
}  # fmt: skip


class _Entry(ctypes.Structure):
    _fields_ = [("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6)]


class _Exit(ctypes.Structure):
    _fields_ = [("rval", ctypes.c_int64), ("is_error", ctypes.c_uint8)]


class _Union(ctypes.Union):
    _fields_ = [("entry", _Entry), ("exit", _Exit), ("space", ctypes.c_uint8 * 72)]


class _Info(ctypes.Structure):
    """``struct ptrace_syscall_info`` of linux/ptrace.h (Linux 5.3)."""

    _fields_ = [
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("u", _Union),
    ]


@dataclass(frozen=True)
class Event:
    """One thing that happened to a file, or an acknowledgement to the parent (``ack``).

    Attributes:
        kind: create, mkdir, write, truncate, sync, rename, unlink, ack, or the name of a call not known here.
        offset: where a write begins; the new size of a truncation.
        target: the new name, of a rename.
    """

    kind: str
    path: str
    data: bytes = b""
    offset: int = 0
    target: str = ""


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    done = int(_libc.ptrace(request, pid, address, data))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace({request}): {os.strerror(code)}")
    return done


class Child:
    """A forked child that does ``work`` and is stopped at every system call.

    ``work`` gets a function that tells the parent something: an acknowledgement.
    """

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        self._from_child, self.ack_fd = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(work)
        os.waitpid(self.pid, 0)
        _ptrace(SETOPTIONS, self.pid, 0, TRACESYSGOOD | EXITKILL)
        self.returned: int | None = None

    def _run(self, work: Callable[[Callable[[str], None]], None]) -> None:
        code = 1
        try:
            _ptrace(TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            work(lambda message: os.write(self.ack_fd, message.encode() + b"\n") and None)
            code = 0
        finally:
            os._exit(code)

    def step(self) -> bool:
        """Go on to the next entry into or exit from a system call; False: the child has ended."""
        deliver = 0
        while True:
            _ptrace(SYSCALL, self.pid, 0, deliver)
            _, status = os.waitpid(self.pid, 0)
            if not os.WIFSTOPPED(status):
                self.returned = os.waitstatus_to_exitcode(status)
                return False
            if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
                return True
            deliver = os.WSTOPSIG(status)

    def info(self) -> _Info:
        info = _Info()
        _ptrace(SYSCALL_INFO, self.pid, ctypes.sizeof(info), ctypes.addressof(info))
        return info

    def kill(self) -> None:
        """Send SIGKILL at the entry into a call, so that the call is not made."""
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.returned = os.waitstatus_to_exitcode(status)

    def acknowledged(self) -> list[str]:
        """Return what it acknowledged before it ended."""
        os.close(self.ack_fd)
        with os.fdopen(self._from_child, "rb") as pipe:
            return pipe.read().decode().split()

    def memory(self, address: int, size: int) -> bytes:
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as file:
            file.seek(address)
            return file.read(size)

    def text(self, address: int) -> str:
        page_end = 4096 - address % 4096
        data = self.memory(address, page_end)
        if b"\0" not in data:
            data += self.memory(address + page_end, 4096)
        return os.fsdecode(data.split(b"\0", 1)[0])

    def path_of(self, fd: int) -> str:
        return str(Path(f"/proc/{self.pid}/fd/{fd}").readlink())

    def position(self, fd: int) -> int:
        """Return where a write through this descriptor will begin."""
        words = Path(f"/proc/{self.pid}/fdinfo/{fd}").read_text().split()
        if int(words[words.index("flags:") + 1], 8) & os.O_APPEND:
            return Path(self.path_of(fd)).stat().st_size
        return int(words[words.index("pos:") + 1])


def kill_before(work: Callable[[Callable[[str], None]], None], n: int) -> tuple[list[str], bool]:
    """Run ``work`` and kill it as it enters its n-th system call.

    Returns:
        what it had acknowledged, and whether it was killed (False: it ended before).
    """
    child = Child(work)
    entries = 0
    while child.step():
        entries += 1
        if entries == 2 * n - 1:  # entry and exit stops alternate
            child.kill()
            return child.acknowledged(), True
    return child.acknowledged(), False


def record(work: Callable[[Callable[[str], None]], None], root: Path) -> tuple[list[Event], int]:
    """Run ``work`` to its end.

    Returns:
        what happened to the files below ``root``, and how many system calls were made.
    """
    names = _NUMBERS[platform.machine()]
    child = Child(work)
    events: list[Event] = []
    calls = 0
    while child.step():
        info = child.info()
        if info.op != _ENTRY:
            continue
        calls += 1
        seen = _decode(
            child, names.get(info.u.entry.nr, ""), [int(argument) for argument in info.u.entry.args]
        )
        if not child.step():
            break
        failed = child.info().u.exit.is_error
        if seen is None or failed:
            continue
        if seen.kind == "write":
            seen = Event("write", seen.path, seen.data[: child.info().u.exit.rval], seen.offset)
        if seen.kind == "ack" or Path(seen.path).is_relative_to(root):
            events.append(seen)
    if child.returned != 0:
        raise RuntimeError(f"what was to be recorded ended with {child.returned}")
    child.acknowledged()
    return events, calls


def _decode(child: Child, name: str, args: list[int]) -> Event | None:
    if name in ("open", "openat"):
        return _opened(child, *(args[:2] if name == "open" else args[1:3]))
    if name in ("write", "pwrite64"):
        if args[0] == child.ack_fd:
            return Event("ack", "", child.memory(args[1], args[2]))
        path = child.path_of(args[0])
        if not path.startswith("/"):
            return None
        offset = args[3] if name == "pwrite64" else child.position(args[0])
        return Event("write", path, child.memory(args[1], args[2]), offset)
    if name in ("fsync", "fdatasync"):
        return Event("sync", child.path_of(args[0]))
    if name == "ftruncate":
        return Event("truncate", child.path_of(args[0]), offset=args[1])
    at = name.endswith(("at", "at2"))
    if name.startswith("rename"):
        return Event("rename", child.text(args[1 if at else 0]), target=child.text(args[3 if at else 1]))
    if name.startswith("mkdir"):
        return Event("mkdir", child.text(args[1 if at else 0]))
    if name.startswith(("unlink", "rmdir")):
        return Event("unlink", child.text(args[1 if at else 0]))
    return Event(name, "/") if name else None


def _opened(child: Child, address: int, flags: int) -> Event | None:
    path = child.text(address)
    if flags & os.O_CREAT and not Path(path).exists():
        return Event("create", path)
    return Event("truncate", path) if flags & os.O_TRUNC else None
