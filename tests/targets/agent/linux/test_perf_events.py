"""Counters by perf_event_open: real calls of this kernel. Software events stand for the PMU that a machine may lack."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tunebench.targets.agent.linux import perf_events
from tunebench.targets.agent.linux.perf_events import EVENTS, SOFTWARE, Event, Handover, attribute, number
from tunebench.workloads.marks import pmu

#: PERF_COUNT_SW_TASK_CLOCK and _PAGE_FAULTS: counted by the kernel itself, with the same calls, and on every machine.
TASK_CLOCK, FAULTS = Event("task_clock", SOFTWARE, 1), Event("page_faults", SOFTWARE, 2)
SOFT = (TASK_CLOCK, FAULTS)
PAGES = 2000

_SOFT_MISSING = perf_events.tried(SOFT).missing
needs_perf = pytest.mark.skipif(bool(_SOFT_MISSING), reason=f"no perf events here: {_SOFT_MISSING}")

HEAD = f"""
import json, mmap, os, subprocess, sys, threading
from tunebench.workloads.marks import Recorder
def touch(pages={PAGES}):
    area = mmap.mmap(-1, pages * mmap.PAGESIZE)
    if hasattr(area, "madvise"):
        area.madvise(15)  # MADV_NOHUGEPAGE: a fault a page
    for place in range(0, len(area), mmap.PAGESIZE):
        area[place] = 1
def spin(n=3000000):
    while n:
        n -= 1
def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""
TAIL = "\nprint(json.dumps(recorder.counters.result))\n"


def counted(program: str, events: Sequence[Event] = SOFT, **how: object) -> dict[str, object]:
    """Run a program as the supervisor runs a workload, with counters; return what it read."""
    handover = Handover(events)
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-c", HEAD + program + TAIL],
            pass_fds=handover.files,
            preexec_fn=handover.open_in_child,
            env={**os.environ, **handover.variables()},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            **how,  # type: ignore[call-overload]
        )
    finally:
        handover.close()
    value: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return value


def faults(result: dict[str, object]) -> int:
    return int(result["counts"]["page_faults"][0])  # type: ignore[index]


@pytest.mark.parametrize("pointer_b", [4, 8])
def test_the_numbers_are_those_of_the_kernels_own_headers(pointer_b):
    """The compiler's headers, where there are some for this machine, are the independent source."""
    header = "64" if pointer_b == 8 else "32"
    places = list(Path("/usr/include").glob(f"*/asm/unistd_{header}.h"))
    texts = [place.read_text() for place in places if platform.machine().replace("_", "-")[:3] in str(place)]
    found = [match for text in texts for match in re.findall(r"__NR_perf_event_open (\d+)\b", text)]
    if not found:
        pytest.skip("no headers of the kernel for programs of this width (Debian: linux-libc-dev)")
    assert number(platform.machine(), pointer_b) == int(found[0])


@pytest.mark.parametrize(
    ("machine", "pointer_b", "expected"),
    [
        ("x86_64", 8, 298), ("x86_64", 4, 336), ("i686", 4, 336), ("aarch64", 8, 241), ("aarch64", 4, 364),
        ("armv7l", 4, 364), ("armv6l", 4, 364), ("riscv64", 8, 241), ("riscv64", 4, None), ("ppc64le", 8, None),
        ("m68k", 4, None), ("i686", 8, None),
    ],
)  # fmt: skip
def test_the_number_follows_the_machine_and_the_width_of_the_program(machine, pointer_b, expected):
    """Tables of the kernel: arch/x86/entry/syscalls, arch/arm/tools/syscall.tbl, include/uapi/asm-generic/unistd.h."""
    assert number(machine, pointer_b) == expected


def test_the_attribute_is_laid_out_as_the_kernel_reads_it():
    """Offsets of perf_event_attr by hand, from include/uapi/linux/perf_event.h; bits counted from ``disabled``."""
    text = attribute(Event("cycles", 0, 7), disabled=True)
    assert len(text) == 64
    assert struct.unpack_from("<II", text, 0) == (0, 64)
    assert struct.unpack_from("<Q", text, 8) == (7,)
    assert struct.unpack_from("<Q", text, 32) == (0b11,)
    (flags,) = struct.unpack_from("<Q", text, 40)
    assert {bit for bit in range(64) if flags >> bit & 1} == {0, 1, 5, 6}
    assert attribute(Event("cycles", 0, 7), disabled=False)[40] & 1 == 0


BY_THE_COMPILER = """
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
int main(void) {
    struct perf_event_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.type = PERF_TYPE_HARDWARE;
    attr.size = PERF_ATTR_SIZE_VER0;
    attr.config = PERF_COUNT_HW_CACHE_MISSES;
    attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    attr.disabled = attr.inherit = attr.exclude_kernel = attr.exclude_hv = 1;
    for (int i = 0; i < PERF_ATTR_SIZE_VER0; i++) printf("%02x", ((unsigned char *)&attr)[i]);
    printf(" %d %d ", PERF_COUNT_HW_INSTRUCTIONS, PERF_COUNT_HW_CPU_CYCLES);
    printf("%d %d", PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_DISABLE);
    return 0;
}
"""


@pytest.mark.skipif(
    shutil.which("cc") is None or not Path("/usr/include/linux/perf_event.h").is_file(),
    reason="no C compiler, or no headers of the kernel (Debian: gcc, linux-libc-dev)",
)
def test_the_kernels_header_gives_the_same_bytes_and_numbers(tmp_path):
    source, program = tmp_path / "attr.c", tmp_path / "attr"
    source.write_text(BY_THE_COMPILER)
    subprocess.run(["cc", "-o", str(program), str(source)], check=True, timeout=60)
    text, *numbers = subprocess.run(
        [str(program)], check=True, capture_output=True, text=True, timeout=20
    ).stdout.split()
    assert attribute(EVENTS[2], disabled=True).hex() == text
    assert [int(n) for n in numbers] == [EVENTS[0].config, EVENTS[1].config, pmu._ENABLE, pmu._DISABLE]


@needs_perf
def test_what_lies_in_the_window_is_counted_and_nothing_else():
    result = counted(
        "recorder = Recorder()\ntouch(5000)\nrecorder.window_start()\ntouch()\nrecorder.window_end()\ntouch(5000)"
    )
    assert PAGES <= faults(result) < PAGES + 300
    assert result["reason"] is None


@needs_perf
def test_a_window_without_work_counts_next_to_nothing():
    result = counted("recorder = Recorder()\ntouch()\nrecorder.window_start()\nrecorder.window_end()")
    assert faults(result) < 20
    assert result["counts"]["task_clock"][0] < 5_000_000  # ns


@needs_perf
@pytest.mark.parametrize(
    "work",
    [
        "in_thread(touch)",
        "subprocess.run([sys.executable, '-S', '-c', HEAD + 'touch()'], check=True)",
        "child = os.fork()\nif child == 0:\n    touch()\n    os._exit(0)\nos.waitpid(child, 0)",
        "in_thread(lambda: in_thread(touch))",
    ],
    ids=["thread", "program", "fork", "thread of a thread"],
)
def test_children_and_threads_are_counted(work):
    program = (
        f"HEAD = {HEAD!r}\nrecorder = Recorder()\nrecorder.window_start()\n{work}\nrecorder.window_end()"
    )
    assert faults(counted(program)) >= PAGES


@needs_perf
def test_threads_that_are_older_than_the_window_are_counted():
    """As those of a pool that the warm-up has started: in the window, and not before it."""
    result = counted(
        "go, ready = threading.Event(), threading.Event()\n"
        "def work():\n    touch(5000)\n    ready.set()\n    go.wait()\n    touch()\n"
        "thread = threading.Thread(target=work)\nthread.start()\nready.wait()\nrecorder = Recorder()\n"
        "recorder.window_start()\ngo.set()\nthread.join()\nrecorder.window_end()"
    )
    assert PAGES <= faults(result) < PAGES + 300


@needs_perf
def test_a_process_that_the_workload_started_as_a_shell_does_marks_the_window_for_all():
    """The counters are of the first process, the window is marked by its child."""
    program = (
        "child = os.fork()\nif child:\n    os.waitpid(child, 0)\n    os._exit(0)\n"
        "recorder = Recorder()\nrecorder.window_start()\ntouch()\nrecorder.window_end()"
    )
    assert PAGES <= faults(counted(program)) < PAGES + 300


@needs_perf
def test_task_clock_agrees_with_the_processors_own_account():
    result = counted(
        "import time\nrecorder = Recorder()\nrecorder.window_start()\nstart = time.process_time_ns()\nspin()\n"
        "spent = time.process_time_ns() - start\nrecorder.window_end()\nrecorder.counters.result['spent'] = spent"
    )
    count, enabled, running = result["counts"]["task_clock"]
    assert count == pytest.approx(result["spent"], rel=0.02)
    assert 0 < running <= enabled


@needs_perf
def test_files_that_were_closed_on_the_way_are_told():
    """Python's subprocess closes what it is not told to keep, and so does docker exec."""
    program = (
        "if 'AGAIN' not in os.environ:\n"
        "    done = subprocess.run([sys.executable, '-S', '-c', PROGRAM], check=True,\n"
        "                          env=dict(os.environ, AGAIN='1'))\n    os._exit(0)\n"
    )
    inner = HEAD + "recorder = Recorder()\nrecorder.window_start()\nrecorder.window_end()" + TAIL
    result = counted(f"PROGRAM = {inner!r}\n" + program)
    assert "did not reach the process that marks the window" in str(result["reason"])


@pytest.mark.parametrize(
    "told", ["", "x", "[]", '{"files": 3}', '{"files": [["a"]], "core_pmus": 0}', '{"files": []}']
)
def test_a_variable_of_another_form_counts_nothing_and_stops_nothing(told):
    counters = pmu.Counters(told)
    counters.start()
    counters.stop()
    assert counters.result is None or counters.result["reason"]


def test_a_file_that_is_no_counter_is_not_switched(tmp_path):
    with (tmp_path / "file").open("w") as file:
        counters = pmu.Counters(json.dumps({"files": [["instructions", file.fileno()]], "core_pmus": 1}))
        counters.start()
        counters.stop()
        file.write("still open")
    assert "did not reach" in counters.result["reason"]


# -- why not ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not perf_events.tried().missing.get("instructions"), reason="a PMU counts here")
def test_this_machine_says_why_it_counts_no_instructions():
    """A real refusal of this kernel; which one, depends on the machine."""
    reason = perf_events.tried().missing["instructions"]
    assert re.search(
        r"no PMU|perf_event_paranoid is [34]|seccomp|security module|without perf events", reason
    ), reason


@contextlib.contextmanager
def kernel_says(root: Path, *, paranoid: str | None = None, status: str = "Seccomp:\t0\n") -> Iterator[str]:
    """Make a tree of the two files that a reason is drawn from."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/status").write_text("Name:\tx\n" + status + "Seccomp_filters:\t2\n")
    if paranoid is not None:
        (root / perf_events.PARANOID).parent.mkdir(parents=True)
        (root / perf_events.PARANOID).write_text(paranoid + "\n")
    yield str(root)


@pytest.mark.parametrize(
    ("code", "paranoid", "status", "words"),
    [
        (errno.EACCES, "4", "Seccomp:\t0\n", "perf_event_paranoid is 4, which leaves counting to root; `sudo sysctl "),
        (errno.EACCES, "3", "", "perf_event_paranoid is 3"),
        (errno.EPERM, "2", "Seccomp:\t2\n", "a filter of system calls (seccomp; a container or a service has one)"),
        (errno.EPERM, "2", "Seccomp:\t0\n", "security module of the kernel refuses it (EPERM; perf_event_paranoid is 2)"),
        (errno.ENOSYS, None, "", "this kernel was built without perf events"),
        (errno.ENOSYS, "2", "Seccomp:\t2\n", "a filter of system calls"),
        (errno.ENOENT, "2", "", "no PMU counts cache misses here, as on many virtual machines (ENOENT)"),
        (errno.ENODEV, "2", "", "(ENODEV)"),
        (errno.EOPNOTSUPP, "2", "", "no PMU counts"),
        (errno.EMFILE, "2", "", "(EMFILE)"),
        (errno.EINVAL, "?", "", "(EINVAL)"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_by_its_cause(tmp_path, code, paranoid, status, words):
    with kernel_says(tmp_path, paranoid=paranoid, status=status) as root:
        assert words in perf_events.refusal(OSError(code, os.strerror(code)), "cache_misses", root)


FILTER = """
import ctypes, struct, sys
from tunebench.targets.agent.linux import perf_events
number = perf_events.number({machine!r}, struct.calcsize("P"))
# struct sock_filter: load the number of the call; equal: answer ACTION, else allow (seccomp(2))
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, {action}), (0x06, 0, 0, 0x7fff0000)]
text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
prctl = ctypes.CDLL(None, use_errno=True).prctl
long = ctypes.c_ulong
if prctl(38, long(1), long(0), long(0), long(0)) or prctl(
    22, long(2), ctypes.byref(Program(len(rules), ctypes.addressof(text))), long(0), long(0)
):
    print("no seccomp: errno", ctypes.get_errno())
    sys.exit(0)
events = (perf_events.Event("task_clock", 1, 1),)
print(perf_events.tried(events).missing.get("task_clock"))
"""


@needs_perf
@pytest.mark.parametrize(
    ("action", "word"),
    [(0x00050000 | errno.EPERM, "EPERM"), (0x00050000 | errno.ENOSYS, "ENOSYS"), (0x80000000, "SIGSYS")],
    ids=["errno EPERM, as docker", "errno ENOSYS, as newer docker", "kill, as systemd"],
)
def test_a_real_filter_of_system_calls_is_named_and_kills_nobody(action, word):
    """Software events count here, so that nothing but the filter can be the reason."""
    program = FILTER.format(machine=platform.machine(), action=action)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("no seccomp"):
        pytest.skip(done.stdout.strip())
    assert "a filter of system calls (seccomp" in done.stdout
    assert f"({word})" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change kernel.perf_event_paranoid")
@needs_perf
def test_the_kernels_own_setting_is_left_alone_and_told(tmp_path):
    """The level as the kernel has it; a test does not change the machine that it runs on."""
    assert perf_events.paranoid() == int(Path("/", perf_events.PARANOID).read_text())


def test_a_machine_that_is_not_known_is_named(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert perf_events.tried().missing == {
        "instructions": f"perf_event_open is not known here for vax ({8 * ctypes.sizeof(ctypes.c_void_p)}-bit programs)"
    }
    assert Handover().variables() == {}


# -- a real PMU ------------------------------------------------------------------------------------

_HARD = perf_events.tried(EVENTS)
LOOP = """
#include <stdint.h>
/* three instructions a turn on both machines: subtract, compare (x86-64: dec sets the flags), branch */
void turn(uint64_t n) {
#if defined(__x86_64__)
    __asm__ volatile("1: nop\\n dec %0\\n jnz 1b\\n" : "+r"(n) : : "cc");
#elif defined(__aarch64__)
    __asm__ volatile("1: nop\\n subs %0, %0, #1\\n b.ne 1b\\n" : "+r"(n) : : "cc");
#endif
}
"""


@pytest.mark.skipif(bool(_HARD.missing.get("instructions")), reason=f"{_HARD.missing.get('instructions')}")
def test_a_loop_of_known_length_counts_its_instructions_within_one_percent(tmp_path):
    source, library = tmp_path / "loop.c", tmp_path / "loop.so"
    source.write_text(LOOP)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=60)
    turns = 100_000_000
    result = counted(
        f"import ctypes\nturn = ctypes.CDLL({str(library)!r}).turn\nturn.argtypes = [ctypes.c_uint64]\nturn(1)\n"
        f"recorder = Recorder()\nrecorder.window_start()\nturn({turns})\nrecorder.window_end()",
        EVENTS,
    )
    count, enabled, running = result["counts"]["instructions"]  # type: ignore[index]
    assert count * enabled / running == pytest.approx(3 * turns, rel=0.01)


def test_one_reason_stands_for_all_where_nothing_counts():
    nothing = (Event("instructions", 99, 1), Event("cycles", 99, 0))
    able, missing = perf_events.tried(nothing)
    assert able == []
    assert set(missing) == {"instructions"}


@needs_perf
def test_an_event_that_is_not_known_leaves_the_others():
    able, missing = perf_events.tried((Event("instructions", 99, 1), FAULTS))
    assert able == [FAULTS]
    assert set(missing) == {"instructions"}


def test_the_first_two_events_make_instructions_a_cycle():
    assert [event.name for event in EVENTS] == ["instructions", "cycles", "cache_misses"]
    assert [event.config for event in EVENTS] == [1, 0, 3]
