"""Write docs/cli.md, every command with its options, from the commands themselves: ``python scripts/cli_page.py``.

A test holds the page to the code.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from tunebench.harness.cli.registry import COMMANDS, module_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
#: In the order of a first day; a command that stands in none comes under the last one.
GROUPS = {
    "A first lab": ("demo", "init", "boards", "setup", "doctor", "plan", "run", "status", "runs"),
    "Your own method": ("new-method", "try", "params", "suites", "examples", "tune-rates"),
    "Reading results": ("report", "compare", "verify", "export", "push", "merge"),
    "A lab every night": ("nightly", "gate", "accept", "quarantine", "calibrate", "index", "site"),
    "Boards and their sensors": ("release", "meter", "sensors", "emulate"),
    "More": (),
}
_HEAD = """# Commands

<!-- written by scripts/cli_page.py from the commands themselves; do not edit -->

`tunebench COMMAND --help` says the same at a terminal. `-i` may be left out: the inventory is then `./lab.toml`, else the
file that `TUNEBENCH_INVENTORY` names, else `~/.config/tunebench/lab.toml`; which one it was is said on standard error.
What commands tell a script: [exit codes](exit-codes.md). `tunebench --install-completion` teaches your shell the names of
commands, suites, methods, boards and runs.
"""


def page() -> str:
    """Return the whole page."""
    grouped = {name for names in GROUPS.values() for name in names}
    lines = [_HEAD]
    sections: list[str] = []
    for title, names in GROUPS.items():
        rest = [] if names else [name for name in COMMANDS if name not in grouped]
        members = [name for name in (*names, *rest) if name in COMMANDS]
        if not members:
            continue
        lines += [f"**{title}**", "", "| command | what it does |", "|---|---|"]
        lines += [f"| [`{name}`](#tunebench-{name}) | {_cell(COMMANDS[name])} |" for name in members]
        lines.append("")
        for name in members:
            sections += _sections(f"tunebench {name}", import_module(module_of(name)).app)
    return "\n".join([*lines, *sections]).rstrip("\n") + "\n"


def _sections(path: str, app: typer.Typer) -> Iterator[str]:
    """Return the lines on a command, or on a group and its commands."""
    commands = app.registered_commands
    if len(commands) == 1 and app.registered_callback is None and not app.registered_groups:
        yield from _command(path, commands[0].callback)
        return
    yield from (f"## {path}", "", _text(str(app.info.help)), "")
    for command in commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        yield from _command(f"{path} {name}", command.callback)
    for group in app.registered_groups:
        yield from _sections(f"{path} {group.name}", group.typer_instance)


def _command(path: str, function: Any) -> Iterator[str]:
    """Return the lines on one command: its help, its usage and a table of what it takes."""
    taken = [param for param in _parameters(function) if not param.hidden]
    arguments = [param.name for param in taken if param.argument]
    usage = " ".join([path, *arguments, *(["[OPTIONS]"] if len(arguments) < len(taken) else [])])
    yield from (f"## {path}", "", _text(inspect.getdoc(function) or ""), "", "```", usage, "```", "")
    if taken:
        yield from ("| argument or option | what it is | default |", "|---|---|---|")
        rows = sorted(taken, key=lambda param: not param.argument)
        yield from (f"| `{param.name}` | {_cell(param.help)} | {param.default} |" for param in rows)
        yield ""


@dataclass(frozen=True)
class _Parameter:
    """An argument or option as the page shows it."""

    name: str
    help: str
    default: str
    argument: bool
    hidden: bool


def _parameters(function: Any) -> Iterator[_Parameter]:
    """Return what a command takes, in the order of its function."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, *notes = get_args(hints[name]) if hasattr(hints[name], "__metadata__") else (hints[name],)
        info = next((note for note in notes if isinstance(note, OptionInfo | ArgumentInfo)), None)
        if info is None:
            continue
        value = None if parameter.default is inspect.Parameter.empty else parameter.default
        needed = parameter.default is inspect.Parameter.empty and info.default_factory is None
        shown = (
            "needed"
            if needed
            else _cell(info.show_default)
            if isinstance(info.show_default, str)
            else _value(value)
        )
        if isinstance(info, ArgumentInfo):
            meta = (info.metavar or name.upper()).strip("[].")
            several = "..." if get_origin(kind) is list else ""
            label = f"{meta}{several}" if needed else f"[{meta}{several}]"
        else:
            # Typer keeps the first name of an annotated option where a default would stand.
            names = [word for word in (info.default, *(info.param_decls or ())) if isinstance(word, str)]
            words = ", ".join(names or [f"--{name.replace('_', '-')}"])
            label = words if kind is bool else f"{words} {_meta(info, kind)}"
        yield _Parameter(
            label.replace("|", "\\|"), info.help or "", shown, isinstance(info, ArgumentInfo), info.hidden
        )


def _meta(info: OptionInfo, kind: Any) -> str:
    """Return what stands for an option's value."""
    inner = [
        part
        for part in (get_args(kind) if get_origin(kind) is not Literal else (kind,))
        if part is not type(None)
    ]
    kind = inner[0] if inner else kind
    if info.metavar:
        return info.metavar
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _value(value: Any) -> str:
    value = getattr(value, "value", value)
    return "" if value is None or value is False or value == [] else f"`{value}`"


def _text(text: str) -> str:
    """Return the paragraphs of a help text, each in one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the page anew."""
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
