"""A PostgreSQL server of Debian's package, of an unprivileged user, on a Unix socket, for one test session."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class PostgresServer:
    """One server; ``fsync`` on, as in use."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.socket = folder, folder / "data", folder / "socket"
        self._account = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        for path in (folder, self.socket):
            path.mkdir(exist_ok=True)
            if self._account is not None:
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        self._run(
            "initdb", "-D", self.data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"
        )
        self.start()

    @property
    def address(self) -> str:
        """Where its data base is."""
        return f"postgres:///postgres?host={self.socket}&user=bench"

    def sql(self, query: str) -> list[tuple[object, ...]]:
        """Ask the server itself, past the code that is tested."""
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.socket} -c max_connections=30"
        self._run(
            "pg_ctl", "-D", self.data, "-w", "-t", "110", "-l", self.folder / "log", "-o", options, "start"
        )

    def stop_at_once(self) -> None:
        """Stop it as a power cut does: nothing is written any more."""
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-t", "110", "stop")

    def stop(self) -> None:
        """End it; the process by its own number, which its data folder tells."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, signal.SIGQUIT)
        except (OSError, ValueError, IndexError):
            return
        for _ in range(100):
            if not (self.data / "postmaster.pid").exists():
                return
            time.sleep(0.1)

    def _run(self, program: str, *words: object) -> None:
        account = self._account
        subprocess.run(
            [str(_BIN[-1] / program), *map(str, words)],
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
            cwd="/",
            check=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def why_not() -> str | None:
    """Return why no server can be had here; None if one can."""
    if not _BIN or shutil.which(str(_BIN[-1] / "initdb")) is None:
        return "no PostgreSQL here: apt-get install postgresql"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "needs psycopg: pip install 'tunebench[postgres]'"
    return None
