"""``tunebench gate``: the verdict on a night."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli.options import RESULTS, JsonFlag, StoreOption
from tunebench.harness.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def gate(
    run: Annotated[Path, typer.Option("--run", metavar="RUN", help="The run to judge (or a results root).")],
    store: StoreOption = RESULTS,
    inventory: Annotated[
        Path | None,
        typer.Option("--inventory", "-i", metavar="FILE", help="The lab's boards, to confirm on."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="ARTIFACT",
            help="The pinned build: a run's directory or a payload's SHA-256[+environment's SHA-256].",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--md", metavar="FILE", help="Write a Markdown summary.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge a night: screen every series against its last nights, list what is missing, decide.

    With --inventory and --baseline, what the screen nominates is measured again in pairs of the pinned build and
    tonight's on the same board; without, it is UNCLEAR. Exit codes: 0 nothing found, 1 a
    confirmed regression, 3 unclear, 4 infrastructure (precedence 2, 1, 4, 3, 0).
    """
    from tunebench.harness.nightly import gate as nightly
    from tunebench.reports.history import gate_text

    if (inventory is None) != (baseline is None):
        raise UsageError(
            "--inventory and --baseline go together: boards to confirm on, and the build to compare with"
        )
    judgement = nightly.gate(run, store)
    if inventory is not None and baseline is not None:
        from tunebench.harness.config.inventory import load_inventory

        judgement = nightly.confirmed(judgement, run, store, load_inventory(inventory), baseline)
    if junit is not None:
        junit.write_text(gate_text.junit_xml(judgement), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(gate_text.markdown_text(judgement), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(gate_text.as_json_value(judgement), indent=2))
    else:
        typer.echo(gate_text.plain_text(judgement))
    raise typer.Exit(judgement.exit_code)
