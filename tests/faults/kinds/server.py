"""The board's SSH server: killed and started again, and stopped for a while."""

from __future__ import annotations

import contextlib
import os
import signal

from tests.faults.scene import Fault, Scene
from tunebench.targets.virtual.openssh import OpenSshServer, find_sshd

NO_SSHD = "needs OpenSSH's server (Debian: openssh-server); the embedded one has new keys at each start"


def _server(scene: Scene) -> OpenSshServer:
    server = scene.site.server
    assert isinstance(server, OpenSshServer)
    return server


class Killed(Fault):
    """The server and all its sessions are killed; it is started again after a while."""

    name = "sshd-killed-and-restarted"
    family = "server"
    may_skip = True

    def impossible(self) -> str | None:
        return None if find_sshd() else NO_SSHD

    def strike(self, scene: Scene) -> None:
        server = _server(scene)
        server.kill()
        try:
            scene.last(scene.rng.uniform(0.2, 5.0))
        finally:
            server.start()


class Frozen(Fault):
    """The server and its sessions are stopped: connections stay, nobody answers."""

    name = "peer-frozen-sigstop"
    family = "server"
    costly = True
    may_skip = True
    limit_s = 360.0

    def impossible(self) -> str | None:
        return None if find_sshd() else NO_SSHD

    def strike(self, scene: Scene) -> None:
        server = _server(scene)
        stopped = [server.process.pid]
        os.kill(server.process.pid, signal.SIGSTOP)
        for pid in server.session_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        try:
            scene.last(scene.rng.uniform(1.0, 25.0))
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


FAULTS: tuple[Fault, ...] = (Killed(), Frozen())
