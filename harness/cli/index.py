"""``tunebench index``: the index of a store of runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli.options import RESULTS, stderr_console
from tunebench.harness.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def index(
    store: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="Root of the results directories, or a store that hosts share (parquet:///DIR, postgres://...).",
        ),
    ] = str(RESULTS),
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="Where the index lies; of a store by default ./index.duckdb."
        ),
    ] = None,
) -> None:
    """Build the index of all runs below DIR: a cache (DIR/index.duckdb) that can be deleted at any time."""
    from tunebench.reports.history.index import INDEX, build
    from tunebench.reports.stores.address import Address, place_of

    place = place_of(store)
    if isinstance(place, Address):
        file = file or Path(INDEX)
    elif file is None and place.is_dir() and not os.access(place, os.W_OK):
        raise UsageError(
            f"{place}: cannot be written, and the index would lie there. Commands that need one (report --store, gate)"
            " make it for themselves"
        )
    console = stderr_console()
    report = build(place, file, progress=lambda message: console.print(message, markup=False, soft_wrap=True))
    for warning in report.warnings:
        console.print(warning, markup=False, soft_wrap=True)
    if report.damaged:
        console.print(f"{report.damaged} damaged lines were left out", markup=False)
    typer.echo(f"Index: {report.path} ({report.runs} runs, {report.repetitions} repetitions)")
