"""Measure one point on the board: an ordinary run in a root of its own, gone on with where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import Request, Session, open_session
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Suite
from tunebench.harness.errors import UsageError
from tunebench.harness.farm.turns import Turns
from tunebench.harness.search.halves import Halves
from tunebench.harness.search.space import Point
from tunebench.reports.results import ResultsError, RunReader
from tunebench.reports.results.layout import run_folders
from tunebench.reports.studies.search.measured import board_s, values_in
from tunebench.reports.studies.search.model import Trial


class Interrupted(Exception):
    """Ctrl-C while a trial was measured: what is recorded stays."""


class BoardLost(Exception):
    """The board gave up before a trial was complete; the message says why."""


@dataclass(frozen=True)
class Bench:
    """Where trials are measured.

    Attributes:
        board: the one board.
        lab: its lab's name.
        halves: data and start weights of all trials.
        energy: whether energy is measured.
        command: the command line, as it is stored with each run.
        tell: told what happens.
    """

    board: BoardEntry
    lab: str
    halves: Halves
    energy: bool
    command: tuple[str, ...]
    tell: Callable[[str], None]

    def measure(self, number: int, point: Point, suite: Suite, root: Path) -> Trial:
        """Return the trial of a point; its run is found, gone on with, or begun.

        Args:
            number: of the trial.
            point: what is measured.
            suite: the suite at the point.
            root: results root of this trial alone.

        Raises:
            Interrupted, BoardLost: the trial is not complete; the same call goes on with it.
            UsageError: its unfinished run cannot be gone on with.
        """
        reader = complete_run(root)
        if reader is None:
            reader = self._run(self.halves.suite(suite, energy=self.energy), root)
        return as_trial(number, point, reader)

    def _run(self, suite: Suite, root: Path) -> RunReader:
        request = Request(
            suite=suite,
            boards=[self.board],
            lab=self.lab,
            out=root,
            resume=True,
            or_begin=True,
            command=self.command,
            data_dir=self.halves.data_dir,
            artifacts=self.halves.artifacts(suite),
        )
        with Turns() as turns:
            return RunReader(_measured(open_session(request, turns=turns, tell=self.tell)))


def _measured(session: Session) -> Path:
    """Run a session to its end and return its folder."""
    outcome = session.campaign(Silent()).run()
    complete = session.close(outcome)
    if outcome.interrupted:
        raise Interrupted
    if not complete or outcome.given_up:
        reasons = "; ".join(f"{board}: {reason}" for board, reason in outcome.given_up.items())
        raise BoardLost(reasons or "not all repetitions could be measured")
    return session.writer.path


def complete_run(root: Path) -> RunReader | None:
    """Return the complete run of a trial; None: there is none yet.

    Raises:
        UsageError: it is damaged.
    """
    for folder in run_folders(root) if root.is_dir() else ():
        try:
            reader = RunReader(folder)
        except ResultsError as error:
            raise UsageError(f"{folder}: {error}") from None
        if reader.complete:
            return reader
    return None


def as_trial(number: int, point: Point, reader: RunReader) -> Trial:
    """Return what the run of a point came to."""
    measured = values_in(reader.repetitions)
    missing = dict(measured.missing)
    if not reader.repetitions:
        skipped = [skip.reason for skip in (reader.manifest.skipped if reader.manifest else [])]
        missing = dict.fromkeys(missing, skipped[0] if skipped else "nothing was measured")
    failed = [rep for rep in reader.repetitions if rep.outcome != "ok"]
    if failed and failed[0].outcome_reason:
        missing = dict.fromkeys(missing, f"{failed[0].outcome}: {failed[0].outcome_reason}")
    return Trial(
        number=number,
        label=point.label,
        point=point.as_dict(),
        run_id=reader.plan_view.run_id,
        values=measured.values,
        missing={quantity: reason[:300] for quantity, reason in missing.items()},
        board_s=round(board_s(reader.repetitions), 3),
    )
