"""One board: probe, start, wait, harvest, clean. The only thing the harness needs of this package.

Four SSH channels a repetition (start, wait, harvest, clean); nothing crosses the link while the workload
runs. What the board says is not trusted: sizes, names, hashes and forms are checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunebench.targets.agent import protocol
from tunebench.targets.agent.doctor import bundle, trials
from tunebench.targets.agent.doctor.permissions import SCHEMA as EXAMINE_SCHEMA
from tunebench.targets.client import harvest_check
from tunebench.targets.client.connection import Connection, mapping
from tunebench.targets.client.examination import Examination, read_examination
from tunebench.targets.client.replies import (
    CaptureSummary,
    Change,
    Lease,
    LeftOut,
    Model,
    Owner,
    Probe,
    StartWarning,
    TrialEnd,
    TrialReport,
    TuningReply,
    read_probe,
    read_some,
)
from tunebench.targets.client.update_channel import UpdateChannel
from tunebench.targets.client.venv_replies import BuildEnd, BuildEvent, VenvFacts
from tunebench.targets.errors import ReplyError
from tunebench.targets.transport.channel import Duplex
from tunebench.targets.transport.clock_offset import Offset

#: Beyond what the board was told to wait, until its silence counts as a lost link.
_SILENCE_MARGIN_S = 10.0
#: A change of power mode stops and starts CPUs, and may have to be taken back.
TUNE_S = 300.0
#: There are fewer operations than that.
_MAX_CHANGES = 32
#: What a set-up may take on the slowest board and link. Signs of life prove none: a board can send them for ever.
LONGEST_BUILD_S = 4 * 3600.0


@dataclass(frozen=True)
class StartReply:
    """A job that runs, or was found.

    Attributes:
        state: ``running`` or ``done``; ``lost`` if an earlier start's supervisor died (it is not run again).
        temp_c: the board's temperature at the start, deg C; ``None`` when re-attached, or not readable.
        warnings: gates that were exceeded or could not be judged.
        offset: host clock less board clock, before the job.
    """

    state: str
    temp_c: float | None
    warnings: list[StartWarning]
    offset: Offset


@dataclass(frozen=True)
class Harvest:
    """A job's files by name (``exit.json``, ``out/result.json``, ...), verified; offset after the job.

    Attributes:
        left_out: files that were too large or of no regular kind.
    """

    files: dict[str, bytes]
    offset: Offset
    left_out: list[LeftOut] = field(default_factory=list)


class Board(Connection):
    """A board in use, as a context manager; one per thread. One method each command of the agent.

    Raises (all methods): the classes of :mod:`tunebench.targets.errors`, which say what to do about it.
    """

    def probe(self, interpreters: Sequence[Sequence[str]] = (), run_id: str | None = None) -> Probe:
        """Ask what the board is and has.

        Args:
            interpreters: commands of Pythons to look at; each takes up to a minute where torch is large.
            run_id: tell this run's jobs only.
        """
        commands = [list(command) for command in interpreters]
        with self._agent("probe") as duplex:
            duplex.send_message({"interpreters": commands, "run_id": run_id, "root": self.spec.root})
            bound_s = self.spec.timeouts.command_s + 250.0 * len(commands)
            answer = self._checked(self._answer(duplex, bound_s), protocol.PROBE_SCHEMA)
        try:
            return read_probe(answer, len(commands))
        except ValueError as error:
            raise ReplyError(f"{self.spec.id}: probe: {error}") from None

    def venv_facts(self, python: Sequence[str], name: str) -> VenvFacts:
        """Ask what decides on the virtual environment ``name``, and what is there already.

        Args:
            python: command of the Python that it will be made with.
        """
        request = {"action": "facts", "python": list(python), "name": name}
        return self._read(VenvFacts, self._environment(request, "facts"), "environment")

    def join_wheels(self, name: str, wheels: Sequence[Mapping[str, Any]]) -> None:
        """Have pushed chunks put together as wheels of an environment.

        Args:
            wheels: ``{"file", "sha256", "chunks": [names of blobs]}``, one for each wheel.
        """
        self._environment(
            {"action": "join", "name": name, "wheels": [dict(wheel) for wheel in wheels]}, "joined"
        )

    def build_venv(
        self,
        name: str,
        recipe: Mapping[str, Any],
        progress: Callable[[BuildEvent], None] | None = None,
        within_s: float = LONGEST_BUILD_S,
    ) -> BuildEnd:
        """Build a virtual environment. A build goes on without us; asking again follows it.

        Args:
            recipe: see :func:`tunebench.targets.agent.environment.venv_build.start`.
            progress: called with each event.
            within_s: how long all of it may last, whatever signs of life the board gives.
        """
        request = {"action": "build", "name": name, "recipe": dict(recipe)}
        return self._read(BuildEnd, self._environment(request, "built", progress, within_s), "environment")

    def _environment(
        self,
        request: dict[str, Any],
        key: str,
        progress: Callable[[BuildEvent], None] | None = None,
        within_s: float = LONGEST_BUILD_S,
    ) -> dict[str, Any]:
        """Return what the last message of the agent's ``environment`` command has under ``key``."""
        give_up_s = time.monotonic() + within_s
        with self._agent("environment") as duplex:
            duplex.send_message({"environment": {**request, "root": self.spec.root}})
            while True:
                answer = self._answer(duplex, self.spec.timeouts.command_s + 60.0)
                if isinstance(answer.get(key), dict):
                    return dict(answer[key])
                if time.monotonic() > give_up_s:
                    raise ReplyError(
                        f"{self.spec.id}: environment: no end in the time that it may take (a set-up:"
                        f" {LONGEST_BUILD_S / 3600:g} h), though the board says that it is at work."
                        " What it builds it goes on with; asking again follows it"
                    )
                if not isinstance(answer.get("progress"), dict):
                    raise ReplyError(f"{self.spec.id}: environment: {str(answer)[:200]}")
                event = self._read(BuildEvent, answer["progress"], "environment")
                if progress is not None:
                    progress(event)

    def start(self, job: dict[str, Any]) -> StartReply:
        """Start a job, or re-attach to the one of the same ``rep_id``: it never runs twice."""
        protocol.check_rep_id(job.get("rep_id"))
        with self._agent("start") as duplex:
            offset = self._exchange(duplex)
            # The board's gates judge the bound of the exchange too; only this side knows it.
            gates = {**mapping(job.get("gates")), "clock_bound_s": offset.bound_s}
            duplex.send_message({"job": {**job, "gates": gates}})
            answer = self._answer(duplex, self.spec.timeouts.command_s)
        if answer.get("started") is not True or answer.get("state") not in ("running", "done", "lost"):
            raise ReplyError(f"{self.spec.id}: start: {str(answer)[:200]}")
        temp_c = mapping(answer.get("conditions")).get("temp_c")
        if isinstance(temp_c, bool) or not isinstance(temp_c, int | float):
            temp_c = None
        warnings = read_some(StartWarning, answer.get("warnings"))
        return StartReply(answer["state"], None if temp_c is None else float(temp_c), warnings, offset)

    def wait(self, rep_id: str, timeout_s: float) -> str:
        """Block until the job has ended or ``timeout_s`` is over, without traffic.

        Returns:
            ``done``, ``running``, ``lost`` (it will never end by itself) or ``unknown`` (no such job).
        """
        command = ("wait", "--rep", protocol.check_rep_id(rep_id), "--timeout-s", f"{timeout_s:.3f}")
        with self._agent(*command) as duplex:
            state = self._answer(duplex, timeout_s + _SILENCE_MARGIN_S).get("state")
        if state not in ("done", "running", "lost", "unknown"):
            raise ReplyError(f"{self.spec.id}: wait: unknown state {str(state)[:50]!r}")
        return str(state)

    def harvest(self, rep_id: str) -> Harvest:
        """Fetch the files of a job that has ended (or was lost: then what there is of it)."""
        with self._agent("harvest", "--rep", protocol.check_rep_id(rep_id)) as duplex:
            offset = self._exchange(duplex)
            duplex.send_message({"harvest": True})
            answer = self._answer(duplex, self.spec.timeouts.command_s)
            size_b = answer.get("tar_b")
            if type(size_b) is not int or not 0 <= size_b <= protocol.MAX_HARVEST_B:
                raise ReplyError(
                    f"{self.spec.id}: harvest of {str(size_b)[:50]} bytes, at most {protocol.MAX_HARVEST_B}"
                )
            content = duplex.read_exact(size_b)
        files = harvest_check.unpack(content, str(answer.get("sha256")))
        harvest_check.verify(files, rep_id)
        return Harvest(files, offset, read_some(LeftOut, answer.get("left_out")))

    def updates(self, rep_id: str) -> UpdateChannel:
        """Open a channel of its own for the updates of a job that has ended: a context manager."""
        duplex = self._agent("update", "--rep", protocol.check_rep_id(rep_id))
        return UpdateChannel(duplex, self.spec.id, self._answer, self.spec.timeouts.command_s)

    def partition(self, rep_id: str) -> Duplex:
        """Open a channel to the program that serves the first part of an ended job's network, which is cut.

        Returns:
            the channel: what comes next on it is that program's, not the agent's.
        """
        duplex = self._agent("partition", "--rep", protocol.check_rep_id(rep_id))
        try:
            duplex.send_message({"partition": {}})
            self._answer(duplex, self.spec.timeouts.command_s)
        except BaseException:
            duplex.close()
            raise
        return duplex

    def clean(self, rep_id: str, hold_s: float = 0.0) -> None:
        """End what is left of a job and remove its files; a job that is gone is fine.

        Args:
            hold_s: for how long its owner keeps the board for the next one; 0 gives the lease up.
        """
        command = ("clean", "--rep", protocol.check_rep_id(rep_id), "--hold-s", f"{hold_s:.3f}")
        with self._agent(*command) as duplex:
            answer = self._answer(duplex, self.spec.timeouts.command_s)
        if answer.get("cleaned") is not True:
            raise ReplyError(f"{self.spec.id}: clean: {str(answer)[:200]}")

    def occupy(self, owner: Owner, hold_s: float, wait_s: float = 0.0, dead: Owner | None = None) -> Lease:
        """Take the board's lease before a campaign's first repetition, or extend one's own between two.

        Args:
            owner: ``user``, ``host``, ``pid`` and ``token``; who shows the same token owns the lease.
            hold_s: for how long, unless a repetition is started.
            wait_s: how long the agent waits on the board, without traffic, for another's lease to end.
            dead: an owner that is known to be dead: its lease is taken over, if it is still that owner's.

        Returns:
            the lease; it says from whom it was taken over if another's had run out.

        Raises:
            ConditionError: (kind ``lease``) another has it; the message says who, and until when.
        """
        request = {"do": "take", "owner": owner.stored(), "hold_s": hold_s, **_dead(dead)}
        with self._agent("lease", "--wait-s", f"{wait_s:.3f}") as duplex:
            duplex.send_message({"lease": request})
            answer = self._answer(duplex, self.spec.timeouts.command_s + wait_s)
        if not isinstance(answer.get("lease"), dict):
            raise ReplyError(f"{self.spec.id}: lease: {str(answer)[:200]}")
        return self._read(Lease, answer["lease"], "lease")

    def release(self, owner: Owner, force: bool = False, dead: Owner | None = None) -> Lease | None:
        """Give one's own lease up, or end an expired one; with ``force`` anybody's (the next lease says so).

        Args:
            dead: an owner that is known to be dead: its lease is ended, too, if it is still that owner's.

        Returns:
            the lease that was there.

        Raises:
            ConditionError: (kind ``lease``) another has it, and ``force`` is not set.
        """
        with self._agent("lease") as duplex:
            request = {"do": "release", "owner": owner.stored(), "force": force, **_dead(dead)}
            duplex.send_message({"lease": request})
            ended = self._answer(duplex, self.spec.timeouts.command_s).get("lease")
        return self._read(Lease, ended, "lease") if isinstance(ended, dict) else None

    def tune(self, owner: Owner, wanted: Mapping[str, Any]) -> TuningReply:
        """Set governor, clocks, power mode: see :func:`tunebench.targets.agent.tuning.apply.tune`.

        Raises:
            ConditionError: (kind ``lease``) another has the board.
        """
        request = {"root": self.spec.root, "owner": owner.stored(), "wanted": dict(wanted)}
        return self._changes("tune", request, "tuned")

    def untune(self, owner: Owner) -> TuningReply:
        """Put back what the board's undo list says: see :func:`tunebench.targets.agent.tuning.apply.untune`.

        Raises:
            ConditionError: (kind ``lease``) another has the board.
            UndoError: the list cannot be understood.
        """
        return self._changes("untune", {"owner": owner.stored()}, "untuned")

    def absent_stressors(self, stressors: Sequence[Mapping[str, Any]], owner: Owner) -> dict[str, str]:
        """Ask which stressors this board cannot have; a power mode is switched to once, and back.

        Args:
            owner: as in the lease.
            stressors: each as a job names it: ``id``, ``kind``, ``params``.

        Returns:
            id -> why not; those that it can have are not in it.
        """
        request = {
            "root": self.spec.root,
            "owner": owner.stored(),
            "stressors": [dict(stressor) for stressor in stressors],
        }
        with self._agent("stressors") as duplex:
            duplex.send_message({"stressors": request})
            reasons = self._answer(duplex, self.spec.timeouts.command_s + TUNE_S).get("absent")
        if not isinstance(reasons, dict) or not all(isinstance(reason, str) for reason in reasons.values()):
            raise ReplyError(f"{self.spec.id}: stressors: {str(reasons)[:200]}")
        return {str(ident): reason[:500] for ident, reason in reasons.items()}

    def examine(self, wanted: Mapping[str, Any]) -> Examination:
        """Ask what the account may do on the board, including what ``[board.tuning]`` needs.

        Raises:
            ReplyError: the answer is not of the agreed form, or asks for a right that tunebench never needs.
        """
        with self._agent("examine") as duplex:
            duplex.send_message({"examine": {"root": self.spec.root, "wanted": dict(wanted)}})
            answer = self._checked(self._answer(duplex, self.spec.timeouts.command_s), EXAMINE_SCHEMA)
        return read_examination(answer, self.spec.id)

    def trials(
        self, interpreter: Sequence[str], names: Sequence[str] | None = None, place: str | None = None
    ) -> list[TrialEnd]:
        """Try, in children on the board, what an interpreter may import and die of at its first use.

        Args:
            interpreter: words that start it.
            names: of trials; ``None``: all.
            place: device, ``cpu`` or ``cuda``; ``None``: CUDA where its torch sees one.

        Returns:
            a row for each package that is there.
        """
        with self._agent("trials") as duplex:
            request = {"interpreter": list(interpreter), "names": names and list(names), "place": place}
            duplex.send_message({"trials": request})
            bound_s = self.spec.timeouts.command_s + trials.LIMIT_S * len(trials.TRIALS)
            answer = self._checked(self._answer(duplex, bound_s), trials.SCHEMA)
        return self._read(TrialReport, answer, "trials").trials

    def bundle(self) -> tuple[CaptureSummary, dict[str, bytes]]:
        """Fetch a redacted capture of the board's sensor tree: the board's summary, and the files by path.

        Raises:
            ReplyError: the capture is not of the agreed form or size.
        """
        with self._agent("bundle") as duplex:
            duplex.send_message({"bundle": {"root": self.spec.root}})
            answer = self._answer(duplex, self.spec.timeouts.command_s + bundle.TOTAL_S + 60.0)
            size_b = answer.get("tar_b")
            # A tar pads each file to 512 bytes and heads it with as much.
            limit_b = bundle.MAX_TOTAL_B + 1536 * bundle.MAX_FILES
            if type(size_b) is not int or not 0 <= size_b <= limit_b:
                raise ReplyError(f"{self.spec.id}: bundle of {str(size_b)[:50]} bytes, at most {limit_b}")
            content = duplex.read_exact(size_b)
        files = harvest_check.unpack(content, str(answer.get("sha256")), bundle.MAX_FILES + 100)
        return self._read(CaptureSummary, mapping(answer.get("summary")), "bundle"), files

    def _changes(self, command: str, request: dict[str, Any], key: str) -> TuningReply:
        """Ask for a table of changes; its rows come checked or not at all."""
        with self._agent(command) as duplex:
            duplex.send_message({command: request})
            answer = self._answer(duplex, self.spec.timeouts.command_s + TUNE_S)
        rows = answer.get(key)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ReplyError(f"{self.spec.id}: {command}: {str(answer)[:200]}")
        kept = answer.get("kept")
        return TuningReply(
            [self._read(Change, row, "tuning") for row in rows[:_MAX_CHANGES]],
            str(kept)[:200] if kept else None,
        )

    def _read(self, model: type[Model], value: Any, command: str) -> Model:
        try:
            return model.read(value)
        except ValueError as error:
            raise ReplyError(f"{self.spec.id}: {command}: {str(error)[:300]}") from None


def _dead(owner: Owner | None) -> dict[str, Any]:
    return {} if owner is None else {"dead": owner.stored()}
