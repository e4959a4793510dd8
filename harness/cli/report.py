"""``tunebench report``: a run as a page, as numbers, or as text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import HtmlOption, JsonOption, RunArgument, stdout_is_taken
from tunebench.reports.formatting.output import STDOUT

app = typer.Typer(add_completion=False)


@app.command()
def report(
    run: RunArgument,
    html: HtmlOption = None,
    json_file: JsonOption = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="METHOD", help="Compare with this method.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="DIR|ADDRESS",
            help="A results root, or a store that hosts share: show the trend over its nights.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="RUN",
            autocompletion=completion.runs,
            help="Hold the boards' environment against this run's; default: the run before in --store.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="md|text", help="Print it, for a pull request or a log."),
    ] = None,
) -> None:
    """Render a run as one self-contained HTML file and/or JSON; by default RUN.html beside the run."""
    from tunebench.reports.render import files
    from tunebench.reports.stores.address import place_of

    nights = place_of(store) if store is not None else None
    taken = stdout_is_taken({"--html": html, "--json": json_file}, "--format" if form is not None else None)
    if form is not None:
        typer.echo(files.printed(run, baseline, form), nl=False)
        if html is None and json_file is None:
            return
    for path in files.report(run, html, json_file, baseline, store=nights, against=against):
        if path is not None and path != STDOUT:
            typer.echo(f"Report: {path}", err=taken or form is not None)
