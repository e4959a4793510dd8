"""Run, index, report and gate a night, with one exit code: what a lab's timer or CI job calls."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.campaign import closing, run
from tunebench.harness.campaign.progress import console
from tunebench.harness.campaign.session import Request
from tunebench.harness.config.inventory import Inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import EXIT_INFRA, EXIT_INTERRUPTED, HarnessError, ending_of
from tunebench.harness.nightly import gate, notify
from tunebench.harness.nightly.decide import decisions_on
from tunebench.reports.formatting.output import write_output
from tunebench.reports.history import gate_text
from tunebench.reports.history.gating import Judgement
from tunebench.reports.render import gate_block
from tunebench.reports.results import ResultsError

#: Where several endings meet, the first of these that occurs is the night's.
PRECEDENCE = (EXIT_INTERRUPTED, 2, 1, EXIT_INFRA, 3, 0)
#: Where GitHub Actions takes a job page's summary from.
_STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
#: An unfinished run that was begun longer ago is another night's: continued, it would measure what is left of that night
#: in place of this one.
_SAME_NIGHT_S = 20 * 3600.0


@dataclass(frozen=True, slots=True)
class NightRequest:
    """What a night is asked to do.

    Attributes:
        suite: name of a built-in suite, or a file.
        boards: glob of board ids; None: all of the inventory.
        store: root of the results.
        baseline: the pinned build to confirm against, as ``tunebench gate`` takes it; None: nothing is confirmed.
        summary: folder for report and summaries; None: the report lies beside the run.
        html: whether the report is written.
        notify: argv of a program that is told how the night ended (:mod:`tunebench.harness.nightly.notify`).
    """

    inventory: Inventory
    suite: str
    boards: str | None
    store: Path
    baseline: str | None
    summary: Path | None
    html: bool = True
    notify: tuple[str, ...] = ()


@dataclass
class _Night:
    """What is known of a night so far: what a hook is told, however it ends."""

    folder: Path | None = None
    judgement: Judgement | None = None
    report: Path | None = None
    problem: str | None = None


def night(asked: NightRequest) -> int:
    """Run, judge and report a night, and tell the hook; return its exit code."""
    known, code = _Night(), EXIT_INFRA
    try:
        code = _night(asked, known)
    except BaseException as error:
        ending = ending_of(error)
        code, known.problem = ending.code, ending.message
        raise
    finally:
        if asked.notify:
            value = notify.notice(code, known.folder, known.judgement, known.report, problem=known.problem)
            problem = notify.tell(asked.notify, value)
            if problem is not None:
                typer.echo(f"tunebench: {problem}", err=True)
    return code


def _night(asked: NightRequest, known: _Night) -> int:
    inventory, store, summary = asked.inventory, asked.store, asked.summary
    request = Request(
        suite=load_suite(asked.suite),
        boards=inventory.select(asked.boards),
        lab=inventory.lab.name,
        out=store,
        resume=True,
        or_begin=True,
        resume_within_s=_SAME_NIGHT_S,
        leave_out_missing=True,
        command=["tunebench", *sys.argv[1:]],
        data_dir=data_dir_from_env(),
    )
    code, folder = run.run(request, console(), tell_feasibility=False)
    known.folder = folder
    if code == EXIT_INTERRUPTED or folder is None:
        known.problem = "interrupted" if code == EXIT_INTERRUPTED else "nothing was measured"
        return code
    judgement = None
    try:
        judgement = gate.gate(folder, store)
        if asked.baseline is not None:
            judgement = gate.confirmed(judgement, folder, store, inventory, asked.baseline)
        known.judgement = judgement
        gate_block.keep(judgement, folder)
        _publish(judgement, asked)
        codes = [code, judgement.exit_code]
    except (HarnessError, ResultsError) as error:
        # What was measured is still reported; that it could not be judged is the night's ending.
        known.problem = f"the night could not be judged: {error}"
        typer.echo(f"tunebench: {known.problem}", err=True)
        codes = [code, error.exit_code if isinstance(error, HarnessError) else EXIT_INFRA]
    for line in closing.answer_lines(folder, judgement):
        typer.echo(f"Answer: {line}")
    if asked.html:
        page = summary / "report.html" if summary else None
        report = closing.write_report(folder, page, store=store, gate=judgement)
        known.report = report.path
        typer.echo(report.line, err=report.path is None)
        # What was measured is on disk, and the verdict is printed.
        codes += [EXIT_INFRA] if report.path is None else []
    return next(ending for ending in PRECEDENCE if ending in codes)


def _publish(judgement: Judgement, asked: NightRequest) -> None:
    """Print the judgement; write it into the folder of summaries and into the page of a GitHub job."""
    summary, decide = asked.summary, decisions_on(judgement, asked.store)
    typer.echo(gate_text.plain_text(judgement, decide))
    markdown = gate_text.markdown_text(judgement, decide)
    if summary is not None:
        write_output(summary / "gate.md", markdown.encode(), "--summary")
        write_output(summary / "gate.xml", gate_text.junit_xml(judgement).encode(), "--summary")
    page = os.environ.get(_STEP_SUMMARY)
    if page:
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(markdown)
