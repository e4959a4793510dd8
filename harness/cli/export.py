"""``tunebench export`` and ``merge``: results as they are given away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tunebench.harness.errors import UsageError
from tunebench.reports.formatting.privacy import Anonymiser
from tunebench.reports.render.files import names_here
from tunebench.reports.results import find_run
from tunebench.reports.results.export import export_run, merge, salt_of, write_table

_ROOT_DEPTH = 5


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.command("export")(export_command)
    app.command("merge")(merge_command)


def export_command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's directory, or a results root (newest run).")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Copy the run below DIR.")
    ] = None,
    anonymise: Annotated[
        bool,
        typer.Option("--anonymise", help="No host, user, address or serial; boards by salted hash; no logs."),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Write all repetitions as FILE.csv or FILE.parquet."),
    ] = None,
) -> None:
    """Copy a run to give away, and/or write its repetitions as one flat table."""
    if out is None and table is None:
        raise UsageError("say what to write: --out DIR (a copy of the run) and/or --table FILE.csv|.parquet")
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
        typer.echo(f"Run: {shared}")
    if table is not None:
        rows = write_table([shared], table)
        typer.echo(f"Table: {table} ({rows} repetitions)")


def merge_command(
    sources: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results roots, of other labs too.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The root to add their runs to.")],
) -> None:
    """Bring several labs' complete runs into one results root; equal ones are left, unequal ones refused."""
    console = Console(stderr=True)
    added = merge(sources, out, progress=lambda told: console.print(told, markup=False, soft_wrap=True))
    typer.echo(f"{len(added)} run(s) added to {out}")


def _root_of(folder: Path) -> Path:
    return folder.parents[_ROOT_DEPTH - 1] if len(folder.parents) >= _ROOT_DEPTH else folder.parent


def _anonymiser(folder: Path) -> Anonymiser:
    return Anonymiser(salt_of(_root_of(folder)), names_here())
