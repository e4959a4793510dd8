"""``tunebench farm status|reap``: the boards of the farms that an inventory names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import InventoryOption, JsonFlag, print_json
from tunebench.harness.errors import EXIT_INFRA, UsageError

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry
    from tunebench.harness.farm.provider import FarmBoard

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Boards of a farm (labgrid): who has which, and places that a dead process has left.",
)


@app.command()
def status(inventory: InventoryOption, as_json: JsonFlag = False) -> None:
    """Show every board of the inventory's farms: where it is, who has it, since when, and why it cannot be used."""
    from tunebench.harness.farm.source import parse, provider

    farms = _farms(inventory)
    boards = [(farm, board) for farm in farms for board in provider(parse(farm)).boards()]
    if as_json:
        print_json([{"farm": farm, **asdict(board)} for farm, board in boards])
        return
    for farm, board in boards:
        typer.echo(f"{farm}  {board.name}  {_words(board)}")


@app.command()
def reap(
    inventory: InventoryOption,
    older_min: Annotated[
        float,
        typer.Option("--older-min", metavar="MIN", min=0, help="Only places held for longer than this."),
    ] = 15.0,
) -> None:
    """Free places that a dead tunebench has left: its process is gone or elsewhere, and the board's lease has ended.

    A place that a person holds is never touched, nor one whose board is leased or cannot be asked, nor one of a command
    that waits for its turn at another board.
    """
    from tunebench.harness.cli.release import end_lease
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.farm.source import parse, provider

    entries = [entry for entry in load_inventory(inventory).boards if entry.farm is not None]
    patience_s = max((entry.patience_s for entry in entries), default=0.0)
    kept = 0
    for entry, board in _left_behind(entries):
        reason = _why_not(board, older_min, patience_s)
        if reason is None:
            # The board itself decides: what has ended, or was a dead process's of this host, is removed there.
            message, code = end_lease(entry.spec(), force=False)
            reason = message if code else None
        if reason is None and not provider(parse(str(entry.farm))).release(board.name, str(board.owner)):
            reason = "the farm has not released it"
        kept += reason is not None
        typer.echo(f"{entry.id}: {f'kept: {reason}' if reason else f'freed: {board.owner} had it'}")
    if kept:
        raise typer.Exit(EXIT_INFRA)


def _left_behind(entries: list[BoardEntry]) -> Iterator[tuple[BoardEntry, FarmBoard]]:
    """Yield the boards whose place some tunebench holds."""
    from tunebench.harness.farm.identity import is_of_tunebench
    from tunebench.harness.farm.source import parse, provider

    for farm in {str(entry.farm): None for entry in entries}:
        held = {board.name: board for board in provider(parse(farm)).boards()}
        for entry in entries:
            board = held.get(entry.place or entry.id) if entry.farm == farm else None
            if board is not None and board.owner is not None and is_of_tunebench(board.owner):
                yield entry, board


def _why_not(board: FarmBoard, older_min: float, patience_s: float) -> str | None:
    """Return why a place is left alone without asking its board.

    Args:
        board: some tunebench has its place.
        older_min: as the user says.
        patience_s: the longest of the inventory: a command may have a place for so long before it takes the lease.
    """
    from tunebench.harness.farm.identity import is_dead, living_pid

    owner = str(board.owner)
    if (pid := living_pid(owner)) is not None:
        return f"process {pid} of this host has it and lives"
    if board.owner_waits:
        return f"{owner} has it and waits in the farm's queue for another board, so it lives"
    if board.held_s is None or board.held_s < 60 * older_min:
        return f"held for less than {older_min:g} minutes"
    if board.held_s < patience_s and not is_dead(owner):
        return (
            f"held for less than patience_s = {patience_s:g}, the longest of the inventory: until then {owner} may be"
            " waiting, with no lease on the board yet; --older-min cannot go below it"
        )
    return None


def _farms(inventory: Path) -> list[str]:
    """Return the farms that an inventory names, without asking them.

    Raises:
        UsageError: it names none.
    """
    from tunebench.harness.config.inventory import farms_of

    farms = farms_of(inventory)
    if not farms:
        raise UsageError(
            f'{inventory}: names no farm; a table [[farm]] with source = "labgrid://HOST:PORT" does'
        )
    return farms


def _words(board: FarmBoard) -> str:
    where = (
        f"{board.user or ''}{'@' if board.user else ''}{board.address}:{board.port}" if board.address else ""
    )
    whose = "free"
    if board.owner is not None:
        minutes = f" for {board.held_s / 60:.0f} min" if board.held_s is not None else ""
        whose = (
            f"held by {board.owner}{minutes}{', who waits for another board' if board.owner_waits else ''}"
        )
    tags = " ".join(f"{key}:{value}" for key, value in sorted(board.tags.items()))
    return "; ".join(part for part in (where, whose, tags, board.problem) if part)
