"""``tunebench new-method``: the scaffold of a method of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.hints import command as hint

app = typer.Typer(add_completion=False)


@app.command(name="new-method")
def new_method(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The method's name in tables.")],
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the files go.")] = Path(),
    command: Annotated[
        bool,
        typer.Option(
            "--command", help="A command in pure Python, for boards without torch, instead of a module."
        ),
    ] = False,
) -> None:
    """Write the scaffold of a method of your own: code that works as it stands, and a suite to compare it.

    Change the code where it says CHANGE; `tunebench try` runs it once on this machine.
    """
    from tunebench.harness.config.new_method import write_scaffold

    scaffold = write_scaffold(name, folder, "command" if command else "module")
    typer.echo(f"{scaffold.code}: the method; change it where it says CHANGE")
    typer.echo(f"{scaffold.suite}: a suite that compares it with built-in ones")
    typer.echo(f"Next: {hint('try', scaffold.suite)}")
