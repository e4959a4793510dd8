"""The agent's command: what the host asks of it, line by line."""

from __future__ import annotations

import io
import sys

import pytest

from tunebench.targets.agent import cli
from tunebench.targets.agent.workdir import AgentError


def test_requests_are_answered_line_by_line(monkeypatch):
    class Stream:
        def __init__(self, data: bytes = b"") -> None:
            self.buffer = io.BytesIO(data)

    monkeypatch.setattr(sys, "stdin", Stream(b'@tb1 {"ping": 3}\n{"harvest": true}\n{"odd": 1}\n'))
    monkeypatch.setattr(sys, "stdout", Stream())
    assert cli._request("harvest") is True
    assert b'"pong": 3' in sys.stdout.buffer.getvalue()
    with pytest.raises(AgentError, match="expected a ping or 'job'"):
        cli._request("job")
    with pytest.raises(AgentError, match="ended"):
        cli._request("job")
