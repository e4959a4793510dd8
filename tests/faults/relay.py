"""A TCP relay in front of a board's SSH server: the lab's link, which can be cut, fall silent, be slow, flip a bit."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time

_CHUNK_B = 16 * 1024


class Relay:
    """Relays ``port`` of one of this machine's addresses to a port of 127.0.0.1, until it is closed.

    Attributes:
        target: the port that new connections are relayed to.
        sent_b: bytes that went from the host to the board so far.
    """

    def __init__(self, target: int, host: str = "127.0.0.1") -> None:
        self.target = target
        self.sent_b = 0
        self._delay_s = (0.0, 0.0)
        self._corrupt_at_b: int | None = None
        self._flows = threading.Event()
        self._flows.set()
        self._plugged = True
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    # -- faults -----------------------------------------------------------------------------------

    def unplug(self) -> None:
        """End all connections and refuse new ones."""
        self._plugged = False
        self.cut()

    def plug_in(self) -> None:
        """Relay new connections again."""
        self._plugged = True

    def cut(self) -> None:
        """End all connections; new ones are relayed."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        _drop(*sockets)

    def freeze(self) -> None:
        """Let nothing through, in either direction; connections stay and new ones are accepted."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let through what was held back."""
        self._flows.set()

    def slow_down(self, shortest_s: float, longest_s: float) -> None:
        """Delay every piece for a random time, each direction on its own; 0, 0 ends it."""
        self._delay_s = (shortest_s, longest_s)

    def corrupt_at(self, offset_b: int) -> None:
        """Flip one bit of the byte that is the ``offset_b``-th from the host to the board."""
        self._corrupt_at_b = offset_b

    @property
    def has_corrupted(self) -> bool:
        """Tell whether the byte of :meth:`corrupt_at` has passed."""
        return self._corrupt_at_b is None

    def close(self) -> None:
        """End all connections and stop relaying."""
        self._flows.set()
        self._plugged = False
        self._listener.close()
        self.cut()

    # -- relaying ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), name="relay", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            if not self._plugged:
                raise ConnectionRefusedError
            far = socket.create_connection(("127.0.0.1", self.target), 10.0)
            far.settimeout(None)
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets |= {near, far}
        if not self._plugged:
            self.cut()
        back = threading.Thread(target=self._pump, args=(far, near, False), name="relay", daemon=True)
        back.start()
        self._pump(near, far, True)
        back.join()
        with self._lock:
            self._sockets -= {near, far}

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_B):
                self._flows.wait()
                if self._delay_s[1] > 0:
                    time.sleep(random.uniform(*self._delay_s))
                sink.sendall(self._counted(data) if up else data)
        self._flows.wait()
        _drop(source, sink)

    def _counted(self, data: bytes) -> bytes:
        with self._lock:
            begin_b, at_b = self.sent_b, self._corrupt_at_b
            self.sent_b += len(data)
            if at_b is None or not begin_b <= at_b < self.sent_b:
                return data
            self._corrupt_at_b = None
        changed = bytearray(data)
        changed[at_b - begin_b] ^= 0x10
        return bytes(changed)


def _drop(*sockets: socket.socket) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
