"""Make a run from start to end, for the CLI and for the pytest plugin: plan, results directory, campaign, manifest."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunebench.harness import __version__
from tunebench.harness.artifacts.build_cache import keep
from tunebench.harness.artifacts.gather import BASES, Artifacts, Progress, gather
from tunebench.harness.board.drawing import Drawn, draw, pools_of
from tunebench.harness.board.environment import utc_now
from tunebench.harness.board.substitutes import Substitutes
from tunebench.harness.campaign import extension
from tunebench.harness.campaign.board_run import OnRecord
from tunebench.harness.campaign.campaign import Campaign
from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import Observer
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import MAX_BLOCKS, Suite
from tunebench.harness.errors import (
    EXIT_INFRA,
    EXIT_INTERRUPTED,
    EXIT_MEASURED,
    EXIT_OK,
    EXIT_PARTIAL,
    UsageError,
)
from tunebench.harness.farm.provider import FarmError
from tunebench.harness.farm.source import parse, provider
from tunebench.harness.farm.turns import Turns
from tunebench.harness.hints import anew
from tunebench.harness.planning import attempts
from tunebench.harness.planning.durations import Durations, durations_below
from tunebench.harness.planning.plan import Plan, differences, make_plan
from tunebench.harness.planning.repetition import covers
from tunebench.harness.planning.runs.unfinished import nothing_to_resume, unfinished_run
from tunebench.reports.records import Skip
from tunebench.reports.results import ResultsError, RunReader, RunWriter


@dataclass(frozen=True)
class Request:
    """What a user asked for.

    Attributes:
        resume: continue the newest unfinished run of this suite below ``out``; it is a mistake if there is none.
        or_begin: with ``resume``: begin a run where there is none to continue.
        resume_within_s: with ``resume``: leave runs alone that were begun longer ago; None: however long.
        leave_out_missing: complete the run without boards that were never reached, instead of leaving it open for them.
        command: the command line that asks, as it is stored with the run and repeated in hints.
        add_blocks: add so many blocks to the newest finished run of the suite; 0: none.
        artifacts: what the boards are given; None: it is gathered for the suite.
    """

    suite: Suite
    boards: Sequence[BoardEntry]
    lab: str
    out: Path
    resume: bool = False
    command: Sequence[str] = ()
    data_dir: Path | None = None
    or_begin: bool = False
    resume_within_s: float | None = None
    leave_out_missing: bool = False
    add_blocks: int = 0
    artifacts: Artifacts | None = None


@dataclass
class Session:
    """A run that is ready to start.

    Attributes:
        plan: another one once a board has taken a lost one's place.
        left_out_before: what the run had left out when it ended, before blocks were added: it stays out.
        turns: at boards that were drawn from farms, until their queues take them over.
        candidates: boards of the inventory that a draw may take.
        tell: told for whom a draw waits.
    """

    request: Request
    plan: Plan
    artifacts: Artifacts
    writer: RunWriter
    history: Durations
    started_utc: str
    left_out_before: Sequence[Skip] = ()
    turns: Turns = field(default_factory=Turns)
    candidates: Sequence[BoardEntry] = ()
    tell: Callable[[str], None] = lambda _: None

    def campaign(self, observer: Observer, on_record: OnRecord | None = None) -> Campaign:
        """Return the campaign that will run this plan."""
        campaign = Campaign(
            self.plan,
            self.artifacts,
            self.writer,
            observer,
            history=self.history,
            on_record=on_record,
            leave_out_missing=self.request.leave_out_missing,
            turns=self.turns,
            substitutes=Substitutes(
                self.candidates,
                self.plan,
                turns=self.turns,
                payload=self.artifacts.payload,
                tell=self.tell,
                replan=self._replan,
            ),
        )
        campaign.outcome.leave_out(self.left_out_before)
        return campaign

    def _replan(self, drawn: Drawn, lost: Skip) -> Plan:
        """Write and return the plan with a board that was drawn in place of one that is lost."""
        before = self.plan
        boards = {board.id for board in (*before.boards, *drawn.boards)}
        plan = _plan(
            # In the inventory's order, as a run that is resumed finds them.
            replace(self.request, boards=[board for board in self.candidates if board.id in boards]),
            self.artifacts,
            before.run_id,
            before.earlier_blocks,
            [*(skip for skip in before.skipped if skip.of_whole_board), lost, *drawn.left_out],
        )
        self.writer.replan({**self.writer.plan, **plan.as_dict()})
        self.plan = plan
        return plan

    def close(self, outcome: CampaignOutcome) -> bool:
        """Write ``run.json`` if every repetition is accounted for.

        Returns:
            Whether the run is complete; if not, it stays resumable.
        """
        unaccounted = [
            planned
            for planned in attempts.still_open(self.plan.repetitions, self.writer.stored)
            if not any(covers(skip, planned) for skip in outcome.skipped)
        ]
        if outcome.interrupted or unaccounted:
            self.writer.close()
            return False
        suite = self.plan.suite
        self.writer.finish(
            suite=suite.name,
            level=suite.header.level,
            command=list(self.request.command),
            tunebench=__version__,
            started_utc=self.started_utc,
            ended_utc=utc_now(),
            boards=[board.id for board in self.plan.boards],
            blocks=suite.header.blocks,
            baselines=dict(suite.baselines),
            delta=suite.header.delta.model_dump(),
            skipped=outcome.skipped,
        )
        return True


def new_run_id() -> str:
    """Return UTC time and a short random part: run ids sort by age and do not collide."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class DryRun:
    """What a run would be.

    Attributes:
        to_train: task -> how many pretraining bases have no start weights yet: they are trained on this host first.
    """

    plan: Plan
    durations: Durations
    to_train: Mapping[str, int]


def dry_run(request: Request, progress: Progress | None = None) -> DryRun:
    """Return the plan and what is known of it, without touching a board or the results.

    Of boards that are drawn from a farm, the first ones stand for those that will be free.
    """
    firsts = {board.id for pool, boards in pools_of(request.boards).items() for board in boards[: pool.count]}
    request = replace(
        request, boards=[board for board in request.boards if board.pool is None or board.id in firsts]
    )
    artifacts = gather(request.suite, data_dir=request.data_dir, progress=progress, train_bases=False)
    plan = _plan(request, artifacts, "dry-run")
    return DryRun(plan, durations_below(request.out, request.lab), artifacts.to_train)


def open_session(
    request: Request,
    progress: Progress | None = None,
    *,
    turns: Turns | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Session:
    """Plan a run and make its results directory, or find the one to resume.

    Args:
        request: what is asked for.
        progress: told what is made on this host.
        turns: keeps turns at boards that are drawn from farms; without it they end with the process at the latest.
        tell: told for whom a draw waits.

    Raises:
        FarmError: not so many boards of a farm can be had.
        UsageError: the directory cannot be written, there is nothing to resume, or the run to resume differs from what is
            asked.
    """
    unfinished = (
        unfinished_run(request.out, request.suite.name, within_s=request.resume_within_s)
        if request.resume
        else None
    )
    if request.resume and unfinished is None and not request.or_begin:
        raise UsageError(nothing_to_resume(request.out, request.suite.name, request.command))
    check_writable(request.out)
    artifacts = request.artifacts or gather(request.suite, data_dir=request.data_dir, progress=progress)
    history = durations_below(request.out, request.lab)
    if request.add_blocks:
        return _extend(request, artifacts, history, progress)
    if unfinished is not None:
        return _resume(request, artifacts, unfinished, history, progress)
    keep([artifacts.payload, *artifacts.own.values()])
    turns = turns if turns is not None else Turns()
    drawn = draw(request.boards, turns, artifacts.payload, tell)
    candidates = request.boards
    request = replace(request, boards=drawn.boards)
    plan = _plan(request, artifacts, new_run_id(), left_out=drawn.left_out)
    try:
        started_utc = utc_now()
        content = {**plan.as_dict(), "cargo": artifacts.hashes(), "started_utc": started_utc}
        writer = RunWriter.create(request.out, request.lab, plan.run_id, content)
    except ResultsError as error:
        raise UsageError(str(error)) from None
    return Session(
        request,
        plan,
        artifacts,
        writer,
        history,
        started_utc,
        turns=turns,
        candidates=candidates,
        tell=tell,
    )


def _plan(
    request: Request,
    artifacts: Artifacts,
    run_id: str,
    earlier_blocks: Sequence[int] = (),
    left_out: Sequence[Skip] = (),
) -> Plan:
    return make_plan(
        request.suite,
        request.boards,
        run_id=run_id,
        lab=request.lab,
        command=request.command,
        unavailable=artifacts.unavailable,
        impossible=artifacts.impossible,
        earlier_blocks=earlier_blocks,
        left_out=left_out,
    )


def _on_its_boards(request: Request, run: RunReader) -> Request:
    """Return the request for a run that was begun: what a farm gave it stays, others do not come.

    Raises:
        FarmError: a farm has one of its boards, and it cannot be used just now.
    """
    had = set(run.plan_view.boards)
    boards = [board for board in request.boards if board.id in had or not board.found]
    gone = had - {board.id for board in boards}
    for farm in {str(board.farm): None for board in request.boards if board.found} if gone else ():
        for board in provider(parse(farm)).boards():
            if board.name in gone:
                problem = (
                    board.problem or "it is not among the boards that are asked for, or has just come back"
                )
                raise FarmError(
                    f"{run.path}: cannot go on now: {board.name} of {farm}: {problem}; give the command again later"
                )
    return replace(request, boards=boards)


def _given_back(run: RunReader) -> list[Skip]:
    """Return the boards that were drawn for a run and given back, as its plan says."""
    skips = [Skip.model_validate(skip) for skip in run.plan_view.skipped]
    return [skip for skip in skips if skip.of_whole_board]


def check_writable(out: Path) -> None:
    """Write and remove a file, so that a run fails before a board is touched, not after hours of measuring.

    Raises:
        UsageError: names the directory and the reason.
    """
    probe = out / f".tunebench-{secrets.token_hex(4)}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from None


def _of_all_blocks(request: Request, artifacts: Artifacts, progress: Progress | None) -> Artifacts:
    """Return the artefacts for a run that has another number of blocks than was asked: it may begin from more bases."""
    if request.suite.header.bases == 1:
        return artifacts
    return gather(request.suite, data_dir=request.data_dir, progress=progress)


def _resume(
    request: Request,
    artifacts: Artifacts,
    unfinished: RunReader,
    history: Durations,
    progress: Progress | None,
) -> Session:
    """Open a run that was started before.

    Raises:
        UsageError: what is asked differs from what was started, or the results cannot be opened.
    """
    stored = unfinished.plan_view
    request = _on_its_boards(request, unfinished)
    if stored.earlier_blocks and stored.suite.blocks is not None:
        # Blocks were being added when it stopped: it goes on to as many as it was to have.
        request = replace(request, suite=request.suite.resized(stored.suite.blocks))
        artifacts = _of_all_blocks(request, artifacts, progress)
    plan = _plan(
        request,
        artifacts,
        stored.run_id or unfinished.path.name,
        stored.earlier_blocks,
        _given_back(unfinished),
    )
    _refuse_other_plan(unfinished, plan, request.command)
    _refuse_other_artifacts(unfinished, artifacts, request.command)
    try:
        writer = RunWriter.open(unfinished.path)
    except ResultsError as error:
        raise UsageError(str(error)) from None
    left_out = extension.left_out_before(unfinished)
    return Session(request, plan, artifacts, writer, history, str(stored.started_utc), left_out)


def _extend(request: Request, artifacts: Artifacts, history: Durations, progress: Progress | None) -> Session:
    """Open the newest finished run of the suite and add blocks to it: seeds, orders and ids go on where they ended.

    Raises:
        UsageError: no run can have more blocks, or what is asked differs from what was run.
    """
    finished = extension.finished_run(request.out, request.suite.name, request.command)
    stored, had = finished.plan_view, extension.blocks_of(finished)
    run_id, option = stored.run_id or finished.path.name, "--add-blocks"
    request = _on_its_boards(request, finished)
    as_it_was = replace(request, suite=request.suite.resized(had))
    before = _plan(as_it_was, artifacts, run_id, stored.earlier_blocks)
    _refuse_other_plan(finished, before, request.command, option)
    if had + request.add_blocks > MAX_BLOCKS:
        had_text = f"{had} block{'s' if had != 1 else ''}"
        raise UsageError(
            f"{option} {request.add_blocks}: {finished.path} has {had_text}, and {MAX_BLOCKS} are the most"
        )
    request = replace(request, suite=request.suite.resized(had + request.add_blocks))
    artifacts = _of_all_blocks(request, artifacts, progress)
    _refuse_other_artifacts(finished, artifacts, request.command, option)
    plan = _plan(request, artifacts, run_id, (*stored.earlier_blocks, had))
    left_out, started_utc = extension.left_out_before(finished), str(stored.started_utc)
    content = {
        **plan.as_dict(),
        "cargo": artifacts.hashes(),
        "started_utc": started_utc,
        "extended": extension.extensions(finished, utc_now()),
    }
    try:
        writer = RunWriter.extend(finished.path, content)
    except ResultsError as error:
        raise UsageError(str(error)) from None
    return Session(request, plan, artifacts, writer, history, started_utc, left_out)


def _refuse_other_plan(run: RunReader, plan: Plan, command: Sequence[str], option: str = "--resume") -> None:
    """Refuse to go on with a run under another suite or on other boards.

    Raises:
        UsageError: names what differs.
    """
    if run.plan_view.sha256 == plan.sha256:
        return
    changed = differences(_comparable(run.plan), _comparable(plan.as_dict()))
    raise UsageError(
        f"{run.path}: cannot be {_WORDS[option]}, because what is asked differs from what was started:\n  "
        + "\n  ".join(changed or ["the boards' connection details"])
        + f"\nGive the same inventory, suite and options, or start a new run: `{anew(command)}`"
    )


#: Option -> what it does to a run.
_WORDS = {"--resume": "resumed", "--add-blocks": "extended"}


def _refuse_other_artifacts(
    unfinished: RunReader, artifacts: Artifacts, command: Sequence[str], option: str = "--resume"
) -> None:
    """Refuse to go on with a run with other files than it was started with: equal names with other contents differ.

    Raises:
        UsageError: names what has changed. Runs of older versions did not write it down; they are believed.
    """
    before = unfinished.plan_view.artifacts
    changed = differences(before, _as_before(artifacts.hashes(), before)) if before is not None else []
    if not changed:
        return
    lines = [
        "payload: tunebench's own code that runs on the boards" if line.startswith("payload: ") else line
        for line in changed
    ]
    raise UsageError(
        f"{unfinished.path}: cannot be {_WORDS[option]}, because files that the boards are given have changed since:\n  "
        + "\n  ".join(lines)
        + f"\nPut them back, or start a new run: `{anew(command)}`"
    )


def _as_before(hashes: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return hashes without the bases that only blocks begin from which the run did not have yet."""
    had = before.get(BASES, {})
    known = {name: sha256 for name, sha256 in hashes.get(BASES, {}).items() if name in had}
    return {
        **{key: value for key, value in hashes.items() if key != BASES},
        **({BASES: known} if known else {}),
    }


def _comparable(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plan.get(key) for key in ("lab", "suite", "boards", "boards_sha256")}


def exit_code(outcome: CampaignOutcome, writer: RunWriter, plan: Plan) -> int:
    """Return the documented exit code of a finished campaign; 1 comes before 4, 4 before 3, 3 before 0."""
    if outcome.interrupted:
        return EXIT_INTERRUPTED
    records = attempts.last_attempts(writer.stored)
    failed = [record for record in records if record.outcome not in ("ok", "lost")]
    failed_checks = [
        record for record in records if record.role == "check" and record.check_passed is not True
    ]
    if failed or failed_checks:
        return EXIT_MEASURED
    if not records and outcome.given_up:
        return EXIT_INFRA
    # A board without a power sensor has measured all it can.
    left_out = [skip for skip in outcome.skipped if skip.role is None and skip.from_block is None]
    planned_skips = sum(skip.role is None for skip in plan.skipped)
    nothing_to_do = not plan.repetitions
    if (
        outcome.given_up
        or len(left_out) > planned_skips
        or nothing_to_do
        or any(record.verdict == "invalid" for record in records)
    ):
        return EXIT_PARTIAL
    return EXIT_OK
