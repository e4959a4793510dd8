"""The kernel's own line on a process that it has killed for want of memory.

``/dev/kmsg`` gives records ``PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;MESSAGE`` (Documentation/ABI/testing/dev-kmsg). Many
systems let only root read it (``kernel.dmesg_restrict``); there the journal may have the line for members of its group
(``adm``, ``systemd-journal``). Where neither tells, the reason says so. A simulated board's journal is asked in any case:
the kernel's log is this machine's.
"""

import os
import re
from typing import Iterator, Optional, Tuple

from tunebench.targets.agent.linux import programs

PATH = "/dev/kmsg"
JOURNAL = ("journalctl", "-k", "-q", "--no-pager", "-o", "cat", "-n", "1000")
_JOURNAL_S = 10.0
_RECORD_B = 8192
_MOST = 20000
_TOLERANCE_US = 60 * 1000000
#: "Out of memory: Killed process 1234 (python3) total-vm:...", also of a control group; of kernels before 5.0 two lines:
#: "Out of memory: Kill process 1234 (python3) score 911 or sacrifice child", "Killed process 1234 (python3) total-vm:..."
_KILLED = re.compile(r"\bKill(?:ed)? process (\d+)\b")


def oom_line(
    pid: int, path: str = PATH, root: str = "/", since_ns: int = 0
) -> Tuple[Optional[str], Optional[str]]:
    """Return the last line that says that a process was killed, or why there is none.

    Args:
        root: of the board whose journal is asked where ``path`` cannot be read; below another root than ``/`` also where
            it tells nothing.
        since_ns: records of ``path`` that are older (CLOCK_MONOTONIC) by more than a minute are left out: a process'
            number is used again, and the two clocks differ a little. The journal's lines carry no time.

    Returns:
        (line, None) or (None, reason).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return _in_journal(pid, root, "%s cannot be read: %s" % (path, error.strerror))
    line = None
    try:
        for message in _messages(descriptor, since_ns // 1000 - _TOLERANCE_US):
            line = message if _names(message, pid) else line
    except OSError as error:
        return _in_journal(pid, root, "%s cannot be read: %s" % (path, error.strerror))
    finally:
        os.close(descriptor)
    if line:
        return line[:300], None
    reason = "%s has no line on process %d" % (path, pid)
    return (None, reason) if programs.is_real(root) else _in_journal(pid, root, reason)


def _messages(descriptor: int, since_us: int) -> Iterator[str]:
    """Yield the messages that the kernel's log holds now, from some time on."""
    for _ in range(_MOST):
        try:
            record = os.read(descriptor, _RECORD_B)
        except BlockingIOError:
            return
        except BrokenPipeError:  # overwritten while we read: the next read goes on behind
            continue
        if not record:
            return
        for line in record.decode("utf-8", "replace").split("\n"):
            head, _, message = line.partition(";")
            time_us = head.split(",")[2:3]
            if not time_us or not time_us[0].isdigit() or int(time_us[0]) >= since_us:
                yield message.strip()


def _names(message: str, pid: int) -> bool:
    match = _KILLED.search(message)
    return bool(match) and int(match.group(1)) == pid  # type: ignore[union-attr]


def _in_journal(pid: int, root: str, reason: str) -> Tuple[Optional[str], Optional[str]]:
    said = programs.run(root, list(JOURNAL), _JOURNAL_S)
    lines = [line.strip() for line in said.out.split("\n") if _names(line, pid)]
    if lines:
        return lines[-1][:300], None
    why = said.reason or "it has no line on process %d" % pid
    return None, "%s; journal: %s" % (reason, why)
