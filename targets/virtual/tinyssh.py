"""TinySSH on a loopback port, for tests: the server of initramfs and small boards, which speaks one of each algorithm.

chacha20-poly1305 and Ed25519 only: paramiko cannot speak with it, ``transport = "openssh"`` can. It serves one
connection on its standard input and output, as under inetd; a thread here accepts them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.virtual.dropbear import nss_wrapper, other_home
from tunebench.targets.virtual.servers import endpoint_at

_SCAN_S = 20.0


def what_is_missing() -> str | None:
    """Return which program is not installed (Debian: tinysshd, libnss-wrapper); ``None``: all are there."""
    if _of_sbin("tinysshd") is None or _of_sbin("tinysshd-makekey") is None:
        return "no tinysshd on this machine: install tinysshd"
    return None if nss_wrapper() else "no nss_wrapper on this machine: install libnss-wrapper"


def _of_sbin(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


class TinySshServer:
    """A listener that starts a tinysshd for each connection; a context manager.

    Args:
        directory: for its keys and log; must be the current user's alone.
        timeouts: of the endpoint it offers.

    Raises:
        FileNotFoundError: something is not installed.
    """

    def __init__(self, directory: Path, timeouts: Timeouts | None = None) -> None:
        if (missing := what_is_missing()) is not None:
            raise FileNotFoundError(missing)
        self.directory = directory
        self._timeouts = timeouts or Timeouts()
        # tinysshd wants every folder above the keys to be writable by its owner alone; /tmp is not.
        places = [place for place in ("/run", "/var/lib", str(Path.home())) if os.access(place, os.W_OK)]
        self._home = home = Path(tempfile.mkdtemp(prefix="tunebench-tinyssh-", dir=places[0]))
        (home / ".ssh").mkdir(mode=0o700)
        keys = directory / "keys"
        subprocess.run([_of_sbin("tinysshd-makekey") or "", "-q", str(keys)], check=True)
        client = directory / "client"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(client)], check=True)
        shutil.copy(f"{client}.pub", home / ".ssh" / "authorized_keys")
        self._argv = [_of_sbin("tinysshd") or "", "-v", str(keys)]
        self._env = {**os.environ, **other_home(home)}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="tunebench-tinyssh", daemon=True)
        self._thread.start()
        scan = ["ssh-keyscan", "-p", str(self.port), "-t", "ed25519", "127.0.0.1"]
        scanned = subprocess.run(scan, check=True, capture_output=True, timeout=_SCAN_S)
        (directory / "known_hosts").write_bytes(scanned.stdout)

    def _accept(self) -> None:
        with contextlib.suppress(OSError), (self.directory / "log").open("ab") as log:
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._processes.append(
                        subprocess.Popen(
                            self._argv,
                            stdin=connection.fileno(),
                            stdout=connection.fileno(),
                            stderr=log,
                            env=self._env,
                            start_new_session=True,
                        )
                    )

    @property
    def endpoint(self) -> Endpoint:
        """Return how to reach the server."""
        return endpoint_at(self.directory, self.port, self._timeouts)

    def close(self) -> None:
        """End the listener and all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
            process.wait(10)
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> TinySshServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
