"""Read small kernel files of any root, bounded, and tell why one could not be read."""

import errno
import glob
import os
import threading
from typing import Any, Callable, List, Optional

_BLOCKS = "no answer: the read would block"
_EMPTY = "the file is empty"
#: What the driver of a thing that is switched off gives: EAGAIN (a Jetson's GPU zone), or nothing.
NO_ANSWER = (_BLOCKS, _EMPTY)
_WORDS = {
    errno.EAGAIN: _BLOCKS,
    errno.ESPIPE: _BLOCKS,
    errno.ETIMEDOUT: "the driver timed out (ETIMEDOUT)",
    errno.EIO: "the driver could not read its chip (EIO)",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "no such file",
}
#: A descriptor that a rebound driver or an unplugged CPU has left dead.
_DEAD = (errno.ENODEV, errno.ENXIO, errno.EBADF, errno.ENOENT, errno.ESTALE)


class File:
    """A small kernel file that is read again and again; its descriptor stays open where that works.

    Attributes:
        error: why the last read gave nothing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.error: Optional[str] = None
        self._descriptor = -1
        self._owner = 0

    def text(self) -> Optional[str]:
        """Return the content, or ``None`` if it cannot be read now."""
        was_open = self._descriptor >= 0
        for again in (was_open, False):
            try:
                if self._descriptor < 0:
                    # Without O_NONBLOCK a FIFO in a simulated tree would wait for ever; sysfs ignores it.
                    self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                    self._owner = os.getpid()
                text = os.pread(self._descriptor, 8192, 0).decode("ascii", "replace")
            except OSError as error:
                self.close()
                self.error = _WORDS.get(error.errno or 0, os.strerror(error.errno or 0))
                # A driver that gives up after its time would only be waited for twice.
                if not (again and error.errno in _DEAD):
                    return None
            else:
                self.error = None
                return text
        return None

    def number(self, scale: float = 1.0, base: int = 10) -> Optional[float]:
        """Return the content as a number times ``scale``, or ``None``."""
        text = self.text()
        if text is None:
            return None
        try:
            return int(text, base) * scale
        except (ValueError, OverflowError):
            self.error = "not a number: %r" % text.strip()[:40] if text.strip() else _EMPTY
            return None

    def close(self) -> None:
        """Close the descriptor; the next read opens it anew.

        A forked child that closed all descriptors must not close the number again: it may be another's by now.
        """
        if self._descriptor >= 0 and self._owner == os.getpid():
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        self.close()


def bounded(call: Callable[[], Any], timeout_s: float, default: Any = None) -> Any:
    """Return the result of ``call``, or ``default`` if it takes longer; then its thread is left behind.

    For what may hang inside the kernel, where nothing can interrupt it.
    """
    results: List[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return results[0] if results else default


def find(root: str, pattern: str) -> List[str]:
    """Return paths below ``root`` that match, sorted so that ``zone10`` comes after ``zone9``."""
    paths = glob.glob(os.path.join(root, pattern))
    return sorted(paths, key=lambda path: (len(path), path))


def text_of(path: str) -> Optional[str]:
    """Return the stripped content of a file, or ``None``."""
    file = File(path)
    text = file.text()
    file.close()
    return None if text is None else text.strip("\0 \n\t")
