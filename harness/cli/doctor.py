"""``tunebench doctor``: parses, calls, prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.config.inventory import BoardEntry, Inventory, load_inventory
from tunebench.harness.errors import EXIT_INFRA, UsageError
from tunebench.harness.lab import doctor as work
from tunebench.targets.errors import TargetError


def doctor(
    inventory: Annotated[
        Path, typer.Option("--inventory", "-i", help="The lab's boards (TOML).", metavar="FILE")
    ],
    board: Annotated[
        str | None, typer.Argument(metavar="[BOARD]", help="A board's id in the inventory; default: all.")
    ] = None,
    boards: Annotated[
        str | None,
        typer.Option(
            "--boards", "-b", metavar="GLOB", help="Only boards whose id or tag matches, e.g. 'pi5-*'."
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="FILE", help="Write a redacted capture of BOARD's sensors as a zip."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Say whether boards can be measured, what stays empty and why, and print the lines that would fill it.

    Nothing on a board is changed but for the agent in its working directory. Exit codes: 0 all can be measured,
    3 some, 4 none.
    """
    chosen = _chosen(load_inventory(inventory), board, boards)
    if bundle is not None:
        _bundle(chosen, bundle, as_json)
        return
    found = work.examine_all(chosen)
    if as_json:
        value = {"schema": work.SCHEMA, "boards": [one.as_dict() for one in found]}
        typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))
    else:
        typer.echo("\n\n".join(work.text(one) for one in found))
    raise typer.Exit(work.exit_code(found))


def _chosen(inventory: Inventory, board: str | None, boards: str | None) -> list[BoardEntry]:
    chosen = inventory.select(boards)
    if board is None:
        return chosen
    one = [entry for entry in chosen if entry.id == board]
    if not one:
        raise UsageError(f"no board {board!r}; there are: {', '.join(entry.id for entry in chosen)}")
    return one


def _bundle(chosen: list[BoardEntry], path: Path, as_json: bool) -> None:
    if len(chosen) != 1:
        names = ", ".join(entry.id for entry in chosen)
        raise UsageError(f"--bundle is of one board: name it; there are: {names}")
    try:
        summary = work.make_bundle(chosen[0], path)
    except TargetError as error:
        typer.echo(f"tunebench: {error}", err=True)
        raise typer.Exit(EXIT_INFRA) from None
    if as_json:
        typer.echo(json.dumps({**summary, "file": str(path)}, indent=2, sort_keys=True))
    else:
        typer.echo(work.bundle_text(summary, path))
