"""Dropbear on a loopback port, for tests and benchmarks: the SSH server of BusyBox, Yocto and OpenWrt boards.

It runs as the current user, on 127.0.0.1 only. Dropbear looks for keys in the home directory of the user database, which
is not ours to write to: nss_wrapper shows it another one. Commands run in BusyBox's shell, with BusyBox's programs only.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from glob import glob
from pathlib import Path

from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.virtual.servers import await_listening, endpoint_at


def what_is_missing() -> str | None:
    """Return which program is not installed (Debian: dropbear-bin, busybox, libnss-wrapper); ``None``: all are there."""
    for program, package in (
        ("dropbear", "dropbear-bin"),
        ("dropbearkey", "dropbear-bin"),
        ("busybox", "busybox"),
        ("ssh-keygen", "openssh-client"),
    ):
        if _path_of(program) is None:
            return f"no {program} on this machine: install {package}"
    return None if nss_wrapper() else "no nss_wrapper on this machine: install libnss-wrapper"


def _path_of(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")


def nss_wrapper() -> str | None:
    """Return the library that shows a program another user database; ``None`` if it is not installed."""
    files = glob("/usr/lib/*/libnss_wrapper.so*") + glob("/usr/lib/libnss_wrapper.so*")  # noqa: PTH207
    return sorted(files)[0] if files else None


def other_home(home: Path, shell: str = "/bin/sh") -> dict[str, str]:
    """Return variables under which a program sees a user database in which we live in ``home``.

    Args:
        home: the home directory; ``passwd`` and ``group`` are written into it.
        shell: our login shell.

    Raises:
        FileNotFoundError: nss_wrapper is not installed.
    """
    library = nss_wrapper()
    if library is None:
        raise FileNotFoundError("no nss_wrapper on this machine: install libnss-wrapper")
    line = f"{getpass.getuser()}:x:{os.getuid()}:{os.getgid()}::{home}:{shell}\n"
    (home / "passwd").write_text(line)
    (home / "group").write_text(f"us:x:{os.getgid()}:\n")
    return {
        "LD_PRELOAD": library,
        "NSS_WRAPPER_PASSWD": str(home / "passwd"),
        "NSS_WRAPPER_GROUP": str(home / "group"),
    }


class DropbearServer:
    """A running dropbear with BusyBox behind it; a context manager.

    Args:
        directory: for its keys, home directory and log; must be the current user's alone.
        timeouts: of the endpoint it offers.

    Raises:
        FileNotFoundError: something is not installed.
        RuntimeError: it does not listen; the message holds its log.
    """

    def __init__(self, directory: Path, timeouts: Timeouts | None = None) -> None:
        if (missing := what_is_missing()) is not None:
            raise FileNotFoundError(missing)
        self.directory = directory
        self._timeouts = timeouts or Timeouts()
        self.home = directory / "home"
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        host_key = directory / "host"
        subprocess.run(
            [_path_of("dropbearkey") or "", "-t", "ed25519", "-f", str(host_key)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        shown = subprocess.run(
            [_path_of("dropbearkey") or "", "-y", "-f", str(host_key)],
            check=True,
            capture_output=True,
            text=True,
        )
        public = next(line for line in shown.stdout.splitlines() if line.startswith("ssh-ed25519 "))
        client = directory / "client"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(client)], check=True)
        keys = self.home / ".ssh" / "authorized_keys"
        keys.write_text(Path(f"{client}.pub").read_text())
        keys.chmod(0o600)
        self.home.chmod(0o700)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (directory / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {' '.join(public.split()[:2])}\n")
        self._start(host_key)

    def _start(self, host_key: Path) -> None:
        programs = self._busybox()
        # The forced command gets what was asked for as a variable, and gives it to BusyBox's shell.
        shell = f"cd {shlex.quote(str(self.home))} && exec env -i HOME={shlex.quote(str(self.home))}"
        shell += f' PATH={shlex.quote(str(programs))} busybox ash -c "$SSH_ORIGINAL_COMMAND"'
        log = (self.directory / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    _path_of("dropbear") or "", "-F", "-E", "-s", "-j", "-k", "-r", str(host_key),
                    "-p", f"127.0.0.1:{self.port}", "-P", str(self.directory / "pid"),
                    "-c", f"PATH={shlex.quote(str(programs))} ; {shell}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **other_home(self.home)},
            )  # fmt: skip
        await_listening(self.process, self.port, self.directory / "log")

    def _busybox(self) -> Path:
        """Make a folder with BusyBox's programs, and Python: all that a board of this kind has."""
        folder = self.directory / "bin"
        folder.mkdir()
        busybox = _path_of("busybox") or ""
        listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
        for name in ("busybox", *listing.stdout.split()):
            with contextlib.suppress(FileExistsError):
                (folder / name).symlink_to(busybox)
        (folder / "python3").symlink_to(sys.executable)
        return folder

    @property
    def endpoint(self) -> Endpoint:
        """Return how to reach the server."""
        return endpoint_at(self.directory, self.port, self._timeouts)

    def close(self) -> None:
        """End the server; connections that are open live on."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    def __enter__(self) -> DropbearServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
