"""``tunebench doctor``: can the boards be measured, and what would stay empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import (
    BoardsOption,
    InventoryOption,
    JsonFlag,
    output_file,
    stdout_is_taken,
)
from tunebench.harness.errors import EXIT_INFRA, UsageError

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry, Inventory

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    inventory: InventoryOption,
    board: Annotated[
        str | None,
        typer.Argument(
            metavar="[BOARD]",
            help="A board's id in the inventory; default: all.",
            autocompletion=completion.board,
        ),
    ] = None,
    boards: BoardsOption = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE",
            help="Write a redacted capture of BOARD's sensors as a zip; - is standard output.",
            parser=output_file,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether boards can be measured, what stays empty and why, and print the lines that would fill it.

    Nothing on a board is changed but for the agent in its working directory. Exit codes: 0 all can be measured,
    3 some, 4 none.
    """
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.lab import doctor as work

    chosen = _chosen(load_inventory(inventory), board, boards)
    if bundle is not None:
        _bundle(chosen, bundle, as_json)
        return
    examinations = work.examine_all(chosen)
    if as_json:
        value = {
            "schema": work.SCHEMA,
            "boards": [examination.as_dict() for examination in examinations],
        }
        typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))
    else:
        typer.echo("\n\n".join(map(work.text, examinations)))
    raise typer.Exit(work.exit_code(examinations))


def _chosen(inventory: Inventory, board: str | None, boards: str | None) -> list[BoardEntry]:
    chosen = inventory.select(boards)
    if board is None:
        return chosen
    named = [entry for entry in chosen if entry.id == board]
    if not named:
        raise UsageError(f"no board {board!r}; there are: {', '.join(entry.id for entry in chosen)}")
    return named


def _bundle(chosen: list[BoardEntry], path: Path, as_json: bool) -> None:
    from tunebench.harness.lab import doctor as work
    from tunebench.targets.errors import TargetError

    taken = stdout_is_taken({"--bundle": path}, "--json" if as_json else None)
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
        typer.echo(work.bundle_text(summary, path), err=taken)
