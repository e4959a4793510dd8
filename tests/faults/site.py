"""One board of a scene: this machine behind an SSH server and a relay, with a working directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.relay import Relay
from tests.sshd import quick_server
from tunebench.targets.virtual.loopback import LoopbackServer
from tunebench.targets.virtual.openssh import OpenSshServer, find_sshd

#: The boards' Python: not that of this environment, because each probe of a board would import its torch.
PYTHON: str = getattr(sys, "_base_executable", sys.executable)
#: Seconds within which the last commands of a campaign notice that nobody listens any more, and end.
SETTLE_S = 25.0
TIMEOUTS = "{ connect_s = 5.0, banner_s = 5.0, auth_s = 10.0, channel_s = 5.0, command_s = 15.0, comeback_s = 180.0 }"


@dataclass(frozen=True)
class Job:
    """A repetition on the board.

    Attributes:
        supervisor: process id, 0 if it is not known (yet).
        workload: the same.
    """

    folder: Path
    supervisor: int
    workload: int

    @property
    def ended(self) -> bool:
        """Tell whether its exit record is there."""
        return (self.folder / "exit.json").exists()

    @property
    def supervised(self) -> bool:
        """Tell whether its supervisor is alive."""
        return self.supervisor > 0 and _holds(self.supervisor, os.fsencode(self.folder.parent.parent))

    @property
    def works(self) -> bool:
        """Tell whether its workload is alive."""
        return self.workload > 0 and _holds(self.workload, os.fsencode(self.folder))


class Site:
    """A board, from its server to its files.

    Args:
        board_id: its id.
        folder: of all that is its.
        host: this machine's address at which it is reached.

    Attributes:
        workdir: where the harness keeps its files on the board; a fault may put it elsewhere before the start.
        python: command of the board's Python; the same.
        ledger: where workloads write down that they began and ended; "" where they cannot.
    """

    #: A server that is killed comes back with the same keys.
    restartable = True
    kind = "linux"

    def __init__(self, board_id: str, folder: Path, host: str = "127.0.0.1") -> None:
        folder.mkdir(mode=0o700)
        self.board_id = board_id
        self.folder = folder
        self._host = host
        self.workdir = folder / "work"
        self.python = PYTHON
        self.ledger = str(folder / "ledger")
        self._stack = contextlib.ExitStack()
        self.server = self._serve()
        self.relay = Relay(self.server.endpoint.port or 0, host)
        self._stack.callback(self.relay.close)

    def _serve(self) -> OpenSshServer | LoopbackServer:
        if find_sshd() is None:
            self.restartable = False
            return self._stack.enter_context(LoopbackServer())
        keys = self.folder / "sshd"
        keys.mkdir(mode=0o700)
        server = quick_server(keys)
        self._stack.callback(server.kill)
        return server

    def close(self) -> None:
        """End the server, the relay and whatever a campaign left running."""
        for pid, _ in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        self._stack.close()

    # -- the inventory ----------------------------------------------------------------------------

    def entry(self) -> str:
        """Return its ``[[board]]`` entry; its host key is pinned for the relay's port."""
        end = self.server.endpoint
        keys = {
            "id": self.board_id,
            "kind": "linux",
            "host": self._host,
            "port": self.relay.port,
            "user": end.user,
            "key": end.key_file,
            "known_hosts": str(self.known_hosts()),
            "python": self.python,
            "interpreter": self.python,
            "workdir": str(self.workdir),
            "gates": "warn",
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        return "\n".join(["[[board]]", *lines, f"timeouts = {TIMEOUTS}", ""])

    def known_hosts(self) -> Path:
        """Write its host key down as that of the relay, and return the file."""
        end = self.server.endpoint
        path = self.folder / "known_hosts"
        text = Path(end.known_hosts or "").read_text()
        path.write_text(text.replace(f"[{end.host}]:{end.port} ", f"[{self._host}]:{self.relay.port} "))
        return path

    # -- what is on the board ---------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """Return all repetitions that lie on the board."""
        with contextlib.suppress(OSError):
            return [_job(path) for path in sorted((self.workdir / "jobs").iterdir())]
        return []

    def running(self) -> Job | None:
        """Return the repetition whose workload runs now, if there is one."""
        return next((job for job in self.jobs() if not job.ended and job.works), None)

    def supervised(self) -> Job | None:
        """Return the repetition whose supervisor is alive, if there is one."""
        return next((job for job in self.jobs() if not job.ended and job.supervised), None)

    def commands(self) -> list[int]:
        """Return the agent commands and receivers that serve a host's request now, without supervisors."""
        return [
            pid for pid, _ in self.processes() if b"sshd" not in _read(pid, "comm") and not _detached(pid)
        ]

    def processes(self) -> list[tuple[int, str]]:
        """Return all processes of ours on the board: (process id, command line)."""
        marker = os.fsencode(self.workdir)
        processes = []
        for pid in _pids():
            if pid != os.getpid() and _holds(pid, marker):
                words = _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace")
                processes.append((pid, words[-160:].strip()))
        return processes

    def left_behind(self) -> list[str]:
        """Return what no later campaign uses: processes, jobs, leases, parts. Wait first for what is ending."""
        give_up_s = time.monotonic() + SETTLE_S
        while (remains := self._remains()) and time.monotonic() < give_up_s:
            time.sleep(0.2)
        return remains

    def _remains(self) -> list[str]:
        remains = [f"process {pid}: {words}" for pid, words in self.processes()]
        remains += [f"job {job.folder.name}: {sorted(os.listdir(job.folder))}" for job in self.jobs()]
        for path in self.workdir.rglob("*") if self.workdir.is_dir() else []:
            if path.name in ("lease.json", "undo.json") or ".part" in path.name:
                remains.append(f"file {path.relative_to(self.workdir)}")
        return remains


def _job(folder: Path) -> Job:
    supervisor = _json(folder / "supervisor.json").get("pid", 0)
    workload = 0
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "journal.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry.get("event") == "spawned":
                workload = entry["pid"]
    return Job(folder, supervisor, workload)


def _json(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text())
        return value if isinstance(value, dict) else {}
    return {}


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _read(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _holds(pid: int, marker: bytes) -> bool:
    """Tell whether a live process was started for a path: the path stands in its command line or environment."""
    words = _read(pid, "cmdline")  # empty for a zombie
    return bool(words) and (_names(words, marker) or _names(_read(pid, "environ"), marker))


def _names(text: bytes, path: bytes) -> bool:
    """Tell whether ``path`` or something below it is named; a longer name that begins alike does not count."""
    begin = text.find(path)
    while begin >= 0:
        if text[begin + len(path) : begin + len(path) + 1] in (b"", b"/", b"\0", b" "):
            return True
        begin = text.find(path, begin + 1)
    return False


def _detached(pid: int) -> bool:
    """Tell whether it serves no host: the standard input of a supervisor and of its workload is /dev/null."""
    with contextlib.suppress(OSError):
        target = os.readlink(f"/proc/{pid}/fd/0")
        return target == os.devnull
    return True
