"""pip install, with PyTorch's own CPU wheel index added where it can be reached.

On PyPI, torch for x86-64 Linux pulls gigabytes of CUDA. pip would retry an unreachable index for a minute, so a
three-second look comes first. An index that the user has configured is never replaced.

What another environment of tox has already is linked, not unpacked and compiled again (``scripts/siblings.py``).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import siblings

_HOST = "download.pytorch.org"
_INDEX = f"https://{_HOST}/whl/cpu"


def reachable(host: str, timeout_s: float = 3.0) -> bool:
    """Whether something answers on port 443."""
    try:
        with socket.create_connection((host, 443), timeout=timeout_s):
            return True
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """Run pip with the remaining command line."""
    taken = siblings.take(arguments)
    if taken:
        print(f"linked from another environment: {', '.join(taken)}", flush=True)
    extra: list[str] = []
    wants_torch = any(word.startswith("torch==") for word in arguments)
    if wants_torch and "PIP_EXTRA_INDEX_URL" not in os.environ and reachable(_HOST):
        extra = ["--extra-index-url", _INDEX]
    return subprocess.call([sys.executable, "-m", "pip", "install", *extra, *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
