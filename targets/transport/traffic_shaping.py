"""Slow links for measurements: a TCP proxy on 127.0.0.1 between us and a board that limits the rate and delays.

What crosses it is real SSH to the real board; only the link is made. A profile's rate and delay are round figures of
our own choice for a kind of link, not measured on any network, and there is no loss and no jitter: numbers taken
through it are marked ``shaped``. The link behind it must be faster than the profile.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tunebench.targets.errors import TargetError

#: So much of a direction's time goes on at once: small enough to pace, large enough for Python.
_SLICE_S = 0.01
_MIN_CHUNK_B, _MAX_CHUNK_B = 512, 64 * 1024


@dataclass(frozen=True)
class Profile:
    """A kind of link.

    Attributes:
        up_bit_s: board -> host, bits a second.
        down_bit_s: host -> board.
        rtt_s: round trip of an empty link; half of it each way.
    """

    name: str
    up_bit_s: float
    down_bit_s: float
    rtt_s: float

    def least_s(self, size_b: int, *, up: bool) -> float:
        """Return a transfer's time without any overhead: the request's round trip, then the bytes at the link's rate."""
        return self.rtt_s + 8.0 * size_b / (self.up_bit_s if up else self.down_bit_s)


#: 100BASE-TX; 2.4 GHz Wi-Fi in a house; LTE of moderate reception; the two slow ones bound what LPWAN and 2G give.
PROFILES = {
    profile.name: profile
    for profile in (
        Profile("lan", 100e6, 100e6, 0.001),
        Profile("wifi", 20e6, 20e6, 0.006),
        Profile("lte", 10e6, 20e6, 0.050),
        Profile("250k", 250e3, 250e3, 0.150),
        Profile("50k", 50e3, 50e3, 0.400),
    )
}


class _Direction:
    """Bytes one way: a thread takes them in and dates them, another lets them go when they are due.

    What waits is held without bound: these links carry updates of a few MB.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, bit_s: float, delay_s: float) -> None:
        self._source, self._sink, self._bit_s, self._delay_s = source, sink, bit_s, delay_s
        self._chunk_b = int(min(_MAX_CHUNK_B, max(_MIN_CHUNK_B, bit_s / 8 * _SLICE_S)))
        self._waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self.threads = [
            threading.Thread(target=target, name="tunebench-shaped", daemon=True)
            for target in (self._take, self._give)
        ]

    def _take(self) -> None:
        """Forward chunks: each leaves when the link is free and has carried it, and arrives a delay later."""
        free_s = time.monotonic()
        data = b"-"
        while data:
            try:
                data = self._source.recv(self._chunk_b)
            except OSError:
                data = b""
            free_s = max(free_s, time.monotonic()) + 8.0 * len(data) / self._bit_s
            self._waiting.put((free_s + self._delay_s, data))

    def _give(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, data = self._waiting.get()
                time.sleep(max(0.0, due_s - time.monotonic()))
                if not data:
                    self._sink.shutdown(socket.SHUT_WR)
                    return
                self._sink.sendall(data)


class ShapedLink:
    """A link of a profile, as a context manager; its :meth:`dial` is what a connection dials with."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        #: Connections that went through it: none where a board is reached another way (a ProxyCommand).
        self.dialled = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def dial(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Open a TCP connection to ``host`` through a proxy of this profile.

        Raises:
            OSError: the host cannot be reached, as without a proxy.
            TargetError: somebody else was faster at the proxy's port.
        """
        far = socket.create_connection((host, port), timeout_s)
        far.settimeout(None)
        self._sockets.append(far)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(timeout_s)
            mine = socket.create_connection(listener.getsockname(), timeout_s)
            near, address = listener.accept()
        self._sockets.append(near)
        if address != mine.getsockname():
            mine.close()
            raise TargetError("another process connected to the shaping proxy")
        near.settimeout(None)
        for connection in (mine, near, far):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        half_s = self.profile.rtt_s / 2
        for direction in (
            _Direction(near, far, self.profile.down_bit_s, half_s),
            _Direction(far, near, self.profile.up_bit_s, half_s),
        ):
            self._threads += direction.threads
            for thread in direction.threads:
                thread.start()
        self.dialled += 1
        return mine

    def close(self) -> None:
        """Close all sockets and end the threads."""
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(2.0)
        self._sockets, self._threads = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
