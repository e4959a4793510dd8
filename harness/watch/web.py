"""Show a run in browsers of this machine: one page, server-sent events, nothing that could change anything.

The server listens on 127.0.0.1 alone. Other accounts and other sites' pages reach that, too, so: a random token in the
address, compared in constant time; a Host header that names this server, so that a name of somebody else's that resolves
to 127.0.0.1 is refused (DNS rebinding); methods that only read; a policy under which the page runs its own script alone.
One thread reads the run's folder, however many browsers look, and none while none does. The number of connections and
the time of each request are bounded.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tunebench.harness.watch.terminal import LOOK_S, ending, headline, progress_of, speed_text
from tunebench.harness.watch.view import View, Watch
from tunebench.reports.results import ResultsError

#: So many connections at once; further ones are closed at once.
MOST_CONNECTIONS = 64
#: A request must come, and an answer go, within this.
_REQUEST_S = 10.0
#: An event stream that has nothing new says so this often, and thereby notices that nobody listens.
_BEAT_S = 15.0
_PAGE = Path(__file__).with_name("page.html")


class Feed:
    """The newest view of a run for any number of readers; looked at only while somebody reads.

    Args:
        watch: the run.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._turn = threading.Lock()
        self._looked_s = float("-inf")
        self._view: View | None = None
        self._json = b""

    def view(self) -> tuple[View, bytes]:
        """Return the view and its JSON; looked at anew if that was longer ago than a moment.

        Raises:
            ResultsError: the run's plan cannot be read.
        """
        with self._turn:
            if self._view is None or time.monotonic() - self._looked_s >= LOOK_S:
                view = self._watch.look()
                if view != self._view:
                    self._view, self._json = view, view.as_json().encode()
                self._looked_s = time.monotonic()
            return self._view, self._json


class WatchServer(ThreadingHTTPServer):
    """The server of one run.

    Args:
        feed: what is shown.
        port: on 127.0.0.1; 0: any that is free.

    Attributes:
        token: what an address must hold.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, feed: Feed, port: int = 0) -> None:
        self.feed = feed
        self.token = secrets.token_urlsafe(24)
        self.ending = threading.Event()
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """Return the address to open in a browser."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def shutdown(self) -> None:
        """End the server, event streams included."""
        self.ending.set()
        super().shutdown()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, if there are not too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that has gone is no error of the run's."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; a connection has no second one."""

    server: WatchServer
    server_version = "tunebench"
    sys_version = ""
    timeout = _REQUEST_S

    def do_GET(self) -> None:
        """Answer a request for the page, the events or the text."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log: addresses hold the token."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in one word of HTTP, without quoting the request; whoever has no token learns nothing else."""
        status = HTTPStatus(code) if self._is_known() else HTTPStatus.FORBIDDEN
        if status == HTTPStatus.NOT_IMPLEMENTED:  # how the base class calls every method but GET and HEAD
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._send(
            status, "text/plain", f"{status.value} {status.phrase}\n".encode(), body=self.command != "HEAD"
        )

    def _is_known(self) -> bool:
        """Tell whether the request is meant for this server and shows its token."""
        headers = getattr(self, "headers", None)
        if headers is None:
            return False
        hosts = headers.get_all("Host") or []
        names = (f"127.0.0.1:{self.server.port}", f"localhost:{self.server.port}")
        if len(hosts) != 1 or hosts[0].strip().lower() not in names:
            return False
        try:
            given = parse_qs(urlsplit(self.path).query, max_num_fields=8).get("token", [])
        except ValueError:
            return False
        shown = given[0].encode(errors="replace") if len(given) == 1 else b""
        return hmac.compare_digest(shown, self.server.token.encode())

    def _answer(self, *, body: bool) -> None:
        if not self._is_known():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = urlsplit(self.path).path
        try:
            if path == "/":
                self._page(body=body)
            elif path == "/text":
                view, _ = self.server.feed.view()
                self._send(HTTPStatus.OK, "text/plain", as_text(view).encode(), body=body)
            elif path == "/events":
                self._events(body=body)
            else:
                self.send_error(HTTPStatus.NOT_FOUND)
        except ResultsError:
            with contextlib.suppress(OSError):
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
        except OSError:
            self.close_connection = True  # the browser has gone

    def _page(self, *, body: bool) -> None:
        nonce = secrets.token_urlsafe(16)
        page = _PAGE.read_text(encoding="utf-8").replace("{nonce}", nonce)
        page = page.replace("{token}", self.server.token)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(HTTPStatus.OK, "text/html", page.encode(), body=body, policy=policy)

    def _send(
        self, status: HTTPStatus, kind: str, content: bytes, *, body: bool, policy: str = "default-src 'none'"
    ) -> None:
        self.send_response(status)
        self._head(kind, policy)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _head(self, kind: str, policy: str) -> None:
        self.close_connection = True
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)

    def _events(self, *, body: bool) -> None:
        """Send each new view as one event until the browser goes or the server ends."""
        self.send_response(HTTPStatus.OK)
        self._head("text/event-stream", "default-src 'none'")
        self.end_headers()
        sent, beat_s = None, time.monotonic()
        while body and not self.server.ending.is_set():
            try:
                view, content = self.server.feed.view()
            except ResultsError:
                return  # the run's folder has gone; the browser asks again
            now_s = time.monotonic()
            if view is not sent:
                self.wfile.write(b"data: " + content + b"\n\n")
                sent, beat_s = view, now_s
            elif now_s - beat_s >= _BEAT_S:
                self.wfile.write(b": nothing new\n\n")
                beat_s = now_s
            self.server.ending.wait(LOOK_S)


def as_text(view: View) -> str:
    """Return a view as text."""
    lines = [headline(view)]
    lines += [f"  {board.board_id}: {progress_of(board)}" for board in view.boards]
    lines += [f"  {speed_text(speed_up)}" for speed_up in view.speed_ups]
    if view.state != "running":
        lines.append(ending(view))
    return "\n".join(lines) + "\n"


def listening(feed: Feed, port: int) -> WatchServer:
    """Return the server, listening; not yet answering.

    Raises:
        OSError: the port is taken, or not for this account.
    """
    server = WatchServer(feed, port)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server
