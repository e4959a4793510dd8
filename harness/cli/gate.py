"""``tunebench gate``: the verdict on a night."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import (
    RESULTS,
    JsonFlag,
    StoreOption,
    found_inventory,
    output_file,
    stdout_is_taken,
)
from tunebench.harness.config.inventory_place import ORDER
from tunebench.harness.errors import UsageError, ending_of

app = typer.Typer(add_completion=False)


@app.command()
def gate(
    run: Annotated[
        str,
        typer.Option(
            "--run",
            metavar="RUN",
            help="The run to judge (or a results root; or ADDRESS or ADDRESS#RUN_ID of a store that hosts share).",
            autocompletion=completion.runs,
        ),
    ],
    store: StoreOption = str(RESULTS),
    inventory: Annotated[
        Path | None,
        typer.Option(
            "--inventory",
            "-i",
            metavar="FILE",
            help=f"The lab's boards, to confirm on; with --baseline, by default: {ORDER}.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="ARTIFACT",
            help="The pinned build: a run's directory, its ADDRESS#RUN_ID in a store, or a payload's"
            " SHA-256[+environment's SHA-256].",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="With --baseline: root of the measured pairs. Default: --store, or results if that is an address.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit", metavar="FILE", help="Write JUnit XML; - is standard output.", parser=output_file
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--md", metavar="FILE", help="Write a Markdown summary; - is standard output.", parser=output_file
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge a night: screen every series against its last nights, list what is missing, decide.

    With --baseline, what the screen nominates is measured again in pairs of the pinned build and
    tonight's on the same board; without, it is UNCLEAR. The verdict is kept beside the run (RUN.gate.json), and its
    report begins with it. Exit codes: 0 nothing found, 1 a
    confirmed regression, 3 unclear, 4 infrastructure (precedence 2, 1, 4, 3, 0).
    """
    from tunebench.harness.nightly import gate as nightly
    from tunebench.harness.nightly.decide import decisions_on
    from tunebench.harness.nightly.night import PRECEDENCE
    from tunebench.reports.formatting.output import OutputError, write_output
    from tunebench.reports.history import gate_text
    from tunebench.reports.render import gate_block
    from tunebench.reports.render.stored import run_folder
    from tunebench.reports.stores.address import Address, place_of

    if inventory is not None and baseline is None:
        raise UsageError(
            f"--inventory {inventory}: is for confirming on boards, which needs the build to compare with, too:"
            " --baseline RUN or a payload's SHA-256"
        )
    taken = stdout_is_taken({"--junit": junit, "--md": markdown}, "--json" if as_json else None)
    place, of_run = place_of(store), place_of(run)
    folder = run_folder(of_run)
    judgement = nightly.gate(folder, place)
    if baseline is not None:
        from tunebench.harness.config.inventory import load_inventory

        lab = load_inventory(inventory or found_inventory())
        root = out if out is not None else RESULTS if isinstance(place, Address) else place
        judgement = nightly.confirmed(judgement, folder, place, lab, baseline, out=root)
    if not isinstance(of_run, Address):
        # Where later reports of the run find it.
        gate_block.keep(judgement, nightly.judged_run(folder))
    decide = decisions_on(judgement, place)
    # The verdict first: a file that cannot be written must not hide it.
    if as_json:
        typer.echo(json.dumps(gate_text.as_json_value(judgement), indent=2))
    else:
        typer.echo(gate_text.plain_text(judgement, decide), err=taken)
    codes = [judgement.exit_code]
    for path, text, option in (
        (junit, gate_text.junit_xml, "--junit"),
        (markdown, lambda judged: gate_text.markdown_text(judged, decide), "--md"),
    ):
        try:
            if path is not None:
                write_output(path, text(judgement).encode(), option)
        except OutputError as error:
            typer.echo(f"tunebench: {error}", err=True)
            codes.append(ending_of(error).code)
    raise typer.Exit(next(code for code in PRECEDENCE if code in codes))
