"""What SSH servers of our own on loopback ports have in common: how they are reached, and that they listen."""

from __future__ import annotations

import contextlib
import getpass
import socket
import subprocess
import time
from pathlib import Path

from tunebench.targets.transport.endpoint import Endpoint, Timeouts

_LISTEN_S = 10.0


def endpoint_at(directory: Path, port: int, timeouts: Timeouts) -> Endpoint:
    """Return how to reach a server whose folder holds the key ``client`` and its ``known_hosts``; no config is read."""
    return Endpoint(
        host="127.0.0.1",
        user=getpass.getuser(),
        port=port,
        key_file=str(directory / "client"),
        known_hosts=str(directory / "known_hosts"),
        ssh_config="",
        timeouts=timeouts,
    )


def await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a server answers on its port.

    Raises:
        RuntimeError: it ended, or does not listen; the message holds its log.
    """
    give_up_s = time.monotonic() + _LISTEN_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.recv(1)
            return
        if process.poll() is not None or time.monotonic() > give_up_s:
            raise RuntimeError(f"{process.args!r} does not listen: {log.read_text(errors='replace')}")
        time.sleep(0.02)
