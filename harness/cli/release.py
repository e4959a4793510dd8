"""``tunebench release``: ends a lease that nobody is going to give back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.environment import owner
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import EXIT_INFRA, EXIT_OK, UsageError
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.errors import ConditionError, TargetError


def release(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="A board's id in the inventory.")],
    inventory: Annotated[
        Path, typer.Option("--inventory", "-i", help="The lab's boards (TOML).", metavar="FILE")
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also a lease in force; the next owner's records say who ended it."),
    ] = False,
) -> None:
    """End a board's lease: an expired one, or with --force anybody's.

    A repetition that runs is not stopped, and the board is not given to others before it has ended.
    """
    entry = next((one for one in load_inventory(inventory).boards if one.id == board), None)
    if entry is None:
        known = ", ".join(one.id for one in load_inventory(inventory).boards)
        raise UsageError(f"{inventory}: no board {board!r}; it has: {known}")
    said, code = end_lease(entry.spec(), force=force)
    typer.echo(f"{board}: {said}", err=code != EXIT_OK)
    raise typer.Exit(code)


def end_lease(spec: BoardSpec, *, force: bool) -> tuple[str, int]:
    """What was done, in a sentence, and the exit code: 4 if it was refused or the board cannot be reached."""
    me = owner(f"release-{os.getpid()}")
    try:
        with Board(spec) as board:
            board.sync([build_payload()])
            ended = board.release(me, force)
    except ConditionError as error:
        return f"{error}; --force ends it all the same", EXIT_INFRA
    except TargetError as error:
        return str(error), EXIT_INFRA
    if ended is None:
        return "no lease", EXIT_OK
    holder = ended.get("owner")
    holder = holder if isinstance(holder, dict) else {}
    return f"the lease of {str(holder.get('user'))[:40]}@{str(holder.get('host'))[:80]} is ended", EXIT_OK
