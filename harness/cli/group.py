"""The group behind ``tunebench``: it knows its commands by name and imports one only to run it or to print its help."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tunebench.harness.cli.registry import COMMANDS, GROUP, CommandModule, module_of
from tunebench.harness.errors import HarnessError, UsageError, ending_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class CommandGroup(TyperGroup):
    """The built-in commands of the registry, then those of other packages, each imported when it is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, summary in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=summary)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names in the order of the help: the registry's, then other packages' by alphabet."""
        self._add_entry_points()
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a placeholder with the name and the summary of a command, or None; nothing is imported."""
        if cmd_name not in self.commands:
            self._add_entry_points()
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and remaining arguments of what is to be run; this imports the command's module."""
        name, command, remaining = super().resolve_command(ctx, args)
        if name is not None:
            command = _load(name)
        return name, command, remaining

    def invoke(self, ctx: Any) -> Any:
        """Run the command; keep from typer what it would end as 1, which means a measured failure here.

        Raises:
            HarnessError: a pipe or a connection was closed under the command, or a question was not answered with yes.
        """
        try:
            return super().invoke(ctx)
        except typer.Abort:
            raise HarnessError("not done: nobody said yes") from None
        except (EOFError, BrokenPipeError) as error:
            raise HarnessError(ending_of(error).message) from error

    def _add_entry_points(self) -> None:
        for entry in sorted(_entry_points(), key=lambda entry: entry.name):
            if entry.name not in self.commands:
                self.commands[entry.name] = TyperCommand(
                    entry.name, help=f"Of the package {_package(entry)}."
                )


def _entry_points() -> Iterable[EntryPoint]:
    # importlib.metadata takes as long to import as half of the help takes to print; most commands do not need it.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _load(name: str) -> Any:
    """Import the module of a command and return its command or group.

    Raises:
        UsageError: another package's command cannot be imported, or several packages offer one of this name.
    """
    module: CommandModule
    if name in COMMANDS:
        module = import_module(module_of(name))
        command = typer.main.get_command(module.app)
    else:
        command = _load_entry_point(name)
    command.name = name
    return command


def _load_entry_point(name: str) -> Any:
    entries = [entry for entry in _entry_points() if entry.name == name]
    if len({entry.value for entry in entries}) > 1:
        packages = ", ".join(sorted(map(_package, entries)))
        raise UsageError(
            f"command {name!r} is offered by several packages: {packages}; uninstall all but one"
        )
    try:
        return typer.main.get_command(entries[0].load().app)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"command {name!r} of the package {_package(entries[0])} cannot be loaded: {reason}"
        ) from error
