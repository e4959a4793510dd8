"""Meters that are real as far as the wire goes: an HTTP plug on loopback, a pty as the serial port, a sysfs tree."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
import tty
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

CAPTURES = os.environ.get("TUNEBENCH_CAPTURES")


def capture(name: str) -> str:
    """A captured answer without its source line."""
    if CAPTURES is None:
        pytest.skip("TUNEBENCH_CAPTURES is not set")
    return (Path(CAPTURES) / name).read_text().split("\n", 1)[1]


@pytest.fixture(name="capture")
def capture_fixture() -> Callable[[str], str]:
    """Read a captured output by its file's name."""
    return capture


class FakePlug:
    """A Shelly on loopback, as far as its HTTP protocol goes.

    Attributes:
        power_w: what it tells, by host monotonic time.
        password: asks for digest authentication (SHA-256) if set.
        faults: answers that are given once each, before the right one: a status, "hang", "cut" or a body.
        sticky: the relay does not obey.
        asked: URIs, in order.
    """

    def __init__(self, template: str, power_w: Callable[[float], float] | None = None) -> None:
        self.template = template
        self.power_w = power_w
        self.password: str | None = None
        self.faults: list[int | str] = []
        self.sticky = False
        self.output = True
        self.asked: list[str] = []
        self.unauthorised = 0
        self._started_s = time.monotonic()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, uri: str) -> str | None:
        """The body of an answer; None: no such thing."""
        url = urlsplit(uri)
        query = parse_qs(url.query)
        if url.path == "/rpc/Switch.GetStatus":
            return self._status()
        if url.path == "/rpc/Switch.Set":
            before, wanted = self.output, query["on"] == ["true"]
            self.output = before if self.sticky else wanted
            return json.dumps({"was_on": before})
        if url.path == "/meter/0":
            return json.dumps(json.loads(self.template)["meters"][0])
        if url.path == "/relay/0":
            if "turn" in query and not self.sticky:
                self.output = query["turn"] == ["on"]
            return json.dumps({"ison": self.output, "has_timer": False})
        return None

    def _status(self) -> str:
        if self.power_w is None and self.output:
            return self.template
        value = json.loads(self.template)
        now_s = time.monotonic()
        value["output"] = self.output
        value["apower"] = round(self.power_w(now_s), 1) if self.output and self.power_w else 0.0
        value["aenergy"]["total"] = round(913.252 + value["apower"] * (now_s - self._started_s) / 3600, 3)
        return json.dumps(value)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        plug = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                plug.asked.append(self.path)
                if not plug._authorised(self.headers.get("Authorization"), self.path):
                    plug.unauthorised += 1
                    challenge = (
                        'Digest qop="auth", realm="shellyplus1-0123", nonce="60dc2c69", algorithm=SHA-256'
                    )
                    self._send(401, "", {"WWW-Authenticate": challenge})
                    return
                fault = plug.faults.pop(0) if plug.faults else None
                if fault == "hang":
                    time.sleep(2.0)
                    self.close_connection = True
                elif fault == "cut":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
                    self.close_connection = True
                elif isinstance(fault, int):
                    self._send(fault, "busy")
                elif fault is not None:
                    self._send(200, fault)
                else:
                    body = plug.answer(self.path)
                    self._send(404 if body is None else 200, body or "No handler")

            def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
                data = body.encode()
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler

    def _authorised(self, header: str | None, uri: str) -> bool:
        """RFC 7616, written anew from its section 3.4 rather than taken from the client."""
        if self.password is None:
            return True
        if header is None or not header.startswith("Digest "):
            return False
        found = {k: a or b for k, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header)}

        def sha(*parts: str) -> str:
            return hashlib.sha256(":".join(parts).encode()).hexdigest()

        a1 = sha("admin", "shellyplus1-0123", self.password)
        wanted = sha(a1, "60dc2c69", found["nc"], found["cnonce"], "auth", sha("GET", uri))
        return found["response"] == wanted and found["uri"] == uri and found["nonce"] == "60dc2c69"


@pytest.fixture
def plug() -> Iterator[Callable[..., FakePlug]]:
    """A Shelly that answers with a captured reply (Gen2 unless told otherwise)."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "shelly_gen2_switch_getstatus.json.txt", power_w=None) -> FakePlug:
            made = FakePlug(capture(name), power_w)
            stack.callback(made.close)
            return made

        yield make


class FakeSerial:
    """A microcontroller on a pty: prints ``t_us,mV,mA,gpio`` at a rate, on a clock of its own.

    ``link`` is the port's path; it survives unplugging, as a udev link does.
    """

    def __init__(self, link: Path, *, hz: float = 200.0, start_us: int = 5_000_000, ppm: float = 0.0) -> None:
        self.link = link
        self.hz = hz
        self.milliwatts: Callable[[float], float] = lambda _: 5000.0
        self.mangle: Callable[[int, bytes], bytes] = lambda _, line: line
        self._start_us = start_us
        self._ppm = ppm
        self._begun_s = time.monotonic()
        self._stop = threading.Event()
        self._master = -1
        self._slave = -1
        self.plug()
        self._thread = threading.Thread(target=self._print, daemon=True)
        self._thread.start()

    def plug(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        master, slave, self._master, self._slave = self._master, self._slave, -1, -1
        self.link.unlink()
        os.close(slave)
        os.close(master)

    def restart(self, start_us: int) -> None:
        """The device's clock begins anew."""
        self._start_us, self._begun_s = start_us, time.monotonic()

    def true_s(self, own_us: int) -> float:
        """Host time of a device's time (without wraps and restarts)."""
        return self._begun_s + (own_us - self._start_us) / 1e6 / (1 + self._ppm * 1e-6)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        if self._master >= 0:
            self.unplug()

    def _print(self) -> None:
        index, due_s = 0, time.monotonic()
        while not self._stop.is_set():
            now_s = time.monotonic()
            own_us = int(self._start_us + (now_s - self._begun_s) * 1e6 * (1 + self._ppm * 1e-6)) % (1 << 32)
            milliamperes = self.milliwatts(now_s) / 5.0
            line = self.mangle(index, b"%d,%d,%.3f,%d\n" % (own_us, 5000, milliamperes, index & 1))
            with contextlib.suppress(OSError):
                os.write(self._master, line)
            index += 1
            due_s = max(due_s + 1 / self.hz, now_s)
            self._stop.wait(due_s - time.monotonic())


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[Callable[..., FakeSerial]]:
    """A fake microcontroller on a real pty."""
    with contextlib.ExitStack() as stack:

        def make(**options) -> FakeSerial:
            made = FakeSerial(tmp_path / "ttyFAKE", **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def sysfs(tmp_path: Path) -> Callable[..., Path]:
    """Write a hwmon device below a root, as the kernel lays it out; returns its folder."""
    count = iter(range(100))

    def write(name: str, address: str | None, index: int | None = None, **files: object) -> Path:
        number = next(count) if index is None else index
        folder = tmp_path / "sys/class/hwmon" / f"hwmon{number}"
        folder.mkdir(parents=True)
        if address is not None:
            device = tmp_path / "sys/devices/i2c" / address
            device.mkdir(parents=True, exist_ok=True)
            (folder / "device").symlink_to(device)
        (folder / "name").write_text(f"{name}\n")
        for file, value in files.items():
            (folder / file).write_text(f"{value}\n")
        return folder

    return write
