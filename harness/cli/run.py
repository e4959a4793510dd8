"""``tunebench run``: a suite on the boards of an inventory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli.options import (
    RESULTS,
    BlocksOption,
    BoardsOption,
    InventoryOption,
    JsonFlag,
    MaxBlocksOption,
    MethodsOption,
    NoHtmlFlag,
    OutOption,
    SuiteOption,
    UntilDecidedOption,
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
        bool,
        typer.Option(
            "--resume",
            help="Continue this suite's newest unfinished run below --out; an error if there is none.",
        ),
    ] = False,
    leave_out_missing: Annotated[
        bool,
        typer.Option("--leave-out-missing", help="Complete the run without boards that were never reached."),
    ] = False,
    blocks: BlocksOption = None,
    add_blocks: Annotated[
        int | None,
        typer.Option(
            "--add-blocks",
            metavar="N",
            min=1,
            help="Add N blocks to this suite's newest finished run below --out.",
            show_default=False,
        ),
    ] = None,
    until_decided: UntilDecidedOption = False,
    max_blocks: MaxBlocksOption = None,
    no_html: NoHtmlFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a suite on the boards of an inventory.

    Boards run in parallel, methods in random order within blocks. Ctrl-C leaves a resumable run, and so does a board that
    cannot be reached. At its end it says what to use on each board and writes the report beside the run, RUN.html.
    """
    from tunebench.harness.campaign import closing
    from tunebench.harness.campaign import run as campaign
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.config.suite import load_suite, sized
    from tunebench.harness.errors import UsageError

    if add_blocks and (resume or until_decided):
        raise UsageError(
            "--add-blocks goes on with a finished run as it is: leave out the other options of blocks and --resume"
        )
    loaded = load_inventory(inventory)
    chosen = sized(
        load_suite(suite).only_methods(methods),
        blocks=blocks,
        until_decided=until_decided,
        max_blocks=max_blocks,
    )
    request = replace(
        request_of(loaded, chosen, boards, out, resume),
        add_blocks=add_blocks or 0,
        leave_out_missing=leave_out_missing,
    )
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
