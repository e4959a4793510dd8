"""``tunebench export``: results as they are given away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import RunArgument, output_file, stdout_is_taken
from tunebench.harness.errors import UsageError
from tunebench.harness.hints import command as hint

if TYPE_CHECKING:
    from tunebench.reports.formatting.privacy import Anonymiser

#: A run lies this many folders below its root: lab, year, month, day, run.
_ROOT_DEPTH = 5

app = typer.Typer(add_completion=False)


@app.command()
def export(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Copy the run below DIR.")
    ] = None,
    anonymise: Annotated[
        bool,
        typer.Option("--anonymise", help="No host, user, address or serial; boards by salted hash; no logs."),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="Write all repetitions as FILE.csv or FILE.parquet; - prints CSV.",
            parser=output_file,
        ),
    ] = None,
) -> None:
    """Copy a run to give away, and/or write its repetitions as one flat table."""
    from tunebench.reports.results import find_run
    from tunebench.reports.results.export import export_run, write_table

    if out is None and table is None:
        raise UsageError(
            "nothing to write: give --out DIR for a copy of the run and/or --table FILE for its repetitions, e.g."
            f"\n  {hint('export', run, '--out', 'shared', '--anonymise')}"
            f"\n  {hint('export', run, '--table', 'repetitions.csv')}"
        )
    taken = stdout_is_taken({"--table": table})
    folder = find_run(run)
    shared = folder
    if anonymise and out is None:
        raise UsageError(
            "--anonymise goes with --out DIR: the copy is what is anonymised (--table is made from it)"
        )
    if out is not None:
        if out.resolve() == _root_of(folder).resolve():
            raise UsageError(f"--out {out}: is where the run lies; give another folder")
        shared = export_run(folder, out, _anonymiser(folder) if anonymise else None)
        typer.echo(f"Run: {shared}", err=taken)
    if table is not None:
        rows = write_table([shared], table)
        if not taken:
            typer.echo(f"Table: {table} ({rows} repetitions)")


def _root_of(folder: Path) -> Path:
    return folder.parents[_ROOT_DEPTH - 1] if len(folder.parents) >= _ROOT_DEPTH else folder.parent


def _anonymiser(folder: Path) -> Anonymiser:
    from tunebench.reports.formatting.privacy import Anonymiser
    from tunebench.reports.render.files import names_here
    from tunebench.reports.results.export import salt_of

    return Anonymiser(salt_of(_root_of(folder)), names_here())
