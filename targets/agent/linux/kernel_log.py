"""The kernel's own line on a process that it has killed for want of memory.

``/dev/kmsg`` gives records ``PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;MESSAGE`` (Documentation/ABI/testing/dev-kmsg). Many
systems let only root read it (``kernel.dmesg_restrict``); there the journal may have the line for members of its group
(``adm``, ``systemd-journal``). Where neither tells, the reason says so.
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
#: "Out of memory: Killed process 1234 (python3) total-vm:...", also of a control group, and of kernels before 5.0
_KILLED = re.compile(r"Kill(?:ed)? process (\d+)")


def oom_line(pid: int, path: str = PATH, root: str = "/") -> Tuple[Optional[str], Optional[str]]:
    """Return the last line that says that a process was killed, or why there is none.

    Args:
        root: of the board whose journal is asked where ``path`` cannot be read.

    Returns:
        (line, None) or (None, reason).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return _in_journal(pid, root, "%s cannot be read: %s" % (path, error.strerror))
    line = None
    try:
        for message in _messages(descriptor):
            line = message if _names(message, pid) else line
    except OSError as error:
        return _in_journal(pid, root, "%s cannot be read: %s" % (path, error.strerror))
    finally:
        os.close(descriptor)
    return (line[:300], None) if line else (None, "%s has no line on process %d" % (path, pid))


def _messages(descriptor: int) -> Iterator[str]:
    """Yield the messages that the kernel's log holds now."""
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
            yield line.partition(";")[2].strip()


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
