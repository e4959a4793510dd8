"""The command ``tunebench``: parses, calls, prints. Exit codes stand in :mod:`tunebench.harness.errors`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tunebench.harness import __version__
from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.campaign import run as campaign_run
from tunebench.harness.campaign.session import Request
from tunebench.harness.cli import boards as cli_boards
from tunebench.harness.cli import (
    calibrate,
    doctor,
    emulate,
    export,
    meter,
    params,
    release,
    report,
    sensors,
    setup,
    verify,
)
from tunebench.harness.cli import gate as cli_gate
from tunebench.harness.cli import nightly as cli_nightly
from tunebench.harness.cli import run as cli_run
from tunebench.harness.cli.options import (
    _OUT,
    BoardsOption,
    InventoryOption,
    JsonFlag,
    MethodsOption,
    OutOption,
    SuiteOption,
    _console,
    _print_json,
)
from tunebench.harness.config.inventory import Inventory, load_inventory, loopback_inventory
from tunebench.harness.config.suite import Suite, built_in_suites, load_suite
from tunebench.harness.errors import EXIT_INFRA, EXIT_INTERRUPTED, HarnessError, UsageError
from tunebench.harness.lab import survey
from tunebench.reports.render import files
from tunebench.reports.results import ResultsError

app = typer.Typer(
    name="tunebench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Benchmark on-device fine-tuning on Raspberry Pi and Jetson boards over SSH.\n\n"
    "Exit codes: 0 ok, 1 a measured failure, 2 usage, 3 some boards skipped or repetitions invalid, "
    "4 infrastructure, 130 interrupted (the run is resumable).",
)

app.add_typer(emulate.app, name="emulate")
app.add_typer(sensors.app, name="sensors")
app.add_typer(meter.app, name="meter")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"tunebench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """tunebench."""


@app.command()
def demo(
    out: OutOption = _OUT,
    suite: SuiteOption = "demo",
) -> None:
    """Run the main job on this machine as a board, over a real SSH server on 127.0.0.1, and write the report.

    Five fine-tuning methods on real data; no board, no configuration. Prints the report's path.
    """
    inventory = loopback_inventory()
    request = _request(inventory, load_suite(suite), None, out, False)
    code, run_dir = campaign_run.run(request, _console())
    if run_dir is not None:
        html, _ = files.report(run_dir, None, None, None)
        typer.echo(cli_run.text_table(run_dir))
        typer.echo(f"Report: {html}")
    raise typer.Exit(code)


@app.command()
def boards(
    inventory: InventoryOption,
    boards: BoardsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the boards of an inventory: what each is and has, who holds it, what stays empty and why."""
    chosen = load_inventory(inventory).select(boards)
    code, rows = survey.look_at(chosen, _console())
    if as_json:
        _print_json(rows)
    else:
        Console().print(cli_boards.table(rows))
        for line in cli_boards.lines(rows):
            Console().print(line, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


@app.command()
def plan(
    inventory: InventoryOption,
    suite: SuiteOption = "quick",
    boards: BoardsOption = None,
    methods: MethodsOption = None,
    out: OutOption = _OUT,
    as_json: JsonFlag = False,
) -> None:
    """Dry run: what would run where, what would be skipped and why, and how long it will take.

    No board is contacted. The ETA comes from earlier runs below --out; without any, none is claimed.
    """
    loaded = load_inventory(inventory)
    request = _request(loaded, load_suite(suite).only_methods(methods), boards, out, False)
    summary = cli_run.plan(request)
    if as_json:
        _print_json(summary)
    else:
        typer.echo(cli_run.plan_text(summary))


@app.command()
def run(
    inventory: InventoryOption,
    suite: SuiteOption = "quick",
    boards: BoardsOption = None,
    methods: MethodsOption = None,
    out: OutOption = _OUT,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue this suite's newest unfinished run below --out.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a suite on the boards of an inventory.

    Boards run in parallel, methods in random order within blocks. Ctrl-C leaves a resumable run.
    """
    loaded = load_inventory(inventory)
    request = _request(loaded, load_suite(suite).only_methods(methods), boards, out, resume)
    code, run_dir = campaign_run.run(request, _console())
    if as_json:
        _print_json(cli_run.run_json(run_dir, code))
    elif run_dir is not None:
        typer.echo(cli_run.text_table(run_dir))
        typer.echo(f"Results: {run_dir}")
    raise typer.Exit(code)


@app.command()
def prepare(
    suite: SuiteOption = "quick",
    download: Annotated[
        bool, typer.Option("--download", help="Fetch published data sets that are not there (resumable).")
    ] = False,
) -> None:
    """Make the data and start-weight artefacts that a suite needs, on this host (needs torch for new ones).

    Boards never pretrain, download or convert. Data sets are looked for below TUNEBENCH_DATA, then in
    ~/.cache/tunebench/datasets; with --download they are fetched from where they are published.
    """
    for line in cli_run.prepare(load_suite(suite), data_dir_from_env(), download, _console()):
        typer.echo(line)


@app.command()
def suites() -> None:
    """List the built-in suites."""
    for name in built_in_suites():
        suite = load_suite(name)
        tasks = ", ".join(suite.baselines)
        typer.echo(f"{name:10} {suite.header.blocks} block(s), {len(suite.cells)} rows: {tasks}")


app.command()(setup.setup)
app.command()(release.release)
app.command()(doctor.doctor)
app.command()(verify.verify)
app.command()(params.params)
calibrate.register(app)
report.register(app)
cli_gate.register(app)
cli_nightly.register(app)
export.register(app)


def _request(inventory: Inventory, suite: Suite, boards: str | None, out: Path, resume: bool) -> Request:
    return Request(
        suite=suite,
        boards=inventory.select(boards),
        lab=inventory.lab.name,
        out=out,
        resume=resume,
        command=["tunebench", *sys.argv[1:]],
        data_dir=data_dir_from_env(),
    )


def main() -> None:
    """Entry point: turns our errors into one message and the documented exit code."""
    try:
        app()
    except HarnessError as error:
        typer.echo(f"tunebench: {error}", err=True)
        sys.exit(error.exit_code)
    except ResultsError as error:
        typer.echo(f"tunebench: {error}", err=True)
        sys.exit(UsageError.exit_code)
    except KeyboardInterrupt:
        typer.echo("tunebench: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        typer.echo(f"tunebench: {error}", err=True)
        sys.exit(EXIT_INFRA)


if __name__ == "__main__":
    main()
