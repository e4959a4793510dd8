"""``tunebench emulate``: an emulated Raspberry Pi 3B as a board, for CI and for those who have none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli.options import output_file, stdout_is_taken
from tunebench.harness.errors import EXIT_INFRA, HarnessError, UsageError
from tunebench.reports.formatting.output import STDOUT, write_output
from tunebench.targets.virtual.qemu import BOOT_S, recipe

if TYPE_CHECKING:
    from tunebench.targets.virtual.qemu.image import Tell
    from tunebench.targets.virtual.qemu.machine import EmulatedBoard, Status

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Emulated boards: real ARM Linux in QEMU; their times are not a board's.",
)
raspi3b = typer.Typer(
    no_args_is_help=True,
    help="A Raspberry Pi 3B in QEMU, reached over SSH on 127.0.0.1.\n\n"
    "Exit codes: 0 ok; 2 something is missing (packages, root, the image) or wrongly asked; 4 the build or the boot "
    "failed, or (status) the board is not up.",
)
app.add_typer(raspi3b, name="raspi3b")


class MachineName(StrEnum):
    """What QEMU emulates around the same card."""

    RASPI3B = "raspi3b"
    VIRT = "virt"


NameOption = Annotated[
    str, typer.Option("--name", help="The board's id; boards of other names are other boards.", metavar="ID")
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", help="Where images are kept [~/.cache/tunebench/emulated].", metavar="DIR"),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", help="This board's folder [~/.local/state/tunebench/emulated/ID].", metavar="DIR"
    ),
]
RuntimeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--runtime",
        help="A runtime for compressed networks that is on the card: onnxruntime, ncnn or litert. May be given again.",
        metavar="NAME",
    ),
]


@raspi3b.command()
def build(
    cache: CacheOption = None,
    runtime: RuntimeOption = None,
    mirror: Annotated[str, typer.Option("--mirror", help="Debian mirror.", metavar="URL")] = recipe.MIRROR,
) -> None:
    """Build the image from Debian's packages, or find it built; prints its folder. Needs root, half a minute, 0.5 GB."""
    from tunebench.harness.lab.emulated import fetched_runtimes
    from tunebench.targets.virtual.qemu import image

    tell = _teller()
    with _translated():
        extra = fetched_runtimes(_checked(runtime), tell)
        built = image.build(cache or image.cache_folder(), tell, mirror=mirror, extra=extra)
    typer.echo(built.path)


@raspi3b.command()
def up(
    name: NameOption = "raspi3b",
    machine: Annotated[
        MachineName,
        typer.Option("--machine", help="raspi3b: a Pi's identity and sensors; virt: faster, neither."),
    ] = MachineName.RASPI3B,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="On 127.0.0.1 [a free one].")
    ] = None,
    keep_disk: Annotated[
        bool, typer.Option("--keep-disk", help="Go on with the card of the last run, as after a power cut.")
    ] = False,
    inventory_out: Annotated[
        Path | None,
        typer.Option(
            "--inventory-out",
            help="Write the inventory here; - prints it.",
            parser=output_file,
            metavar="FILE",
        ),
    ] = None,
    boot_s: Annotated[
        float, typer.Option("--boot-s", min=1.0, help="How long to wait for a login, s.")
    ] = BOOT_S,
    cache: CacheOption = None,
    state: StateOption = None,
    runtime: RuntimeOption = None,
) -> None:
    """Start the board with a fresh copy of the card, wait for a login, write its inventory; prints that file."""
    from tunebench.targets.virtual.qemu import image

    tell = _teller()
    board = _board(name, state)
    with _translated():
        built = image.find_any(cache or image.cache_folder(), _checked(runtime))
        started = board.up(built, tell, machine=machine.value, port=port, keep_disk=keep_disk, boot_s=boot_s)
    text = board.inventory_text(started).encode()
    if stdout_is_taken({"--inventory-out": inventory_out}):
        write_output(STDOUT, text, "--inventory-out")
        return
    path = (inventory_out or board.inventory).absolute()
    write_output(path, text, "--inventory-out")
    typer.echo(path)


@raspi3b.command()
def down(
    name: NameOption = "raspi3b",
    hard: Annotated[bool, typer.Option("--hard", help="Cut the power instead of powering off.")] = False,
    state: StateOption = None,
) -> None:
    """Power the board off; one that is not up is fine."""
    board = _board(name, state)
    with _translated():
        ended = board.down(_teller(), hard=hard)
    typer.echo(f"{name}: {'ended' if ended else 'was not up'}")


@raspi3b.command()
def status(
    name: NameOption = "raspi3b",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    state: StateOption = None,
) -> None:
    """Say whether the board is up, its process, its port and since when."""
    board = _board(name, state)
    board_status = board.status()
    typer.echo(
        json.dumps(_status_json(board, board_status), indent=2)
        if as_json
        else _status_line(board, board_status)
    )
    if not board_status.login:
        raise typer.Exit(EXIT_INFRA)


def _status_json(board: EmulatedBoard, status: Status) -> dict[str, Any]:
    return {
        "board_id": board.board_id,
        "up": bool(status.login),
        "running": status.running,
        "reason": status.reason,
        "folder": str(board.folder),
        **(asdict(status.state) if status.state else {}),
    }


def _status_line(board: EmulatedBoard, status: Status) -> str:
    if status.state is None:
        return f"{board.board_id}: not up ({status.reason})"
    login = "up" if status.login else f"running, but nobody can log in ({status.reason})"
    state = status.state
    return (
        f"{board.board_id}: {login}; {state.machine}, pid {state.pid}, 127.0.0.1:{state.port},"
        f" since {state.started_utc}; folder {board.folder}"
    )


def _checked(runtimes: list[str] | None) -> list[str]:
    """Return the runtimes asked for; a wrong one is refused."""
    from tunebench.harness.cli.setup import check_runtime

    for name in runtimes or ():
        check_runtime(name)
    return runtimes or []


def _board(name: str, folder: Path | None) -> EmulatedBoard:
    from tunebench.harness.config.inventory import is_name
    from tunebench.targets.virtual.qemu.machine import EmulatedBoard, state_folder

    if not is_name(name):
        raise UsageError(
            f"--name {name!r}: use 1-64 letters, digits, '.', '_' or '-', a letter or digit first"
        )
    return EmulatedBoard((folder or state_folder(name)).absolute(), name)


def _teller() -> Tell:
    """Return a function that prints lines with the time since the start on stderr: stdout is for the result."""
    began_s = time.monotonic()
    return lambda line: typer.echo(f"[{time.monotonic() - began_s:6.1f} s] {line}", err=True)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what is missing or in use as the user's to mend (exit code 2), what failed as infrastructure (4)."""
    from tunebench.targets.virtual.qemu.errors import EmulationError, InUseError, MissingError

    try:
        yield
    except (MissingError, InUseError) as error:
        raise UsageError(str(error)) from None
    except EmulationError as error:
        raise HarnessError(str(error)) from None
