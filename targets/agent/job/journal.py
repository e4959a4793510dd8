"""What happened, in order: JSON lines with a sequence number and the monotonic time."""

import json
import os
from typing import Any

from tunebench.targets.agent.protocol import monotonic_ns


class Journal:
    """Appends to ``journal.jsonl``; each line is handed to the kernel at once; only :meth:`sync` waits for the card."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()
        self._seq = 0

    def write(self, event: str, **details: Any) -> None:
        """Append one event."""
        line = dict(details, seq=self._seq, t_ns=monotonic_ns(), event=event)
        self._seq += 1
        self._file.write(json.dumps(line, sort_keys=True) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Write the journal through to the card, so that it survives a power cut. Not for the measured window."""
        try:
            os.fsync(self._file.fileno())
        except OSError:
            pass  # it is worth a reason, not a repetition

    def close(self) -> None:
        """Close the file."""
        self._file.close()
