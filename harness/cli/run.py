"""``tunebench run``: a suite on the boards of an inventory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tunebench.harness.cli.options import (
    RESULTS,
    BoardsOption,
    InventoryOption,
    JsonFlag,
    MethodsOption,
    OutOption,
    SuiteOption,
    comparison_text,
    print_json,
    request_of,
    stderr_console,
)

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
    as_json: JsonFlag = False,
) -> None:
    """Run a suite on the boards of an inventory.

    Boards run in parallel, methods in random order within blocks. Ctrl-C leaves a resumable run, and so does a board that
    cannot be reached.
    """
    from tunebench.harness.campaign import run as campaign
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.config.suite import load_suite

    loaded = load_inventory(inventory)
    request = request_of(loaded, load_suite(suite).only_methods(methods), boards, out, resume)
    request = replace(request, leave_out_missing=leave_out_missing)
    code, run_dir = campaign.run(request, stderr_console())
    if as_json:
        print_json(_run_json(run_dir, code))
    elif run_dir is not None:
        typer.echo(comparison_text(run_dir))
        typer.echo(f"Results: {run_dir}")
    raise typer.Exit(code)


def _run_json(run_dir: Path | None, code: int) -> dict[str, Any]:
    """Return what ``run --json`` prints."""
    if run_dir is None:
        return {"run": None, "exit_code": code}
    from tunebench.reports.results import RunReader
    from tunebench.reports.summary import as_json, summarise

    return {"run": str(run_dir), "exit_code": code, "summary": as_json(summarise(RunReader(run_dir)))}
