"""``tunebench export``: results as they are given away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import RunArgument, output_file, stdout_is_taken
from tunebench.harness.errors import UsageError
from tunebench.harness.hints import command as hint
from tunebench.reports.exports.registry import FORMATS, format_module
from tunebench.reports.formatting.output import STDOUT

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
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Write it for another tool: " + ", ".join(FORMATS) + ".",
            autocompletion=completion.formats,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Where --format writes: a file, for mlflow its tracking address; default: printed.",
        ),
    ] = None,
) -> None:
    """Copy a run to give away, and/or write its repetitions as one flat table, and/or for another tool."""
    from tunebench.reports.results import RunReader, find_run
    from tunebench.reports.results.export import export_run, write_table

    if out is None and table is None and form is None:
        raise UsageError(
            "nothing to write: give --out DIR for a copy of the run, --table FILE for its repetitions and/or --format"
            " NAME for another tool, e.g."
            f"\n  {hint('export', run, '--out', 'shared', '--anonymise')}"
            f"\n  {hint('export', run, '--table', 'repetitions.csv')}"
            f"\n  {hint('export', run, '--format', 'openmetrics', '--to', 'tunebench.prom')}"
        )
    _check_format(form, to)
    printed = form is not None and to in (None, "-") and form not in ("mlflow", "parquet")
    taken = stdout_is_taken({"--table": table}, "--format" if printed else None) or printed
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
        if table != STDOUT:
            typer.echo(f"Table: {table} ({rows} repetitions)", err=taken)
    if form is not None:
        place = format_module(form).export(RunReader(shared), to)
        if place is not None:
            typer.echo(f"Export: {place}", err=taken)


def _check_format(form: str | None, to: str | None) -> None:
    """Refuse a format that is none, and a place without a format.

    Raises:
        UsageError: so it is; the message has what would be right.
    """
    if form is None and to is not None:
        raise UsageError(f"--to {to}: is where --format writes; name one: {', '.join(FORMATS)}")
    if form is not None and form not in FORMATS:
        known = "; ".join(f"{name}: for {whom}" for name, whom in FORMATS.items())
        raise UsageError(f"--format {form!r}: is none of: {known}")


def _root_of(folder: Path) -> Path:
    return folder.parents[_ROOT_DEPTH - 1] if len(folder.parents) >= _ROOT_DEPTH else folder.parent


def _anonymiser(folder: Path) -> Anonymiser:
    from tunebench.reports.formatting.privacy import Anonymiser
    from tunebench.reports.render.files import names_here
    from tunebench.reports.results.export import salt_of

    return Anonymiser(salt_of(_root_of(folder)), names_here())
