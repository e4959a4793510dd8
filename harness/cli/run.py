"""``tunebench run``: a suite on the boards of an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli.options import (
    RESULTS,
    BoardsOption,
    InventoryOption,
    JsonFlag,
    MethodsOption,
    NoHtmlFlag,
    OutOption,
    SuiteOption,
    comparison_text,
    print_json,
    request_of,
    stderr_console,
)
from tunebench.harness.errors import EXIT_INFRA, EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from tunebench.harness.campaign.closing import WrittenReport

app = typer.Typer(add_completion=False)


@app.command()
def run(
    inventory: InventoryOption,
    suite: SuiteOption = "quick",
    boards: BoardsOption = None,
    methods: MethodsOption = None,
    out: OutOption = RESULTS,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue this suite's newest unfinished run below --out.")
    ] = False,
    no_html: NoHtmlFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a suite on the boards of an inventory.

    Boards run in parallel, methods in random order within blocks. Ctrl-C leaves a resumable run. At its end it says
    what to use on each board and writes the report beside the run, RUN.html.
    """
    from tunebench.harness.campaign import closing
    from tunebench.harness.campaign import run as campaign
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.config.suite import load_suite

    loaded = load_inventory(inventory)
    request = request_of(loaded, load_suite(suite).only_methods(methods), boards, out, resume)
    code, run_dir = campaign.run(request, stderr_console())
    if run_dir is None:
        if as_json:
            print_json({"run": None, "exit_code": code})
        raise typer.Exit(code)
    if not as_json:
        typer.echo(comparison_text(run_dir))
        # Last, so that it is the first thing seen at a terminal.
        for line in closing.answer_lines(run_dir):
            typer.echo(f"Answer: {line}")
        typer.echo(f"Results: {run_dir}")
    # Who interrupts does not wait for a page.
    report = None if no_html or code == EXIT_INTERRUPTED else closing.write_report(run_dir)
    if report is not None and report.path is None:
        code = EXIT_INFRA if code == EXIT_OK else code
    if as_json:
        print_json(_run_json(run_dir, report, code))
    if report is not None and (report.path is None or not as_json):
        typer.echo(report.line, err=report.path is None)
    raise typer.Exit(code)


def _run_json(run_dir: Path, report: WrittenReport | None, code: int) -> dict[str, Any]:
    """Return what ``run --json`` prints."""
    from tunebench.reports.results import RunReader
    from tunebench.reports.summary import as_json, summarise

    return {
        "run": str(run_dir),
        "exit_code": code,
        "report": str(report.path) if report is not None and report.path is not None else None,
        "summary": as_json(summarise(RunReader(run_dir))),
    }
