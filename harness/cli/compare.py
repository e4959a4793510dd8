"""``tunebench compare``: two runs side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import HtmlOption, JsonOption, stdout_is_taken
from tunebench.reports.formatting.output import STDOUT

app = typer.Typer(add_completion=False)


@app.command()
def compare(
    run_a: Annotated[
        str,
        typer.Argument(
            metavar="RUN_A",
            help="The reference: a run's directory, a results root, or ADDRESS#RUN_ID of a store that hosts share.",
            autocompletion=completion.runs,
        ),
    ],
    run_b: Annotated[
        str,
        typer.Argument(metavar="RUN_B", help="The run to hold against it.", autocompletion=completion.runs),
    ],
    html: HtmlOption = None,
    json_file: JsonOption = None,
    form: Annotated[str, typer.Option("--format", metavar="md|text", help="How to print it.")] = "text",
) -> None:
    """Hold two runs side by side: every series that both have, and what else differs between them.

    Blocks of different runs are not paired, so this is no substitute for a comparison within one run, nor for the gate.
    """
    from tunebench.reports.render.files import comparison
    from tunebench.reports.render.stored import run_folder
    from tunebench.reports.stores.address import place_of

    first, second = (run_folder(place_of(text)) for text in (run_a, run_b))
    taken = stdout_is_taken({"--html": html, "--json": json_file})
    typer.echo(comparison(first, second, html, json_file, form), nl=False, err=taken)
    for path in (html, json_file):
        if path is not None and path != STDOUT:
            typer.echo(f"Comparison: {path}", err=True)
