"""A board's state around a run: what a dead run left is put back, what ``[board.tuning]`` asks for is set, then undone.

The undo list is the board's own (``undo.json`` in its working directory), so that any later run can put back what
one could not. All of it happens while the board's lease is ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunebench.harness.board.link import Link
from tunebench.harness.config.inventory import TuningKeys
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Change, Owner, Probe
from tunebench.targets.errors import BoardError, TargetError

Note = Callable[[str], None]


class TuningError(BoardError):
    """What ``[board.tuning]`` requires cannot be had: nothing is measured on this board."""


class Tuner:
    """Tunes one board for one run; a context: leaving it puts everything back.

    Args:
        link: to the board, whose payload is there and whose lease is ours.
        keys: ``[board.tuning]``.
        owner: as in the lease.
        note: tells the user.
        stopping: held while connections are cut at Ctrl-C.

    Attributes:
        report: what was set, as it is stored with the run.
        faults: why the board is not as it was asked to be.
    """

    def __init__(
        self,
        link: Link,
        keys: TuningKeys,
        owner: Mapping[str, Any],
        note: Note,
        stopping: threading.Lock,
    ) -> None:
        self._link = link
        self._keys = keys
        self._owner = owner
        self._note = note
        self._stopping = stopping
        self._tuned = False
        self.report: list[Change] = []
        self.faults: list[str] = []

    def __enter__(self) -> Tuner:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    @property
    def settings(self) -> dict[str, str]:
        """What holds now because it was asked for: operation -> value."""
        return {one.op: one.after or "done" for one in self.report if one.holds}

    def prepare(self, probe: Probe) -> Probe:
        """Put back what an earlier run left, then set what is wanted.

        Returns:
            the probe, made anew if the board is another now.

        Raises:
            TuningError: it failed and is required.
        """
        changed = self._recover() if probe.undo_pending else False
        wanted = self._keys.wanted()
        if wanted:
            self._tune(wanted)
            changed = True
        if self.faults and self._keys.required:
            raise TuningError("[board.tuning] is required: " + "; ".join(self.faults))
        if not changed:
            return probe
        again = self._link.persist(lambda: self._link.board.probe([], self._run_id))
        return again.with_python_of(probe)

    @property
    def _run_id(self) -> str:
        return str(self._owner["token"])

    def _recover(self) -> bool:
        """Put back what is on the undo list; whether anything was tried."""
        board = self._link.board
        reply = self._link.persist(lambda: board.untune(self._owner))
        if reply.kept:
            self._note(f"left tuned: {reply.kept}")
            return False
        for one in reply.changes:
            self._note(f"{_whose(one)} left the board tuned; " + told(one))
            if one.state == "failed":
                self.faults.append(f"left over from {_whose(one)}: {one.op} is {one.after}: {one.reason}")
        return True

    def _tune(self, wanted: Mapping[str, Any]) -> None:
        board = self._link.board
        self._tuned = True  # also if the answer is lost: the board may be tuned
        reply = self._link.persist(lambda: board.tune(self._owner, wanted))
        self.report = reply.changes
        for one in self.report:
            self._note("tuning: " + told(one))
            if not one.holds:
                self.faults.append(f"{one.op}: {one.reason or one.state}")

    def restore(self) -> None:
        """Put everything back, also after Ctrl-C or on a board that is out; says so where it cannot."""
        if not self._tuned:
            return
        for last in (False, True):
            try:
                self._put_back(self._link.board)
            except TargetError as error:
                if last:
                    self._note(f"could not be put back as it was; the next run on this board will: {error}")
            else:
                return

    def _put_back(self, board: Board) -> None:
        if not board.ssh.alive:
            with self._stopping:
                board.reconnect()
        reply = board.untune(self._owner)
        self._tuned = False
        if reply.kept:
            self._note(f"stays tuned until the next run: {reply.kept}")
        for one in reply.changes:
            self._note("tuning: " + told(one))


def told(one: Change) -> str:
    """A sentence on one change."""
    if one.state == "set":
        return f"{one.op}: {one.before or 'unknown'} -> {one.after}" + (
            " (sudo)" if one.how == "sudo" else ""
        )
    if one.state == "already":
        return f"{one.op}: is {one.after} already"
    if one.state == "restored":
        note = f" ({one.reason})" if one.reason else ""
        return f"{one.op}: restored, {one.after} -> {one.before}{note}"
    if one.state in ("rebooted", "left"):
        return f"{one.op}: nothing to put back: {one.reason}"
    if one.state == "failed" and one.owner is not None:
        return f"{one.op}: could not be put back to {one.before}: {one.reason}"
    return f"{one.op}: {one.state}: {one.reason}"


def _whose(one: Change) -> str:
    owner = one.owner or Owner()
    return f"{str(owner.user)[:40]}@{str(owner.host)[:80]} (process {str(owner.pid)[:20]})"


def as_records(found: Sequence[Change]) -> list[dict[str, Any]]:
    """What is stored in ``env/``."""
    return [one.model_dump(exclude={"owner"}) for one in found]
