"""Tune a board for a run: put back what a dead run left, set what ``[board.tuning]`` asks for, undo it at the end.

The undo list is the board's own (``undo.json`` in its working directory), so that any later run can put back what
an earlier one could not. All of it happens while the board's lease is ours.
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
    """Tune one board for one run; a context: leaving it puts everything back.

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
        owner: Owner,
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
        """Return the settings that hold now because they were asked for: operation -> value."""
        return {change.op: change.after or "done" for change in self.report if change.holds}

    def prepare(self, probe: Probe) -> Probe:
        """Put back what an earlier run left, then set what is wanted.

        Returns:
            the probe, made anew if the board is another now.

        Raises:
            TuningError: it failed and is required.
        """
        changed = self._recover() if probe.undo_pending else False
        settings = self._keys.wanted()
        if settings:
            self._tune(settings)
            changed = True
        if self.faults and self._keys.required:
            raise TuningError("[board.tuning] is required: " + "; ".join(self.faults))
        if not changed:
            return probe
        tuned_probe = self._link.persist(lambda: self._link.board.probe([], self._run_id))
        return tuned_probe.with_python_of(probe)

    @property
    def _run_id(self) -> str:
        return str(self._owner.token)

    def _recover(self) -> bool:
        """Put back what is on the undo list; tell whether anything was tried."""
        board = self._link.board
        reply = self._link.persist(lambda: board.untune(self._owner))
        if reply.kept:
            self._note(f"left tuned: {reply.kept}")
            return False
        for change in reply.changes:
            self._note(f"{_whose(change)} left the board tuned; " + _sentence(change))
            if change.state == "failed":
                self.faults.append(
                    f"left over from {_whose(change)}: {change.op} is {change.after}: {change.reason}"
                )
        return True

    def _tune(self, settings: Mapping[str, str]) -> None:
        board = self._link.board
        self._tuned = True  # also if the answer is lost: the board may be tuned
        reply = self._link.persist(lambda: board.tune(self._owner, settings))
        self.report = reply.changes
        for change in self.report:
            self._note("tuning: " + _sentence(change))
            if not change.holds:
                self.faults.append(f"{change.op}: {change.reason or change.state}")

    def restore(self) -> None:
        """Put everything back, also after Ctrl-C or on a board that is given up; tell the user where that fails."""
        if not self._tuned:
            return
        for is_last in (False, True):
            try:
                self._put_back(self._link.board)
            except TargetError as error:
                if is_last:
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
        for change in reply.changes:
            self._note("tuning: " + _sentence(change))


def _sentence(change: Change) -> str:
    """Return a sentence on one change."""
    if change.state == "set":
        return f"{change.op}: {change.before or 'unknown'} -> {change.after}" + (
            " (sudo)" if change.how == "sudo" else ""
        )
    if change.state == "already":
        return f"{change.op}: is {change.after} already"
    if change.state == "restored":
        note = f" ({change.reason})" if change.reason else ""
        return f"{change.op}: restored, {change.after} -> {change.before}{note}"
    if change.state in ("rebooted", "left"):
        return f"{change.op}: nothing to put back: {change.reason}"
    if change.state == "failed" and change.owner is not None:
        return f"{change.op}: could not be put back to {change.before}: {change.reason}"
    return f"{change.op}: {change.state}: {change.reason}"


def _whose(change: Change) -> str:
    owner = change.owner or Owner()
    return f"{str(owner.user)[:40]}@{str(owner.host)[:80]} (process {str(owner.pid)[:20]})"


def as_records(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Return what is stored of changes in ``env/``."""
    return [change.model_dump(exclude={"owner"}) for change in changes]
