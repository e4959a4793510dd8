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
from tunebench.harness.errors import EXIT_INFRA, EXIT_INTERRUPTED, HarnessError
from tunebench.harness.nightly import gate
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
    """

    inventory: Inventory
    suite: str
    boards: str | None
    store: Path
    baseline: str | None
    summary: Path | None
    html: bool = True


def night(asked: NightRequest) -> int:
    """Run, judge and report a night; return its exit code."""
    inventory, store, summary = asked.inventory, asked.store, asked.summary
    request = Request(
        suite=load_suite(asked.suite),
        boards=inventory.select(asked.boards),
        lab=inventory.lab.name,
        out=store,
        resume=True,
        command=["tunebench", *sys.argv[1:]],
        data_dir=data_dir_from_env(),
    )
    code, folder = run.run(request, console())
    if code == EXIT_INTERRUPTED or folder is None:
        return code
    judgement = None
    try:
        judgement = gate.gate(folder, store)
        if asked.baseline is not None:
            judgement = gate.confirmed(judgement, folder, store, inventory, asked.baseline)
        gate_block.keep(judgement, folder)
        _publish(judgement, asked)
        codes = [code, judgement.exit_code]
    except (HarnessError, ResultsError) as error:
        # What was measured is still reported; that it could not be judged is the night's ending.
        typer.echo(f"tunebench: the night could not be judged: {error}", err=True)
        codes = [code, error.exit_code if isinstance(error, HarnessError) else EXIT_INFRA]
    for line in closing.answer_lines(folder, judgement):
        typer.echo(f"Answer: {line}")
    if asked.html:
        page = summary / "report.html" if summary else None
        report = closing.write_report(folder, page, store=store, gate=judgement)
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
