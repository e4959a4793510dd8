"""A command's channel: how its end is told from the end of the connection that carries it."""

from __future__ import annotations

import subprocess
import time

import pytest

from tunebench.targets.errors import LinkError, NoAnswerError
from tunebench.targets.transport.channel import Duplex, Watchdog
from tunebench.targets.transport.openssh.client import Client


@pytest.fixture
def broken_channel():
    """Return the client of a channel that ended without a status, as ssh(1) ends where the connection breaks."""
    process = subprocess.Popen(
        ["sh", "-c", "exit 255"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    client = Client(process)
    assert client.wait(5)
    yield client
    client.close()


@pytest.fixture
def watchdog():
    made = Watchdog(lambda: None)
    yield made
    made.stop()


def test_a_connection_that_ends_a_moment_after_its_channel_was_lost(broken_channel, watchdog):
    """The order is the system's: a loaded host may see the channel's end first."""
    ends = time.monotonic() + 0.2

    def link_ended(wait_s: float) -> bool:
        time.sleep(max(0.0, min(wait_s, ends - time.monotonic())))
        return time.monotonic() >= ends

    duplex = Duplex(broken_channel, "board: cat", watchdog, link_ended=link_ended)
    with pytest.raises(LinkError, match="connection lost"):
        duplex.read_message(5)
    with pytest.raises(LinkError, match="broke before"):
        duplex.returncode(5)


def test_a_command_that_a_signal_ended_did_not_lose_the_connection(broken_channel, watchdog):
    duplex = Duplex(broken_channel, "board: cat", watchdog, link_ended=lambda wait_s: False)
    with pytest.raises(NoAnswerError, match="ended without an answer"):
        duplex.read_message(5)
    assert duplex.returncode(5) is None
