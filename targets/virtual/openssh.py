"""OpenSSH's own server on a loopback port, for tests and benchmarks: a second implementation to meet.

It runs as the current user, on 127.0.0.1 only, with keys and configuration of its own in a given folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.virtual.servers import await_listening, endpoint_at


def find_sshd() -> str | None:
    """Return the server's path, or None where it is not installed (Debian: openssh-server)."""
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")


class OpenSshServer:
    """A running sshd; a context manager.

    Args:
        directory: for its keys, configuration and log; must be the current user's alone.
        timeouts: of the endpoint it offers.
        settings: lines of sshd_config(5) that come before its own; the first of a keyword counts.
        key_types: of its host keys.

    Raises:
        FileNotFoundError: no sshd on this machine.
        RuntimeError: it does not listen; the message holds its log.
    """

    def __init__(
        self,
        directory: Path,
        timeouts: Timeouts | None = None,
        settings: str = "",
        key_types: Sequence[str] = ("ed25519",),
    ) -> None:
        self.directory = directory
        self._timeouts = timeouts or Timeouts()
        sshd = find_sshd()
        if sshd is None:
            raise FileNotFoundError("no sshd on this machine: install openssh-server")
        self._sshd = sshd
        if os.getuid() == 0:
            # sshd as root insists on its privilege separation directory
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        keys = {"client": "ed25519", "host": key_types[0]}
        keys |= {f"host_{key_type}": key_type for key_type in key_types[1:]}
        for name, key_type in keys.items():
            command = ["ssh-keygen", "-q", "-t", key_type, "-N", "", "-f", str(directory / name)]
            subprocess.run(command, check=True)
        host_keys = [directory / name for name in keys if name.startswith("host")]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (directory / "config").write_text(
            f"""
            {settings}
            Port {self.port}
            ListenAddress 127.0.0.1
            {"".join(f"HostKey {key}{chr(10)}" for key in host_keys)}
            AuthorizedKeysFile {directory}/client.pub
            PidFile none
            UsePAM no
            StrictModes no
            UseDNS no
            PasswordAuthentication no
            PermitRootLogin prohibit-password
            MaxSessions 50
            """
        )
        (directory / "known_hosts").write_text(
            "".join(
                f"[127.0.0.1]:{self.port} {Path(f'{key}.pub').read_text().rsplit(' ', 1)[0]}\n"
                for key in host_keys
            )
        )
        self.start()

    def start(self) -> None:
        """Start the server, or start it again after :meth:`kill`: same port, same keys.

        Raises:
            RuntimeError: it does not listen; the message holds its log.
        """
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._sshd, "-D", "-e", "-f", str(self.directory / "config")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C is for whoever started us: connections are closed in order, not cut.
                start_new_session=True,
            )
        await_listening(self.process, self.port, self.directory / "log")

    @property
    def endpoint(self) -> Endpoint:
        """Return how to reach the server."""
        return endpoint_at(self.directory, self.port, self._timeouts)

    def session_pids(self) -> list[int]:
        """Return the processes that serve connections: the listener's descendants that are sshd."""
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = path.read_text().partition(") ")
                if "(sshd" in name:
                    parents[int(path.parent.name)] = int(rest.split()[1])
        pids = [self.process.pid]
        for pid in pids:
            pids += [child for child, parent in parents.items() if parent == pid]
        return pids[1:]

    def kill(self) -> None:
        """End the server and all its connections at once; commands that they ran are left to themselves."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGSTOP)  # so that it forks no more while we look
        for pid in self.session_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(10)

    def __enter__(self) -> OpenSshServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server; connections that are open live on."""
        self.process.terminate()
        self.process.wait(10)
