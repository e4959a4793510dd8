"""Work that goes on in a process of its own, and the lock that says whether it still does."""

import fcntl
import os
import signal
import traceback
from typing import Callable, NoReturn


def start(work: Callable[[], None], lock: int, report: str) -> None:
    """Start ``work`` detached from whoever asked (new session, re-parented, stdio closed), and return.

    Args:
        work: what is done; the process ends with it.
        lock: descriptor of a file lock, held; the process inherits it, and the kernel releases it at its end.
        report: file to which a traceback is added if ``work`` fails: nobody above could tell of it.
    """
    child = os.fork()
    if child:
        os.close(lock)
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    _run(work, lock, report)


def _run(work: Callable[[], None], lock: int, report: str) -> NoReturn:
    """Do the work in the detached process, which never returns into its parent's code."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.closerange(3, lock)
        os.closerange(lock + 1, 256)
        signal.alarm(0)
        work()
    except BaseException:  # noqa: BLE001 - nobody above could report it
        with open(report, "a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(0)


def is_held(lock_path: str) -> bool:
    """Tell whether somebody holds the lock; a file that is not there is held by nobody."""
    try:
        descriptor = os.open(lock_path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
