"""A password is taken from the environment, reaches the plug it is for, and stands nowhere else."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECRET = "planted-7f3a-hunter2"
BASIC = base64.b64encode(f"admin:{SECRET}".encode()).decode()
#: Tells all that a workload can see of its surroundings.
_WORK = """
import os
from workloads import marks
print(dict(os.environ))
marks.window_start()
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""


class Plug:
    """A first-generation Shelly, as far as these tests go: one reading, for whoever knows the password."""

    def __init__(self) -> None:
        self.let_in = 0
        plug = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                allowed = self.headers.get("Authorization") == f"Basic {BASIC}"
                plug.let_in += allowed
                reading = {"power": 5.0, "is_valid": True, "total": 100, "timestamp": 1, "overpower": 0.0}
                body = json.dumps({**reading, "meters": [reading]}).encode() if allowed else b""
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def plug() -> Generator[Plug]:
    made = Plug()
    yield made
    made.server.shutdown()
    made.server.server_close()


def _command_lines() -> str:
    found = ""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += path.read_bytes().decode("utf-8", "replace") + "\n"
    return found


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_a_planted_password_is_found_in_nothing_that_is_written_or_run(plug, one_repetition, tmp_path):
    one_repetition(_WORK)
    (tmp_path / "lab.toml").write_text(
        f'[[board]]\nid = "here"\nkind = "loopback"\nworkdir = "{tmp_path}/work"\ninterpreter = "{sys.executable}"\n'
        f'[board.meter]\nkind = "shelly"\nscope = "wall_ac"\nhost = "127.0.0.1:{plug.server.server_address[1]}"\n'
        'generation = 1\nuser = "admin"\npassword_env = "PLUG_PASSWORD"\n'
    )
    argv = ["run", "--inventory", "lab.toml", "--suite", "suite.toml", "--out", "out"]
    running = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PLUG_PASSWORD": SECRET},
    )
    seen = ""
    while running.poll() is None:
        seen += _command_lines()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(0.1)
    assert running.stdout is not None
    said = running.stdout.read()
    assert running.returncode == 0, said
    assert plug.let_in > 0
    assert "harness.cli" in seen
    written = b"".join(_content(path) for path in tmp_path.rglob("*") if path.is_file())
    assert b"PLUG_PASSWORD" in written  # its name, in the inventory
    for secret in (SECRET, BASIC):
        assert secret not in said
        assert secret not in seen
        assert secret.encode() not in written
