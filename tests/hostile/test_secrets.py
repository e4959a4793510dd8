"""A password is taken from the environment, reaches the plug it is for, and stands nowhere else."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECRET = "planted-7f3a-hunter2"
BASIC = base64.b64encode(f"admin:{SECRET}".encode()).decode()
#: Prints everything that a workload can see of its surroundings.
_WORK = """
import os
from tunebench import marks
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


def _command_lines() -> set[str]:
    command_lines = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command_lines.add(path.read_bytes().decode("utf-8", "replace"))
    return command_lines


def _inflated(page: bytes) -> bytes:
    """Return what a page carries in packed form: deflated, in base64."""
    contents = b""
    for block in re.findall(rb"[A-Za-z0-9+/=]{40,}", page):
        with contextlib.suppress(ValueError, zlib.error):
            contents += zlib.decompress(base64.b64decode(block))
    return contents


def _content(path: Path) -> bytes:
    """Return all that a reader of a file can come to read, unpacked."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".html":
        return path.read_bytes() + _inflated(path.read_bytes())
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(name.encode() + archive.read(name) for name in archive.namelist())


@pytest.fixture
def watched(tmp_path) -> Callable[..., tuple[str, str]]:
    """Function (arguments): run the command with the password planted; what it said, and all command lines meanwhile."""

    def run(*arguments: str) -> tuple[str, str]:
        with (tmp_path / "said").open("w+") as said:
            running = subprocess.Popen(
                [sys.executable, "-m", "tunebench", *arguments],
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
                env={**os.environ, "HOME": str(tmp_path), "PLUG_PASSWORD": SECRET},
            )
            seen: set[str] = set()
            while running.poll() is None:
                seen |= _command_lines()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(0.1)
            said.seek(0)
            output = said.read()
        assert running.returncode == 0, output
        lines = "\n".join(seen)
        assert "\0-m\0tunebench\0" in lines
        return output, lines

    return run


def test_a_planted_password_is_found_in_nothing_that_is_written_shown_or_run(
    plug, one_repetition, watched, tmp_path
):
    one_repetition(_WORK)
    (tmp_path / "lab.toml").write_text(
        f'[[board]]\nid = "here"\nkind = "loopback"\nworkdir = "{tmp_path}/work"\n'
        f'interpreter = ["{sys.executable}", "-S"]\n'
        f'[board.meter]\nkind = "shelly"\nscope = "wall_ac"\nhost = "127.0.0.1:{plug.server.server_address[1]}"\n'
        'generation = 1\nuser = "admin"\npassword_env = "PLUG_PASSWORD"\n'
    )
    commands = (
        ("run", "--inventory", "lab.toml", "--suite", "suite.toml", "--out", "out"),
        ("report", "out", "--html", "page.html", "--json", "page.json", "--format", "md"),
        ("doctor", "here", "--inventory", "lab.toml", "--json"),
        ("doctor", "here", "--inventory", "lab.toml", "--bundle", "bundle.zip"),
        ("meter", "read", "here", "--inventory", "lab.toml", "--seconds", "1"),
    )
    shown = [watched(*command) for command in commands]
    assert plug.let_in > 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"page.html", "page.json", "bundle.zip", "run.json"} <= {path.name for path in files}
    assert b'"channels"' in _inflated((tmp_path / "page.html").read_bytes())
    written = b"".join(map(_content, files))
    assert b"PLUG_PASSWORD" in written  # its name, in the inventory
    for secret in (SECRET, BASIC):
        assert secret.encode() not in written
        for command, (said, seen) in zip(commands, shown, strict=True):
            assert secret not in said, command
            assert secret not in seen, command
