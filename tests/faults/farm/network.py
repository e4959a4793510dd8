"""Hosts of their own on one machine: each has a network namespace, wired to the lab's by a bridge, and a host name.

The lab's namespace is that of the process (:func:`within` starts one in a new one), so all of it is gone with that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence

#: Of the lab, and before the number of a host: addresses for documentation (RFC 5737), routed nowhere.
ADDRESS, _HOSTS = "192.0.2.1", "192.0.2.{}/24"
_BRIDGE = "lab"
_WITHIN = ("unshare", "--net", "--")


def within(command: Sequence[str]) -> list[str]:
    """Return a command as it is started in a network of its own, which is empty."""
    return [*_WITHIN, *command]


def why_not() -> str | None:
    """Return why no such network can be had here; None if one can."""
    if os.geteuid() != 0:
        return "needs root (network namespaces)"
    if missing := [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]:
        return f"needs {' and '.join(missing)} (Debian: util-linux, iproute2)"
    probe = within(["ip", "link", "add", _BRIDGE, "type", "bridge"])
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        return "this kernel gives no network namespace with a bridge"
    return None


class Network:
    """The lab's network, in this process's namespace; a context: leaving it ends the hosts' namespaces."""

    def __init__(self) -> None:
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        for words in (
            "link set lo up",
            f"link add {_BRIDGE} type bridge",
            f"addr add {ADDRESS}/24 dev {_BRIDGE}",
            f"link set {_BRIDGE} up",
        ):
            _ip(words)

    def plug_in(self, name: str) -> list[str]:
        """Make a host and return the words by which its commands are started; its name is its wire's, too."""
        keeper = subprocess.Popen(
            [
                "unshare",
                "--net",
                "--uts",
                "--",
                "sh",
                "-c",
                'hostname "$0" && echo && exec sleep infinity',
                name,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._keepers[name] = keeper
        assert keeper.stdout is not None and keeper.stdout.readline() == b"\n", f"no namespace for {name}"
        inside = ["nsenter", f"--target={keeper.pid}", "--net", "--uts", "--"]
        _ip(f"link add {name} type veth peer name eth0 netns {keeper.pid}")
        _ip(f"link set {name} master {_BRIDGE} up")
        _ip("link set lo up", inside)
        _ip(f"addr add {_HOSTS.format(10 + len(self._keepers))} dev eth0", inside)
        _ip("link set eth0 up", inside)
        return inside

    def cut(self, name: str) -> None:
        """Pull a host's wire: nothing comes through, and nobody is told."""
        _ip(f"link set {name} down")

    def mend(self, name: str) -> None:
        """Put a host's wire back."""
        _ip(f"link set {name} up")

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        for keeper in self._keepers.values():
            with contextlib.suppress(ProcessLookupError):
                keeper.kill()
            keeper.wait()
            assert keeper.stdout is not None
            keeper.stdout.close()


def _ip(words: str, inside: Sequence[str] = ()) -> None:
    subprocess.run([*inside, "ip", *words.split()], check=True)
