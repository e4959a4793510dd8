"""The command ``tunebench``: finds the command asked for, and turns errors into one message and an exit code.

Exit codes stand in :mod:`tunebench.harness.errors`, the list of commands in :mod:`tunebench.harness.cli.registry`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tunebench.harness.cli.group import CommandGroup
from tunebench.harness.errors import EXIT_INFRA, EXIT_INTERRUPTED, HarnessError, UsageError

app = typer.Typer(
    name="tunebench",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Benchmark on-device fine-tuning on Raspberry Pi and Jetson boards over SSH.\n\n"
    "Exit codes: 0 ok, 1 a measured failure, 2 usage, 3 some boards skipped or repetitions invalid, "
    "4 infrastructure, 130 interrupted (the run is resumable).",
)


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
) -> None:
    """tunebench."""


def main() -> None:
    """Run the command line; end with the documented exit code, and one message where something was wrong."""
    try:
        app()
    except HarnessError as error:
        _end(error, error.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", EXIT_INTERRUPTED)
    except OSError as error:
        _end(error, EXIT_INFRA)
    except Exception as error:
        from tunebench.reports.results import ResultsError

        if not isinstance(error, ResultsError):
            raise
        _end(error, UsageError.exit_code)


def _end(message: object, code: int) -> None:
    typer.echo(f"tunebench: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
