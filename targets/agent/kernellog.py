"""The kernel's own line on a process that it has killed for want of memory.

``/dev/kmsg`` gives records ``PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;MESSAGE`` (Documentation/ABI/testing/dev-kmsg). Many
systems let only root read it (``kernel.dmesg_restrict``): then there is no line, and the reason says so.
"""

import os
import re
from typing import Optional, Tuple

PATH = "/dev/kmsg"
_RECORD_B = 8192
_MOST = 20000
#: "Out of memory: Killed process 1234 (python3) total-vm:...", also of a control group, and of kernels before 5.0
_KILLED = re.compile(r"Kill(?:ed)? process (\d+)")


def oom_line(pid: int, path: str = PATH) -> Tuple[Optional[str], Optional[str]]:
    """The last line that says that a process was killed, or why there is none.

    Returns:
        (line, None) or (None, reason).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return None, "%s cannot be read: %s" % (path, error.strerror)
    found = None
    try:
        for _ in range(_MOST):
            try:
                record = os.read(descriptor, _RECORD_B)
            except BlockingIOError:
                break
            except BrokenPipeError:  # overwritten while we read: the next read goes on behind
                continue
            if not record:
                break
            for line in record.decode("utf-8", "replace").split("\n"):
                message = line.partition(";")[2]
                match = _KILLED.search(message)
                if match and int(match.group(1)) == pid:
                    found = message.strip()[:300]
    except OSError as error:
        return None, "%s cannot be read: %s" % (path, error.strerror)
    finally:
        os.close(descriptor)
    return (found, None) if found else (None, "%s has no line on process %d" % (path, pid))
