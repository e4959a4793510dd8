"""``tunebench push``: sealed runs into a store that many hosts share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import RESULTS, JsonFlag, print_json, stderr_console
from tunebench.harness.errors import EXIT_USAGE

app = typer.Typer(add_completion=False)


@app.command()
def push(
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE", help="parquet:///DIR or postgres://[USER@]HOST[:PORT]/DB; no password."
        ),
    ],
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Runs' directories or results roots, whose complete runs are all pushed; default: results.",
            autocompletion=completion.runs,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Push complete runs into a store that many hosts share: Parquet files in a folder, or a PostgreSQL server.

    A run is there whole or not at all, once, however often and from however many hosts it is pushed; decisions of a
    results root go with it. Passwords come from PGPASSWORD, ~/.pgpass or a service file. Exit codes: 0 done (also if
    nothing was new), 2 a run was refused, 4 the store cannot be reached.
    """
    from tunebench.reports.stores.address import address_of
    from tunebench.reports.stores.pushing import push as push_runs

    console = stderr_console()
    address = address_of(store)
    report = push_runs(
        runs or [RESULTS],
        address,
        progress=lambda message: console.print(message, markup=False, soft_wrap=True),
    )
    for reason in report.refused:
        typer.echo(f"tunebench: {reason}", err=True)
    counts = {name: report.runs[name] for name in ("added", "extended", "there", "older", "unfinished")}
    if as_json:
        figures = {
            "repetitions": report.repetitions,
            "decisions": report.decisions,
            "refused": report.refused,
        }
        print_json({"store": str(address), **counts, **figures})
    else:
        typer.echo(
            f"Store: {address} ({_words(counts, report.repetitions, report.decisions, len(report.refused))})"
        )
    if report.refused:
        raise typer.Exit(EXIT_USAGE)


def _words(counts: dict[str, int], repetitions: int, decisions: int, refused: int) -> str:
    parts = [f"{counts['added']} run(s) added"]
    named = {
        "extended": "with blocks added", "there": "were there", "older": "are there with blocks added",
        "unfinished": "not complete, left out",
    }  # fmt: skip
    parts += [f"{counts[name]} {words}" for name, words in named.items() if counts[name]]
    parts += [f"{refused} refused"] * bool(refused) + [f"{repetitions} repetitions"]
    parts += [f"{decisions} decision(s)"] * bool(decisions)
    return ", ".join(parts)
