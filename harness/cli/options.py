"""Options that several commands share, what a campaign is asked for by them, and how commands print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from tunebench.harness.campaign.session import Request
    from tunebench.harness.config.inventory import Inventory
    from tunebench.harness.config.suite import Suite

InventoryOption = Annotated[
    Path, typer.Option("--inventory", "-i", help="The lab's boards (TOML).", metavar="FILE")
]
SuiteOption = Annotated[
    str, typer.Option("--suite", "-s", metavar="NAME|FILE", help="A built-in suite or a suite file (TOML).")
]
BoardsOption = Annotated[
    str | None,
    typer.Option("--boards", "-b", metavar="GLOB", help="Only boards whose id or tag matches, e.g. 'pi5-*'."),
]
MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", "-m", metavar="LIST", help="Only these methods, e.g. 'ft-all,skip2-lora'."),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Root of the results directories.")
]
BoardArgument = Annotated[str, typer.Argument(metavar="BOARD", help="A board's id in the inventory.")]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's directory, or a results root (newest run).")
]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the HTML page here.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here.")]
StoreOption = Annotated[Path, typer.Option("--store", metavar="DIR", help="Root of the results directories.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept and shown in reports.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

BlocksOption = Annotated[
    int | None,
    typer.Option("--blocks", metavar="N", help="So many blocks in place of the suite's.", show_default=False),
]
UntilDecidedOption = Annotated[
    bool,
    typer.Option(
        "--until-decided",
        help="Measure until every comparison of times is decided, at most --max-blocks blocks.",
    ),
]
MaxBlocksOption = Annotated[
    int | None,
    typer.Option(
        "--max-blocks",
        metavar="N",
        help="With --until-decided. Default: 30, or the suite's blocks if more.",
        show_default=False,
    ),
]

#: Default of ``--out`` and ``--store``.
RESULTS = Path("results")


def request_of(inventory: Inventory, suite: Suite, boards: str | None, out: Path, resume: bool) -> Request:
    """Return the request for a campaign that the options of a command line make."""
    from tunebench.harness.artifacts.gather import data_dir_from_env
    from tunebench.harness.campaign.session import Request

    return Request(
        suite=suite,
        boards=inventory.select(boards),
        lab=inventory.lab.name,
        out=out,
        resume=resume,
        command=["tunebench", *sys.argv[1:]],
        data_dir=data_dir_from_env(),
    )


def stderr_console() -> Console:
    """Return a console on standard error for progress: standard output is for results."""
    from tunebench.harness.campaign.progress import console

    return console()


def print_json(value: Any) -> None:
    """Print a value as JSON, keys sorted, infinities refused."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))


def comparison_text(run_dir: Path) -> str:
    """Return a run's comparison table as plain text."""
    from tunebench.reports.render.text import table
    from tunebench.reports.results import RunReader
    from tunebench.reports.summary import summarise

    return table(summarise(RunReader(run_dir)))
