"""``tunebench report`` and ``tunebench compare``: what they read, write and print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunebench.reports.render.files import comparison, printed, report

# What makes numbers and pages (scipy, pandas, jinja2, duckdb) takes a second to load: only where it is needed.


RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's directory, or a results root (newest run).")
]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the HTML page here.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.command("report")(report_command)
    app.command("compare")(compare_command)


def report_command(
    run: RunArgument,
    html: HtmlOption = None,
    json_file: JsonOption = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="METHOD", help="Compare with this method.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="A results root: show the trend over its nights."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="Hold the boards' environment against this run's; default: the run before in --store.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="md|text", help="Print it, for a pull request or a log."),
    ] = None,
) -> None:
    """Render a run as one self-contained HTML file and/or JSON; by default RUN.html beside the run."""
    if form is not None:
        typer.echo(printed(run, baseline, form), nl=False)
        if html is None and json_file is None:
            return
    for path in report(run, html, json_file, baseline, store=store, against=against):
        if path is not None:
            typer.echo(f"Report: {path}", err=form is not None)


def compare_command(
    run_a: Annotated[
        Path, typer.Argument(metavar="RUN_A", help="The reference: a run's directory, or a results root.")
    ],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run to hold against it.")],
    html: HtmlOption = None,
    json_file: JsonOption = None,
    form: Annotated[str, typer.Option("--format", metavar="md|text", help="How to print it.")] = "text",
) -> None:
    """Hold two runs side by side: every series that both have, and what else differs between them.

    Blocks of different runs are not paired, so this is no substitute for a comparison within one run, nor for the gate.
    """
    typer.echo(comparison(run_a, run_b, html, json_file, form), nl=False)
    for path in (html, json_file):
        if path is not None:
            typer.echo(f"Comparison: {path}", err=True)
