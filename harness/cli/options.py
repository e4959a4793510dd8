"""Options that several commands share, what a campaign is asked for by them, and how commands print."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli import completion
from tunebench.harness.config.inventory_place import FILE, ORDER, find_inventory
from tunebench.harness.errors import UsageError
from tunebench.harness.hints import remember_inventory
from tunebench.reports.formatting.output import STDOUT

if TYPE_CHECKING:
    from rich.console import Console

    from tunebench.harness.campaign.session import Request
    from tunebench.harness.config.inventory import Inventory
    from tunebench.harness.config.suite import Suite


def found_inventory() -> Path:
    """Return the inventory that nobody named, and tell on standard error which one it is.

    A shell that only wants to complete a word is told nothing.

    Raises:
        UsageError: there is none.
    """
    if completion.ASKED in os.environ:
        with contextlib.suppress(UsageError):
            return find_inventory().path
        return Path(FILE)
    place = find_inventory()
    typer.echo(place.sentence, err=True)
    return place.path


def _named_inventory(ctx: typer.Context, path: Path) -> Path:
    """Note an inventory that was named: hints name it, too."""
    if not ctx.resilient_parsing:
        source = ctx.get_parameter_source("inventory")
        remember_inventory(path if source is not None and source.name == "COMMANDLINE" else None)
    return path


InventoryOption = Annotated[
    Path,
    typer.Option(
        "--inventory",
        "-i",
        help="The lab's boards (TOML).",
        metavar="FILE",
        default_factory=found_inventory,
        show_default=ORDER,
        callback=_named_inventory,
    ),
]
SuiteOption = Annotated[
    str,
    typer.Option(
        "--suite",
        "-s",
        metavar="NAME|FILE",
        help="A built-in suite or a suite file (TOML).",
        autocompletion=completion.suites,
    ),
]
BoardsOption = Annotated[
    str | None,
    typer.Option(
        "--boards",
        "-b",
        metavar="GLOB",
        help="Only boards whose id or tag matches, e.g. 'pi5-*'.",
        autocompletion=completion.boards,
    ),
]
MethodsOption = Annotated[
    str | None,
    typer.Option(
        "--methods",
        "-m",
        metavar="LIST",
        help="Only these methods, e.g. 'ft-all,skip2-lora'.",
        autocompletion=completion.methods,
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Root of the results directories.")
]
BoardArgument = Annotated[
    str,
    typer.Argument(metavar="BOARD", help="A board's id in the inventory.", autocompletion=completion.board),
]
RunArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A run's directory, or a results root (newest run).",
        autocompletion=completion.runs,
    ),
]


def output_file(text: str) -> Path:
    """Return the file that an option names.

    Raises:
        UsageError: it is the name of a folder; one that is not there yet would become a file of that name.
    """
    if text.endswith("/"):
        raise UsageError(f"{text}: is the name of a folder; name a file in it")
    return Path(text)


HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write the HTML page here; - is standard output.", parser=output_file
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the numbers here; - is standard output.", parser=output_file
    ),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="DIR|ADDRESS",
        help="Root of the results directories, or a store that hosts share (parquet:///DIR, postgres://...).",
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept and shown in reports.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
NoHtmlFlag = Annotated[bool, typer.Option("--no-html", help="Write no HTML report.")]

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


def stdout_is_taken(files: Mapping[str, Path | None], printed: str | None = None) -> bool:
    """Return whether one of these files is standard output (``-``): all else that is printed goes to standard error then.

    Args:
        files: option -> the file that it names.
        printed: the option that prints to standard output, if one is given.

    Raises:
        UsageError: two of them want it.
    """
    named = [option for option, path in files.items() if path == STDOUT]
    wanting = [*named, *([printed] if printed is not None else [])]
    if named and len(wanting) > 1:
        raise UsageError(
            f"{' and '.join(wanting)}: only one of them can be standard output; name a file for the others"
        )
    return bool(named)


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
