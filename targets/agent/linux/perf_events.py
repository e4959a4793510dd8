# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""Let a child count its own instructions, cycles and cache misses: events of perf_event_open(2), handed on as open files.

The child opens them between fork and exec, on itself and all that it will start, user space only, and not yet counting.
They stay open over exec, so that a workload needs neither ctypes nor rights to switch them on and off around its
window (:mod:`tunebench.workloads.marks.pmu`), and no thread is older than they are. Layout and numbers are those of
``include/uapi/linux/perf_event.h`` and of the kernel's tables of system calls.
"""

import ctypes
import errno
import glob
import json
import os
import platform
import signal
import struct
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from tunebench.targets.agent.linux.sysfs import text_of

#: Tells the workload which open files its counters are.
VARIABLE = "TUNEBENCH_PMU"
PARANOID = "proc/sys/kernel/perf_event_paranoid"
#: From this level on, kernels of Debian, Ubuntu and Android count for root only; mainline ends with 2.
_ROOT_ONLY = 3
HARDWARE, SOFTWARE = 0, 1
#: The first published size: all that is set here stands in it, and every kernel since 2.6.31 takes it. Its fields have
#: fixed widths and natural places, so that 32- and 64-bit programs agree.
_ATTRIBUTE = struct.Struct("=IIQQQQQIIQ")
#: PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING; what children inherit cannot be read as a group.
_TIMES = 1 | 2
_DISABLED, _INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HV = 1, 1 << 1, 1 << 5, 1 << 6
#: Kernel's name of the machine -> number of perf_event_open, for programs of 64 bits and of 32. Machines with ioctl
#: numbers of their own (powerpc, mips, sparc) are left out: the workload switches its counters by the common ones.
_NUMBERS: Dict[str, Tuple[Optional[int], Optional[int]]] = {
    "x86_64": (298, 336),
    "i386": (None, 336),
    "i486": (None, 336),
    "i586": (None, 336),
    "i686": (None, 336),
    "aarch64": (241, 364),
    "armv6l": (None, 364),
    "armv7l": (None, 364),
    "armv8l": (None, 364),
    "riscv64": (241, None),
    "loongarch64": (241, None),
}

Event = NamedTuple("Event", [("name", str), ("type", int), ("config", int)])
#: PERF_COUNT_HW_INSTRUCTIONS, _CPU_CYCLES, _CACHE_MISSES (usually of the last level).
EVENTS = (
    Event("instructions", HARDWARE, 1),
    Event("cycles", HARDWARE, 0),
    Event("cache_misses", HARDWARE, 3),
)
#: What a reason for all of them stands under.
FIRST = EVENTS[0].name


def number(machine: str, pointer_b: int) -> Optional[int]:
    """Return the number of perf_event_open for programs with pointers of so many bytes; None: not known.

    >>> number("x86_64", 8), number("aarch64", 4), number("mips64", 8)
    (298, 364, None)
    """
    wide, narrow = _NUMBERS.get(machine, (None, None))  # type: Optional[int], Optional[int]
    return wide if pointer_b == 8 else narrow


def attribute(event: Event, disabled: bool) -> bytes:
    """Return ``struct perf_event_attr``: count, and let children count, in user space only."""
    flags = _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HV | (_DISABLED if disabled else 0)
    return _ATTRIBUTE.pack(event.type, _ATTRIBUTE.size, event.config, 0, 0, _TIMES, flags, 0, 0, 0)


class Unknown(Exception):
    """The system call cannot be made here; the message says why."""


def opener() -> Callable[[Event, int], int]:
    """Load what is needed, and return the function that opens one event of this process: (event, leader or -1) -> file.

    The leader of a group is opened switched off and switches the others, too. The function raises OSError.

    Raises:
        Unknown: the number or the layout is not known on this machine, or Python has no ctypes.
    """
    machine, pointer_b = platform.machine(), struct.calcsize("P")
    call_number = number(machine, pointer_b)
    if call_number is None or sys.byteorder != "little":
        raise Unknown("perf_event_open is not known here for %s (%d-bit programs)" % (machine, 8 * pointer_b))
    try:
        syscall: Any = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError) as error:
        raise Unknown("the C library cannot be called: %s" % error) from None
    syscall.restype = ctypes.c_long
    long, integer = ctypes.c_long, ctypes.c_int

    def opened(event: Event, leader: int) -> int:
        text = ctypes.create_string_buffer(attribute(event, leader < 0), _ATTRIBUTE.size)
        file = int(
            syscall(long(call_number), text, integer(0), integer(-1), integer(leader), ctypes.c_ulong(0))
        )
        if file < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return file

    return opened


def refusal(error: OSError, event: str, root: str = "/") -> str:
    """Say why an event could not be opened; where a setting decides, with the command that changes it."""
    code = errno.errorcode.get(error.errno or 0, str(error.errno))
    level = paranoid(root)
    refused, unknown = error.errno in (errno.EACCES, errno.EPERM), error.errno == errno.ENOSYS
    if refused and level is not None and level >= _ROOT_ONLY:
        return "perf_event_paranoid is %d, which leaves counting to root; `%s` allows it" % (level, ALLOW)
    if (refused and filtered(root)) or (unknown and level is not None):
        return _FILTERED % code
    if unknown:
        return "this kernel was built without perf events (ENOSYS)"
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
        return "no PMU counts %s here, as on many virtual machines (%s)" % (event.replace("_", " "), code)
    if refused:
        return "a security module of the kernel refuses it (%s; perf_event_paranoid is %s)" % (code, level)
    return "perf_event_open: %s (%s)" % (error.strerror, code)


#: Until the next start of the board; /etc/sysctl.d keeps it.
ALLOW = "sudo sysctl kernel.perf_event_paranoid=2"
_FILTERED = "a filter of system calls (seccomp; a container or a service has one) refuses it (%s)"


def paranoid(root: str = "/") -> Optional[int]:
    """Return ``kernel.perf_event_paranoid``; None: the kernel has no perf events, or does not say."""
    try:
        return int(text_of(os.path.join(root, PARANOID)) or "")
    except ValueError:
        return None


def filtered(root: str = "/") -> bool:
    """Tell whether a filter of system calls is in force for this process (proc(5), ``Seccomp``)."""
    lines = (text_of(os.path.join(root, "proc/self/status")) or "").splitlines()
    return any(line.split()[1:] == ["2"] for line in lines if line.startswith("Seccomp:"))


def core_pmus(root: str = "/") -> int:
    """Count the kinds of cores that have a PMU of their own (big.LITTLE, hybrid); 0: none is named.

    PMUs of cores have ``cpus``, those of other parts ``cpumask``.
    """
    return len(glob.glob(os.path.join(root, "sys/bus/event_source/devices/*/cpus")))


Tried = NamedTuple("Tried", [("events", List[Event]), ("missing", Dict[str, str])])


def tried(events: Sequence[Event] = EVENTS) -> Tried:
    """Open events as one group on this process and close them again: those that count here, and why others do not."""
    try:
        opened = opener()
    except Unknown as error:
        return Tried([], {events[0].name: str(error)})
    if filtered() and not _survives(opened, events[0]):
        return Tried([], {events[0].name: _FILTERED % "SIGSYS"})
    leader, files, able, missing = -1, [], [], {}  # type: int, List[int], List[Event], Dict[str, str]
    try:
        for event in events:
            try:
                files.append(opened(event, leader))
            except OSError as error:
                missing[event.name] = refusal(error, event.name)
                continue
            able.append(event)
            leader = files[0]
    finally:
        for file in files:
            os.close(file)
    # One reason is enough where none counts.
    return Tried(able, missing if able else {events[0].name: missing[events[0].name]})


def _survives(opened: Callable[[Event, int], int], event: Event) -> bool:
    """Try the call in a process of its own: a filter may kill who makes it."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGSYS, signal.SIG_DFL)
            opened(event, -1)
        except OSError:
            pass
        finally:
            os._exit(0)
    return not os.WIFSIGNALED(os.waitpid(child, 0)[1])


class Handover:
    """Counters for one child: ``open_in_child`` runs there before exec, and ``files`` are what it passes on.

    Attributes:
        files: descriptors for ``pass_fds``; in this process they are nothing but places.
        missing: event -> why it is not counted.
    """

    def __init__(self, events: Sequence[Event] = EVENTS) -> None:
        self._events, self.missing = tried(events)
        self._opened = opener() if self._events else None
        self.files = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in self._events]

    def variables(self) -> Dict[str, str]:
        """Return what the child's environment needs; nothing where nothing is counted."""
        if not self.files:
            return {}
        names = [event.name for event in self._events]
        opened = {"files": list(map(list, zip(names, self.files))), "core_pmus": core_pmus()}
        return {VARIABLE: json.dumps(opened)}

    def open_in_child(self) -> None:
        """Open the counters of this process in the places; what fails now, the workload will miss."""
        leader = -1
        for event, place in zip(self._events, self.files):
            if self._opened is None:
                return
            try:
                file = self._opened(event, leader)
            except OSError:
                continue
            os.dup2(file, place)
            os.close(file)
            leader = place if leader < 0 else leader

    def close(self) -> None:
        """Close the places in this process."""
        for file in self.files:
            os.close(file)
        self.files = []
