"""``tunebench setup``: a board made ready."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from tunebench.harness import hints
from tunebench.harness.cli.options import BoardArgument, InventoryOption, JsonFlag, stderr_console
from tunebench.harness.errors import EXIT_INFRA, EXIT_OK, EXIT_PARTIAL, UsageError

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry
    from tunebench.harness.lab.setup import SetupResult

#: Shows a line of progress to the user.
Say = Callable[[str], None]

app = typer.Typer(add_completion=False)


@app.command()
def setup(
    board: BoardArgument,
    inventory: InventoryOption,
    torch: Annotated[
        Literal["cpu", "jetson", "none"] | None,
        typer.Option(
            "--torch",
            help="Which torch; by default jetson for a Jetson, cpu for the others, none with --runtime.",
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="Install a runtime for compressed networks, too: onnxruntime, ncnn or litert.",
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME",
            help="What else the board gets beside torch: transformers (with peft), bitsandbytes. May be given again.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="The board has no internet: fetch the wheels here and push them."),
    ] = False,
    python: Annotated[
        str | None,
        typer.Option(
            "--python",
            metavar="CMD",
            help="The board's Python to build on; default: the inventory's `python`.",
        ),
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index-url", metavar="URL", help="A mirror to take all wheels from.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write the interpreter into the inventory instead of only printing it."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Prepare a board: check it, make a virtual environment, install the torch that fits, or the runtime asked for.

    ``--with transformers`` brings Hugging Face's transformers and peft, too. No root is needed. A run that was cut off
    goes on where it was; a second one does nothing. Prints the line for the inventory.
    """
    from tunebench.harness.config.inventory_edit import set_interpreter
    from tunebench.harness.lab.setup import Refusal, Wish, default_flavour, set_up
    from tunebench.harness.lab.wheelhouse import FetchError
    from tunebench.targets.boards.additions import addition_names
    from tunebench.targets.errors import TargetError

    entry = _board(inventory, board)
    additions = tuple(dict.fromkeys(beside or ()))
    if unknown := [name for name in additions if name not in addition_names()]:
        raise UsageError(f"--with {unknown[0]}: there is {', '.join(addition_names())}")
    check_runtime(runtime)
    flavour = torch or ("none" if runtime is not None and not additions else default_flavour(entry))
    wish = Wish(flavour, offline, python, index, additions=additions, runtime=runtime)
    console = stderr_console()

    def say(text: str) -> None:
        console.print(f"{entry.id}: {text}", markup=False, highlight=False, soft_wrap=True)

    try:
        outcome = set_up(entry, wish, say)
    except (Refusal, FetchError) as error:
        _fail(entry, str(error), EXIT_PARTIAL, as_json, say)
    except TargetError as error:
        _fail(entry, str(error), EXIT_INFRA, as_json, say)
    except KeyboardInterrupt:
        say(f"what the board has begun it ends; `{hints.command(*sys.argv[1:])}` follows it")
        raise
    if write:
        set_interpreter(inventory, entry.id, outcome.python)
    _print(outcome, inventory, write, as_json, say)
    raise typer.Exit(EXIT_OK)


def check_runtime(name: str | None) -> None:
    """Refuse a runtime that no wheel of its own brings."""
    from tunebench.targets.boards.runtime_wheels import runtime_names
    from tunebench.workloads.deploy import RUNTIMES

    able = runtime_names()
    if name is None or name in able:
        return
    if name == "torch":
        raise UsageError("--runtime torch: torch is brought by --torch (cpu, jetson)")
    reason = (
        RUNTIMES[name].nowhere
        if name in RUNTIMES
        else f"there is no such runtime; there are: {', '.join(able)}"
    )
    raise UsageError(f"--runtime {name}: {reason}")


def _board(inventory: Path, board_id: str) -> BoardEntry:
    from tunebench.harness.config.inventory import load_inventory

    boards = {entry.id: entry for entry in load_inventory(inventory).boards}
    if board_id not in boards:
        raise UsageError(f"{inventory}: no board {board_id!r}; the inventory has: {', '.join(boards)}")
    return boards[board_id]


def _fail(entry: BoardEntry, reason: str, code: int, as_json: bool, say: Say) -> NoReturn:
    say(reason)
    if as_json:
        typer.echo(
            json.dumps({"board_id": entry.id, "interpreter": None, "reason": reason, "exit_code": code})
        )
    raise typer.Exit(code)


def _print(outcome: SetupResult, inventory: Path, written: bool, as_json: bool, say: Say) -> None:
    for note in outcome.notes:
        say(note)
    with_torch = (
        f"torch {outcome.torch}" + (" with CUDA" if outcome.cuda else "") if outcome.torch else "no torch"
    )
    say(f"ready: {outcome.python}, {', '.join([with_torch, *outcome.additions])}")
    if as_json:
        typer.echo(json.dumps({**outcome.as_dict(), "written": written}, indent=2, sort_keys=True))
    elif written:
        typer.echo(f"{inventory}: board {outcome.board_id!r} has {outcome.line}")
    else:
        typer.echo(outcome.line)
