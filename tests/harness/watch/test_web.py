"""The page of a run: for who has the token, on this machine, and nothing that could change anything; real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest

from tunebench.harness.watch import web
from tunebench.harness.watch.view import Watch
from tunebench.harness.watch.web import Feed, WatchServer


@pytest.fixture
def run(written):
    stored = written("pi")
    stored.add("pi", "ft-all", 0, 2.0)
    stored.add("pi", "lora", 0, 1.0)
    return stored


@pytest.fixture
def server(run):
    with WatchServer(Feed(Watch(run.path))) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ask(server: WatchServer, path: str, method: str = "GET", host: str | None = "", **headers: str):
    """Return (status, headers, body) of one request; ``host`` "" is the right one, None leaves it out."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host or f"127.0.0.1:{server.port}")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body.decode()


def shown(server: WatchServer, path: str) -> str:
    return f"{path}?token={server.token}"


def test_who_has_the_address_sees_the_run(server):
    status, headers, page = ask(server, shown(server, "/"))
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "EventSource" in page and "{nonce}" not in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert page.count(f'nonce="{nonce}"') == 2
    assert (headers["Referrer-Policy"], headers["X-Content-Type-Options"]) == ("no-referrer", "nosniff")
    status, _, text = ask(server, shown(server, "/text"), host=f"LOCALHOST:{server.port}")
    assert status == 200
    assert "mine: running, 2 of 6 repetitions, about 0:40 left" in text
    assert "pi: digits/mlp lora: 2.00 times as fast as ft-all so far (1 pairs; no verdict)" in text


@pytest.mark.parametrize("path", ["/", "/text", "/events", "/other", "//", "/../etc/passwd"])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?token=",
        "?token=x",
        "?token=RIGHTx",
        "?token=RIGHT&token=RIGHT",
        "?Token=RIGHT",
        "?t=1&" * 20,
        "?token=%ff%00",
    ],
)
def test_a_stranger_gets_403_and_learns_nothing(server, path, query):
    status, _, body = ask(server, path + query.replace("RIGHT", server.token))
    assert (status, body) == (403, "403 Forbidden\n")


@pytest.mark.parametrize(
    "host", [None, "evil.example", "127.0.0.1", "127.0.0.1:1", "[::1]:80", "127.0.0.1.evil.example"]
)
def test_the_token_alone_is_not_enough_for_a_name_that_is_not_ours(server, host):
    assert ask(server, shown(server, "/text"), host=host)[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_nothing_but_reading_is_answered(server, method):
    assert ask(server, "/", method)[0] == 403
    assert ask(server, shown(server, "/"), method)[0] == 405


def test_head_has_no_body_and_unknown_paths_are_404(server):
    status, headers, body = ask(server, shown(server, "/"), "HEAD")
    assert (status, body) == (200, "") and int(headers["Content-Length"]) > 1000
    assert ask(server, shown(server, "/favicon.ico"))[0] == 404
    assert ask(server, shown(server, "/events"), "HEAD")[0] == 200


@pytest.mark.parametrize(
    "raw",
    [b"\r\n", b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"x" * 70000 + b" HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_request_is_refused_without_being_quoted(server, raw):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
        link.sendall(raw)
        link.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while data := link.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
    assert b"xxx" not in answer and b"GARBAGE" not in answer
    assert b" 200 " not in answer
    assert ask(server, shown(server, "/text"))[0] == 200


def events(server: WatchServer):
    """Yield each event of a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=8)
    connection.request("GET", shown(server, "/events"))
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    try:
        while line := response.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        connection.close()


def test_events_tell_what_is_recorded_and_hostile_lines_are_data(server, run, monkeypatch):
    monkeypatch.setattr(web, "LOOK_S", 0.05)
    stream = events(server)
    assert next(stream)["recorded"] == 2
    hostile = "</script><img src=x onerror=alert(1)>\n\ndata: {}\x1b[2J"
    run.add("pi", "ft-all", 1, 2.0, outcome="failed", outcome_reason=hostile)
    event = next(stream)
    assert event["recorded"] == 3
    assert "</script><img src=x onerror=alert(1)>\\n\\ndata: {}\\x1b[2J" in event["boards"][0]["last"][0]
    stream.close()
    page = ask(server, shown(server, "/"))[2]
    assert "alert(1)" not in page and "innerHTML" not in page, "the page itself holds nothing of a run"


def test_twenty_browsers_cost_one_look_a_moment_and_more_than_the_bound_are_closed(server, run, monkeypatch):
    looks = []
    look = server.feed._watch.look
    monkeypatch.setattr(server.feed._watch, "look", lambda: looks.append(time.monotonic()) or look())
    streams = [events(server) for _ in range(20)]
    begun_s = time.monotonic()
    assert {next(stream)["recorded"] for stream in streams} == {2}
    time.sleep(1.2)
    assert len(looks) <= 1 + (time.monotonic() - begun_s) / web.LOOK_S
    crowd = [
        socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(web.MOST_CONNECTIONS)
    ]
    time.sleep(0.3)
    crowd[-1].settimeout(5)
    assert crowd[-1].recv(1) == b"", "one too many is closed at once"
    for link in crowd:
        link.close()
    run.add("pi", "ft-all", 1, 2.0)
    assert {next(stream)["recorded"] for stream in streams} == {3}, "who was there is served on"
    for stream in streams:
        stream.close()


def test_it_listens_on_this_machine_alone(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert len(server.token) >= 32 and server.token in server.address
