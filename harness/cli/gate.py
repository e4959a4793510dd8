"""``tunebench index``, ``gate``, ``accept`` and ``quarantine``: a lab's history, and the verdict on a night."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import UsageError
from tunebench.harness.nightly.gate import _decide, _refresh, confirmed, gate
from tunebench.reports.history import index
from tunebench.reports.history.gate_text import as_json_value, junit_xml, markdown_text, plain_text
from tunebench.reports.history.series import Series, all_series, opened

StoreOption = Annotated[Path, typer.Option("--store", metavar="DIR", help="Root of the results directories.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept and shown in reports.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.command("index")(index_command)
    app.command("gate")(gate_command)
    app.command("accept")(accept_command)
    app.command("quarantine")(quarantine_command)


def index_command(
    store: Annotated[Path, typer.Argument(metavar="DIR", help="Root of the results directories.")] = Path(
        "results"
    ),
) -> None:
    """Build the index of all runs below DIR: a cache (DIR/index.duckdb) that can be deleted at any time."""
    console = Console(stderr=True)
    report = index.build(store, progress=lambda told: console.print(told, markup=False, soft_wrap=True))
    for warning in report.warnings:
        console.print(warning, markup=False, soft_wrap=True)
    if report.damaged:
        console.print(f"{report.damaged} damaged lines were left out", markup=False)
    typer.echo(f"Index: {report.path} ({report.runs} runs, {report.repetitions} repetitions)")


def gate_command(
    run: Annotated[Path, typer.Option("--run", metavar="RUN", help="The run to judge (or a results root).")],
    store: StoreOption = Path("results"),
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Judge a night: screen every series against its last nights, list what is missing, decide.

    With --inventory and --baseline, what the screen nominates is measured again in pairs of the pinned build and
    tonight's on the same board; without, it is UNCLEAR. Exit codes: 0 nothing found, 1 a
    confirmed regression, 3 unclear, 4 infrastructure (precedence 2, 1, 4, 3, 0).
    """
    if (inventory is None) != (baseline is None):
        raise UsageError(
            "--inventory and --baseline go together: boards to confirm on, and the build to compare with"
        )
    judgement = gate(run, store)
    if inventory is not None and baseline is not None:
        judgement = confirmed(judgement, run, store, load_inventory(inventory), baseline)
    if junit is not None:
        junit.write_text(junit_xml(judgement), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(markdown_text(judgement), encoding="utf-8")
    typer.echo(json.dumps(as_json_value(judgement), indent=2) if as_json else plain_text(judgement))
    raise typer.Exit(judgement.exit_code)


def accept_command(
    series: Annotated[
        str,
        typer.Argument(metavar="SERIES", help="Series key (or its beginning), or 'board / task / label'."),
    ],
    reason: ReasonOption,
    store: StoreOption = Path("results"),
) -> None:
    """Accept a change: the series starts a new segment, older nights are no yardstick any more."""
    chosen = find_series(store, series)
    path = _decide(store, "accept", reason, series_key=chosen.series_key, board_id=chosen.board_id)
    typer.echo(f"Accepted {chosen.name} ({chosen.series_key[:12]}) in {path}")


def quarantine_command(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="A board's id.")],
    reason: ReasonOption,
    store: StoreOption = Path("results"),
    release: Annotated[bool, typer.Option("--release", help="End the quarantine.")] = False,
) -> None:
    """Leave a board's nights out of the gate from now on, until it is released."""
    _refresh(store)
    with opened(store / index.INDEX) as database:
        known = sorted({one.board_id for one in all_series(database)})
    if board not in known:
        raise UsageError(f"board {board!r} is not in {store}; the results have: {', '.join(known)}")
    path = _decide(store, "release" if release else "quarantine", reason, board_id=board)
    typer.echo(f"{'Released' if release else 'Quarantined'} {board} in {path}")


def find_series(store: Path, wanted: str) -> Series:
    """The series that a person means.

    Raises:
        UsageError: none or several fit; the message names those that are near.
    """
    _refresh(store)
    with opened(store / index.INDEX) as database:
        every = all_series(database)
    plain = "".join(wanted.split())
    fits = [one for one in every if one.series_key.startswith(wanted) or "".join(one.name.split()) == plain]
    if len(fits) == 1:
        return fits[0]
    shown = fits or [one for one in every if any(part in one.name for part in wanted.split("/"))] or every
    names = "; ".join(f"{one.name} ({one.series_key[:12]})" for one in shown[:8])
    more = f"; and {len(shown) - 8} more" if len(shown) > 8 else ""
    what = "is ambiguous" if fits else "is not known"
    raise UsageError(f"series {wanted!r} {what} in {store}; {'it fits' if fits else 'it has'}: {names}{more}")
