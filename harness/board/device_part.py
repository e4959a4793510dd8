"""Call a cut network through one channel: the board runs its part, this host answers with the outputs of the rest.

What the board says is not trusted: a tensor has the size that its cut has, a time is a number that can be. Seconds are of
the board's clock, but for those of this host's own part.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunebench.targets.errors import ReplyError, TargetError
from tunebench.targets.sanitize import printable
from tunebench.targets.transport.channel import Duplex
from tunebench.workloads.deploy import frames
from tunebench.workloads.deploy.device_parts import SAMPLES, Crossing


class _Untrusted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, str_max_length=200)


class _Ready(_Untrusted):
    samples: int = Field(ge=1, le=SAMPLES)
    cuts: list[str] = Field(max_length=512)


class _Times(_Untrusted):
    device_s: float = Field(default=0.0, ge=0)
    total_s: float = Field(ge=0)


_Facts = TypeVar("_Facts", bound=_Untrusted)


@dataclass(frozen=True)
class Called:
    """One call of a cut network, from the sample on the board to the outputs there.

    Attributes:
        device_s: the board's part.
        transfer_s: what is left of the total: there and back, with all that the link and SSH add.
        remote_s: the host's part, by the host's clock.
    """

    device_s: float
    transfer_s: float
    remote_s: float
    total_s: float
    outputs: bytes


class DevicePartChannel:
    """A board's program that serves the first part of a network, as a context manager.

    Args:
        duplex: the channel; the agent has become that program.
        board_id: names the board in errors.
        bound_s: of an answer, beyond what its bytes need.

    Raises (all methods):
        ReplyError: what came is not of the agreed form.
        LinkError: the link broke, or the board fell silent.
    """

    def __init__(self, duplex: Duplex, board_id: str, bound_s: float) -> None:
        self._duplex, self._board_id, self._bound_s = duplex, board_id, bound_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(TargetError):
            self._ask(do="end")
        self._duplex.close()

    def ready(self, cuts: list[str]) -> int:
        """Wait until the board has loaded its parts; return how many samples it has.

        Args:
            cuts: those that it must have.
        """
        ready = self._told(_Ready)
        if ready.cuts != cuts:
            raise ReplyError(
                f"{self._board_id}: it serves other cuts than it was given: {str(ready.cuts)[:200]}"
            )
        return ready.samples

    def whole(self, at: int, answer_b: int) -> bytes:
        """Return the outputs of the whole network for a sample, computed on the board."""
        self._ask(do="whole", at=at)
        return self._tensor(answer_b)

    def call(
        self, crossing: Crossing, at: int, remote: Callable[[bytes], bytes] | None, link_s: float = 0.0
    ) -> Called:
        """Call the network for a sample.

        Args:
            crossing: where it is cut.
            at: number of the sample.
            remote: the host's part, from what crosses to the outputs; None: nothing is left, and nothing crosses.
            link_s: what the link needs at least.
        """
        self._ask(do="call", cut=crossing.cut, at=at)
        outputs, remote_s = b"", 0.0
        if remote is not None:
            tensor = self._tensor(crossing.size_b, link_s)
            begun_s = time.perf_counter()
            outputs = remote(tensor)
            remote_s = time.perf_counter() - begun_s
            self._duplex.send(outputs, self._bound_s + link_s)
        times = self._told(_Times, link_s)
        return Called(
            times.device_s,
            max(0.0, times.total_s - times.device_s - remote_s),
            remote_s,
            times.total_s,
            outputs,
        )

    def echo(self, size_b: int, answer_b: int) -> float:
        """Return the seconds in which so many bytes come and an answer goes back: the link alone."""
        self._ask(do="echo", at=0, size_b=size_b)
        self._tensor(size_b)
        self._duplex.send(b"\0" * answer_b, self._bound_s)
        return self._told(_Times).total_s

    def _ask(self, **request: Any) -> None:
        self._duplex.send(json.dumps(request).encode("ascii") + b"\n")

    def _tensor(self, size_b: int, link_s: float = 0.0) -> bytes:
        return self._frame(frames.TENSOR, link_s, size_b)

    def _told(self, form: type[_Facts], link_s: float = 0.0) -> _Facts:
        try:
            return form.model_validate(frames.facts_of(self._frame(frames.TEXT, link_s)))
        except (ValidationError, frames.FrameError) as error:
            raise ReplyError(f"{self._board_id}: partition: {str(error)[:300]}") from None

    def _frame(self, kind: int, link_s: float, size_b: int | None = None) -> bytes:
        """Return the content of the next frame, of the kind and the size that are due."""
        bound_s = self._bound_s + link_s
        try:
            head = frames.unframed(self._duplex.read_exact(frames.HEAD_B, bound_s))
        except frames.FrameError as error:
            raise ReplyError(f"{self._board_id}: {error}") from None
        if head.kind == frames.FAULT:
            said = printable(self._duplex.read_exact(head.size_b, bound_s).decode("ascii", "replace"))
            raise ReplyError(f"{self._board_id}: the board's part: {said}")
        if head.kind != kind or size_b not in (None, head.size_b):
            raise ReplyError(
                f"{self._board_id}: a frame of kind {head.kind} and {head.size_b} bytes, expected kind {kind}"
                + (f" and {size_b} bytes" if size_b is not None else "")
            )
        return self._duplex.read_exact(head.size_b, bound_s)
