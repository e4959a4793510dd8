"""``tunebench release``: ends a lease that nobody is going to give back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import BoardArgument, InventoryOption
from tunebench.harness.errors import EXIT_INFRA, EXIT_OK, UsageError
from tunebench.harness.hints import command

if TYPE_CHECKING:
    from tunebench.targets.client.connection import BoardSpec

app = typer.Typer(add_completion=False)


@app.command()
def release(
    board: BoardArgument,
    inventory: InventoryOption,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also a lease in force; the next owner's records say who ended it."),
    ] = False,
) -> None:
    """End a board's lease: an expired one or that of a dead process of this host, or with --force anybody's.

    A repetition that runs is not stopped, and the board is not given to others before it has ended.
    """
    from tunebench.harness.config.inventory import load_inventory

    entries = load_inventory(inventory).boards
    entry = next((entry for entry in entries if entry.id == board), None)
    if entry is None:
        known = ", ".join(entry.id for entry in entries)
        raise UsageError(f"{inventory}: no board {board!r}; it has: {known}")
    message, code = end_lease(entry.spec(), force=force)
    typer.echo(f"{board}: {message}", err=code != EXIT_OK)
    raise typer.Exit(code)


def end_lease(spec: BoardSpec, *, force: bool) -> tuple[str, int]:
    """End the lease of a board; return what was done, in a sentence, and the exit code.

    The code is 4 if the board refuses or cannot be reached.
    """
    from tunebench.harness.artifacts.gather import build_payload
    from tunebench.harness.board.dead_owner import dead_holder
    from tunebench.harness.board.environment import owner
    from tunebench.targets.client.board import Board
    from tunebench.targets.errors import ConditionError, TargetError

    me = owner(f"release-{os.getpid()}")
    try:
        with Board(spec) as board:
            board.sync([build_payload()])
            try:
                ended = board.release(me, force)
            except ConditionError as error:
                dead = dead_holder(error)
                if dead is None:
                    raise
                ended = board.release(me, force, dead)
    except ConditionError as error:
        again = command("release", spec.id, "--force", inventory=True)
        return f"{error}; `{again}` ends it all the same", EXIT_INFRA
    except TargetError as error:
        return str(error), EXIT_INFRA
    if ended is None:
        return "no lease", EXIT_OK
    return f"the lease of {str(ended.owner.user)[:40]}@{str(ended.owner.host)[:80]} is ended", EXIT_OK
