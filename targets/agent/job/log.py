"""A workload's output, kept within a bound: the head in the file, the tail in memory until the end."""

import os
from typing import Optional

from tunebench.targets.agent.linux import said
from tunebench.targets.agent.protocol import MAX_LOG_B

#: Most crashes explain themselves in the last lines.
TAIL_B = 256 * 1024
_NOTE_B = 100


class Capture:
    """Drains a pipe for ever, so that a chatty workload never blocks, and keeps at most ``max_b`` bytes.

    Args:
        path: the log file.
        descriptor: the pipe's reading end; made non-blocking.
    """

    def __init__(self, path: str, descriptor: int, max_b: int = MAX_LOG_B) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        self._head_left_b = max(0, max_b - TAIL_B - _NOTE_B)
        self._tail = bytearray()
        self.dropped_b = 0

    def drain(self, limit_b: int = 1 << 20) -> bool:
        """Read what the pipe holds, at most about ``limit_b``; return False at the end of the stream."""
        taken = 0
        while taken < limit_b:
            try:
                data = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            taken += len(data)
            self._keep(data)
        return True

    def _keep(self, data: bytes) -> None:
        head = data[: self._head_left_b]
        if head:
            self._file.write(head)
            self._head_left_b -= len(head)
        self._tail += data[len(head) :]
        surplus = len(self._tail) - TAIL_B
        if surplus > 0:
            self.dropped_b += surplus
            del self._tail[:surplus]

    def close(self) -> None:
        """Write the tail, with a note of what is left out between."""
        if self.dropped_b:
            self._file.write(b"\n[... %d bytes left out ...]\n" % self.dropped_b)
        self._file.write(bytes(self._tail))
        self._file.close()
        os.close(self.descriptor)


def last_line(path: str, reach_b: int = 4096) -> Optional[str]:
    """Return the last line of a log that is not blank, shortened; of a Python that could not start, what says why."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - reach_b))
        return said.why(file.read().decode("utf-8", "replace")) or None
