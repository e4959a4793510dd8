"""The command ``tunebench``: finds the command asked for, and turns errors into one message and an exit code.

Exit codes stand in :mod:`tunebench.harness.errors`, the list of commands in :mod:`tunebench.harness.cli.registry`.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from tunebench.harness import hints
from tunebench.harness.account import complete_account
from tunebench.harness.cli.group import CommandGroup
from tunebench.harness.cli.registry import COMMANDS
from tunebench.harness.cli.streams import Streams
from tunebench.harness.errors import EXIT_INFRA, EXIT_OK, ending_of

app = typer.Typer(
    name="tunebench",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Benchmark on-device fine-tuning on Raspberry Pi and Jetson boards over SSH.\n\n"
    "Exit codes: 0 ok, 1 a measured failure, 2 usage, 3 some boards skipped or repetitions invalid, "
    "4 infrastructure, 130 interrupted (the run is resumable).",
)

_DEBUG = "--debug"
#: What these print is on disk, too: an output that is lost does not change their exit code.
_CAMPAIGNS = ("run", "demo", "nightly")


def _version(value: bool) -> None:
    if value:
        from tunebench.harness import __version__

        typer.echo(f"tunebench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Show where an error came from: with its traceback.")
    ] = False,
) -> None:
    """tunebench."""


def main() -> None:
    """Run the command line; end with the documented exit code, and one message where something was wrong."""
    streams = Streams()
    arguments, debug = without_debug(sys.argv[1:])
    _quieten(debug)
    try:
        complete_account()
        app(arguments)
    except SystemExit as ending:
        _end(streams, arguments, ending.code)
    except BaseException as error:  # noqa: BLE001 - the edge: whatever it is, it ends as one sentence
        end = ending_of(error)
        hint = "" if end.foreseen or debug else f"; `{hints.command(_DEBUG, *arguments)}` shows the traceback"
        if debug and not isinstance(error, KeyboardInterrupt):
            traceback.print_exception(error)
        typer.echo(f"tunebench: {end.message}{hint}", err=True)
        _end(streams, arguments, end.code)
    _end(streams, arguments, EXIT_OK)


def without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Return the command line without ``--debug``, and whether it was there.

    It may stand behind a command's name, too; a command of another package may have an option of that name, so there
    it is left alone.
    """
    command = next((word for word in arguments if not word.startswith("-")), None)
    end = len(arguments)
    if "--" in arguments:
        end = arguments.index("--")
    if command is not None and command not in COMMANDS:
        end = min(end, arguments.index(command))
    remaining = [word for word in arguments[:end] if word != _DEBUG]
    return [*remaining, *arguments[end:]], len(remaining) < end


def _end(streams: Streams, arguments: Sequence[str], code: Any) -> NoReturn:
    """End the process; tell if what it was to print is lost, and then let only a campaign keep its 0."""
    reason = streams.lost()
    if reason is not None:
        typer.echo(f"tunebench: standard output: {reason}; what was to be printed is not whole", err=True)
        reports_on_disk = arguments[:1] and arguments[0] in _CAMPAIGNS and "--json" not in arguments
        if code in (None, EXIT_OK) and not reports_on_disk:
            code = EXIT_INFRA
    streams.lost()  # flushes the message
    sys.exit(code)


def _quieten(debug: bool) -> None:
    """Keep tracebacks of threads, of destructors and of libraries' logs from the terminal, unless they are asked for."""
    if debug:
        logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
        return
    logging.getLogger().addHandler(logging.NullHandler())
    threading.excepthook = _tell_of_thread
    sys.unraisablehook = lambda _: None


def _tell_of_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and failed.exc_type is not SystemExit:
        name = failed.thread.name if failed.thread is not None else "thread"
        typer.echo(f"tunebench: {name}: {ending_of(failed.exc_value).message}", err=True)


if __name__ == "__main__":
    main()
