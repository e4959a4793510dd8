"""A job's updates over one channel: what there is, fetched and applied, each with the seconds that it took.

Seconds are the host's CLOCK_MONOTONIC and do not hold the opening of the channel and the agent's start. What the board
says is not trusted: sizes are bounded here, contents are checked by :mod:`tunebench.targets.agent.transfer.update_check`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tunebench.targets.agent.transfer.update_server import MAX_UPDATE_B
from tunebench.targets.client.connection import mapping
from tunebench.targets.errors import ReplyError, TargetError
from tunebench.targets.transport.channel import Duplex


@dataclass(frozen=True)
class Fetched:
    """An update that came from a board.

    Attributes:
        seconds: from the request to the last byte: one round trip, then the bytes.
    """

    content: bytes
    seconds: float


@dataclass(frozen=True)
class Applied:
    """What a board made of an update that it was sent.

    Attributes:
        refused: why it was not taken; ``None``: it is in force.
        seconds: from the first byte to the board's answer, less ``apply_s``.
        apply_s: what the board took to check it and put it in force, by its own clock.
        serving: SHA-256 of the safetensors file in force afterwards; ``None``: the base weights alone.
    """

    refused: str | None
    seconds: float
    apply_s: float
    serving: str | None


class UpdateChannel:
    """The agent's ``update`` command, as a context manager.

    Args:
        duplex: the channel, on which the command was started.
        board_id: names the board in errors.
        answer: reads the next answer within some seconds; raises for an agent's refusal.
        command_s: bound of an answer.
    """

    def __init__(
        self,
        duplex: Duplex,
        board_id: str,
        answer: Callable[[Duplex, float], dict[str, Any]],
        command_s: float,
    ) -> None:
        self._duplex = duplex
        self._board_id = board_id
        self._answer = answer
        self._command_s = command_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(TargetError):
            self._ask({"do": "end"})
        self._duplex.close()

    def listed(self) -> dict[str, Any]:
        """Return the index as the board tells it, unchecked."""
        self._ask({"do": "list"})
        return mapping(self._answer(self._duplex, self._command_s).get("updates"))

    def fetch(self, name: str) -> Fetched:
        """Fetch an update's bytes as they travel."""
        begun_s = time.monotonic()
        self._ask({"do": "send", "name": name})
        size_b = self._answer(self._duplex, self._command_s).get("size_b")
        if type(size_b) is not int or not 0 <= size_b <= MAX_UPDATE_B:
            raise ReplyError(f"{self._board_id}: an update of {str(size_b)[:50]} bytes")
        content = self._duplex.read_exact(size_b)
        return Fetched(content, time.monotonic() - begun_s)

    def apply(self, content: bytes, sha256: str, *, packed: bool, bound_s: float = 0.0) -> Applied:
        """Send an update to be checked and put in force.

        Args:
            sha256: of ``content``, as the board is to check it.
            packed: it is compressed.
            bound_s: what the link needs for it, on top of a command's time.
        """
        asked = {"do": "apply", "size_b": len(content), "sha256": sha256, "packed": packed}
        begun_s = time.monotonic()
        self._ask(asked)
        self._duplex.send(content, self._command_s + bound_s)
        answer = self._answer(self._duplex, self._command_s + bound_s)
        total_s = time.monotonic() - begun_s
        apply_s, serving = answer.get("apply_s"), answer.get("serving")
        if not isinstance(apply_s, int | float) or not 0 <= apply_s <= total_s:
            raise ReplyError(f"{self._board_id}: an update was applied in {str(apply_s)[:50]} s")
        refused = None if answer.get("applied") is True else str(answer.get("reason"))[:500]
        in_force = serving[:64] if isinstance(serving, str) else None
        return Applied(refused, total_s - apply_s, float(apply_s), in_force)

    def _ask(self, request: dict[str, Any]) -> None:
        self._duplex.send_message({"update": request})
