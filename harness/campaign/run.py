"""Run a suite on boards and tell how it goes: what the commands and the nightly job share."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import LiveProgress, PlainLines, StageLines
from tunebench.harness.campaign.session import Request, Session, exit_code, open_session
from tunebench.harness.farm.turns import Turns
from tunebench.harness.planning.feasibility import feasibility, feasibility_lines
from tunebench.harness.planning.runs.ending import closing_lines


def run(request: Request, console: Console, *, tell_feasibility: bool = True) -> tuple[int, Path | None]:
    """Run a suite; return the exit code and the run's directory (None: nothing was recorded).

    Args:
        request: what is asked for.
        console: where progress goes.
        tell_feasibility: say at the start where so few blocks allow no verdict; a night is judged by other nights.

    Raises:
        UsageError: the results cannot be written, or the run to resume differs from what is asked.
        FarmError: not so many boards of a farm can be had.
    """
    with Turns() as turns:
        return _run(request, console, turns, tell_feasibility=tell_feasibility)


def _run(
    request: Request, console: Console, turns: Turns, *, tell_feasibility: bool
) -> tuple[int, Path | None]:
    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    session = open_session(request, StageLines(console), turns=turns, tell=tell)
    plan = session.plan
    n_stored = len(session.writer.stored)
    console.print(
        f"run {plan.run_id}: {len(plan.repetitions)} repetitions on {len(plan.boards)} board(s)"
        f"{f', {n_stored} of them recorded before' if n_stored else ''}, results in {session.writer.path}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for line in _about_blocks(session):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for skip in plan.skipped:
        console.print(
            f"{skip.board_id}: skips {skip.task} {skip.label}: {skip.reason}", markup=False, soft_wrap=True
        )
    for line in feasibility_lines(feasibility(plan, session.history)) if tell_feasibility else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    outcome = _campaign(session, console)
    plan = session.plan
    code = exit_code(outcome, session.writer, plan)
    recorded = len(session.writer.stored)
    complete = session.close(outcome)
    for line in closing_lines(
        outcome.given_up,
        interrupted=outcome.interrupted,
        recorded=recorded,
        planned=len(plan.repetitions),
        complete=complete,
        command=request.command,
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return code, session.writer.path if recorded else None


def _about_blocks(session: Session) -> list[str]:
    """Say that blocks are added, or after how many the run is looked at."""
    plan = session.plan
    lines = []
    if plan.earlier_blocks:
        counts = " -> ".join(map(str, [*plan.earlier_blocks, plan.suite.header.blocks]))
        lines.append(f"blocks are added: {counts}; {len(session.writer.stored)} repetitions are there")
    if plan.suite.looks:
        at = ", ".join(str(look.blocks) for look in plan.suite.looks)
        lines.append(
            f"until decided: looks after {at} blocks; a task stops when each of its times has a verdict"
        )
    return lines


def _campaign(session: Session, console: Console) -> CampaignOutcome:
    """Run the campaign, shown as the console allows."""
    done_rep_ids = session.writer.done_rep_ids
    if console.is_terminal:
        live = LiveProgress(console, session.plan, done_rep_ids)
        with live:
            return session.campaign(live).run()
    n_done = sum(planned.rep_id in done_rep_ids for planned in session.plan.repetitions)
    return session.campaign(PlainLines(console, session.plan, n_done)).run()
