"""The process that holds memory: it takes pages until only so much is available, says how much, and waits."""

import mmap
import os
import sys
import time
from typing import List, Optional

from tunebench.targets.agent.sensors import memory
from tunebench.targets.agent.workdir import read_text

_CHUNK_B = 16 << 20
_PAGE_B = 4096
#: Smaller steps than this are the noise of a running system.
TOLERANCE_B = 4 << 20


def available_b(root: str) -> Optional[int]:
    """Return MemAvailable in bytes; ``None`` where the kernel does not estimate it."""
    available = memory.fields(read_text(os.path.join(root, "proc/meminfo"))).get("MemAvailable")
    return None if available is None else 1024 * available


def hold(root: str, free_b: int, most_b: int) -> List[mmap.mmap]:
    """Take memory until ``free_b`` is available, at most ``most_b``; return what is held.

    Pages are written with random bytes: compressed swap would make nothing of zeros.
    """
    noise = os.urandom(_CHUNK_B)
    held: List[mmap.mmap] = []
    while True:
        over_b = (available_b(root) or 0) - free_b
        size_b = min(over_b, _CHUNK_B, most_b - sum(map(len, held)))
        if size_b < TOLERANCE_B:
            return held
        piece = mmap.mmap(-1, size_b // _PAGE_B * _PAGE_B)
        piece.write(noise[: len(piece)])
        held.append(piece)


def main() -> None:
    """Hold memory until killed; the arguments are the board's root, bytes to leave, and bytes to take at most."""
    root, free_b, most_b = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    held = hold(root, free_b, most_b)
    sys.stdout.write("%d\n" % sum(map(len, held)))
    sys.stdout.flush()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
