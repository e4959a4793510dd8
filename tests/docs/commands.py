"""Collect the commands that our texts tell a user to type, and read them as the command line would."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import typer

from tunebench.harness.cli.app import without_debug
from tunebench.harness.cli.registry import COMMANDS, module_of

ROOT = Path(__file__).parents[2]
#: Stands where a text has something of this run; a number, so that it may be one.
STAND_IN = "1"
#: Folders whose texts reach a user.
SOURCES = ("harness", "reports", "targets", "workloads", "tunebench")
_QUOTED = re.compile(r"`((?:sudo [^`]*)?(?:\S+ -m )?tunebench [^`]*)`")
_WHOLE = re.compile(r"tunebench [a-z][a-z-]+(?: -[^\n]*)")
#: A file without any of these tells no command: to read all of them takes a collection of the tests seconds. A line of a
#: text that is cut in two has its blank at the end of the first.
_TELLS = re.compile(r"""tunebench\s|["']tunebench["']|\b(?:command|hint)\(""")


@dataclass(frozen=True)
class Told:
    """A command that a text tells: where, its words, and whether the text means it to be pasted."""

    where: str
    line: str

    def __str__(self) -> str:
        return f"{self.where}: {self.line}"


def hints() -> Iterator[Told]:
    """Yield what our code tells: in backticks, as a whole text, as words of a list or of ``command(...)``."""
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if folder == "tunebench" and path.is_symlink():
                continue
            where = str(path.relative_to(ROOT))
            if where.startswith("tunebench/") and where.count("/") > 1:
                continue  # a link to another folder
            source = path.read_text(encoding="utf-8")
            if not _TELLS.search(source):
                continue
            nodes = list(ast.walk(ast.parse(source)))
            yield from _of_texts(nodes, where)
            yield from _of_calls(nodes, where)


#: Advice on an option: "add --offline", "or give --baseline". Help texts explain options and may name others.
_ADVICE = re.compile(r"\b(?:add|use|give|try|pass|without|continues? with) (?:another |an? )?`?--[a-z]")


#: Functions that write whole commands.
_WRITERS = {"command", "hint", "anew", "continuing"}
#: Of the table of torch wheels, which knows no board: set-up puts the whole command in its place.
_SET_UP = re.compile(r"use --torch (?:none|cpu|1)\b")


def loose_options() -> Iterator[Told]:
    """Yield the texts of the command line's rooms that advise an option and tell no command."""
    for folder in (
        "harness",
        "reports",
        "targets/client",
        "targets/boards",
        "targets/transport",
        "targets/virtual",
    ):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in _texts(list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))):
                text = _plain(node)
                whole = "tunebench" in text or "pytest" in text or _SET_UP.search(text) or _has_command(node)
                if _ADVICE.search(text) and not whole:
                    yield Told(f"{path.relative_to(ROOT)}:{node.lineno}", text)


def _has_command(node: ast.Constant | ast.JoinedStr) -> bool:
    """Tell whether a whole command is put into a text: by ``command(...)``, under whatever name it is imported."""
    calls = [value.value for value in getattr(node, "values", ()) if isinstance(value, ast.FormattedValue)]
    functions = [call.func for call in calls if isinstance(call, ast.Call)]
    return any(getattr(function, "attr", getattr(function, "id", "")) in _WRITERS for function in functions)


def _of_texts(nodes: list[ast.AST], where: str) -> Iterator[Told]:
    for node in _texts(nodes):
        text = _plain(node)
        for line in _QUOTED.findall(text):
            yield Told(f"{where}:{node.lineno}", line)
        if _WHOLE.fullmatch(text):
            yield Told(f"{where}:{node.lineno}", text)


def _texts(nodes: list[ast.AST]) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Yield the texts of a module, given by all its nodes, that are no docstrings, each once."""
    docstrings = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {id(value) for node in nodes if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in nodes:
        if (
            id(node) not in docstrings
            and id(node) not in parts
            and isinstance(node, ast.Constant | ast.JoinedStr)
        ):
            yield node


def _plain(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(value.value) if isinstance(value, ast.Constant) else STAND_IN for value in node.values)


def _of_calls(nodes: list[ast.AST], where: str) -> Iterator[Told]:
    """Yield the commands that are put together by :func:`tunebench.harness.hints.command` from words that stand there."""
    for node in nodes:
        if isinstance(node, ast.List) and any(
            getattr(item, "value", None) == "tunebench" for item in node.elts
        ):
            yield Told(f"{where}:{node.lineno}", shlex.join(_words(node.elts)))
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        if (
            name not in ("command", "hint")
            or not isinstance(first, ast.Constant)
            or not isinstance(first.value, str)
        ):
            continue
        yield Told(f"{where}:{node.lineno}", shlex.join(["tunebench", *_words(node.args)]))


def _words(items: list[ast.expr]) -> list[str]:
    """Return the words of a list; several that are put in are one where they are made of others, else none."""
    return [
        str(item.value) if isinstance(item, ast.Constant) else STAND_IN
        for item in items
        if not isinstance(item, ast.Starred) or isinstance(item.value, ast.Call)
    ]


def of_docs() -> Iterator[Told]:
    """Yield the command lines of the documentation's console blocks."""
    for path in sorted(
        [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.toml")]
    ):
        block = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            block = not block if line.startswith("```") else block
            plain = re.sub(r"^(\$|#) ", "", line.strip()).partition(" #")[0].rstrip()
            if plain.startswith(("tunebench ", "sudo --preserve-env=HOME tunebench ")) and (
                block or line.startswith("    ") or path.suffix == ".toml"
            ):
                yield Told(f"{path.relative_to(ROOT)}:{number}", plain)


def reads(line: str) -> str | None:
    """Return why the command line would refuse these words; None if it would run them.

    Paths need not be there: what is asked is whether command, options and arguments are whole.
    """
    if "..." in line:
        return "it has an ellipsis: that cannot be pasted"
    words = shlex.split(line, comments=True)
    while words and words[0] != "tunebench":
        words.pop(0)
    words, _ = without_debug(words[1:])
    if not words or words == ["--version"]:
        return None
    name, *rest = words
    if name not in COMMANDS:
        return f"there is no command {name!r}"
    command = typer.main.get_command(import_module(module_of(name)).app)
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    if hasattr(command, "commands"):
        return "it lacks a command of this group"
    try:
        command.make_context(name, list(rest))
    except Exception as error:  # noqa: BLE001 - of typer's own parser, whose classes differ between its versions
        return getattr(error, "message", None) or f"{type(error).__name__}: {error}"
    except SystemExit:
        return "it ends at once"
    return None
