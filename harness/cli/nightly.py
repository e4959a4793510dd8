"""``tunebench nightly``: one night with one exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import RESULTS, InventoryOption, NoHtmlFlag

app = typer.Typer(add_completion=False)


@app.command()
def nightly(
    inventory: InventoryOption,
    suite: Annotated[
        str,
        typer.Option(
            "--suite", "-s", metavar="NAME|FILE", help="What to run.", autocompletion=completion.suites
        ),
    ] = "nightly",
    boards: Annotated[
        str | None,
        typer.Option(
            "--boards", "-b", metavar="GLOB", help="Only these boards.", autocompletion=completion.boards
        ),
    ] = None,
    store: Annotated[
        Path, typer.Option("--store", metavar="DIR", help="Root of the results directories; keep it.")
    ] = RESULTS,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="ARTIFACT",
            help="The pinned build to confirm against; as `gate` takes it.",
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", metavar="DIR", help="Write report.html, gate.md, gate.xml there."),
    ] = None,
    hook: Annotated[
        str | None,
        typer.Option(
            "--notify",
            metavar="COMMAND",
            help="Start this program at the end, without a shell, with the verdict as JSON on standard input.",
        ),
    ] = None,
    no_html: NoHtmlFlag = False,
) -> None:
    """Run the suite, index the store, write the report, judge the night; an unfinished run of it is resumed.

    Exit codes as of `run` and `gate` together: 0 ok, 1 a measured failure or confirmed regression, 2 usage,
    3 unclear or partial, 4 infrastructure, 130 interrupted (precedence 130, 2, 1, 4, 3, 0). Report and summaries are
    written whatever the code; the report begins with the gate's verdict. In GitHub Actions the Markdown summary goes
    into the job's page.
    """
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.nightly.night import NightRequest, night
    from tunebench.harness.nightly.notify import hook_of

    notify = hook_of(hook) if hook is not None else ()
    asked = NightRequest(
        load_inventory(inventory), suite, boards, store, baseline, summary, html=not no_html, notify=notify
    )
    raise typer.Exit(night(asked))
