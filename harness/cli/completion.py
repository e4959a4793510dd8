"""Names for the shell's completion: suites, methods, boards and runs, read from files by their names alone.

Typer asks these functions at every press of the tab key, so nothing heavy is imported and no board is asked. A file that
cannot be read completes to nothing: the command itself says what is wrong with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from tunebench.harness.config.inventory_place import find_inventory
from tunebench.harness.errors import UsageError
from tunebench.reports.exports.registry import FORMATS

Completion = tuple[str, str]

#: The variable by which a shell asks for completions; typer's, of the program's name.
ASKED = "_TUNEBENCH_COMPLETE"

_SUITES = Path(__file__).resolve().parent.parent / "config" / "suites"
#: A run lies so many folders below a results root.
_ROOT_DEPTH = 5
#: The newest of a store of years.
_MOST_RUNS = 50
#: So many folders are looked into, at most: `/` may have been typed.
_MOST_LOOKED_AT = 2000
#: A plan of a thousand boards is not read to say what it was.
_LARGEST_PLAN_B = 1 << 22


def suites(incomplete: str) -> list[Completion]:
    """Return the built-in suites, each with what it is for, and files and folders that may hold one."""
    built_in = [(path.stem, description(path)) for path in sorted(_SUITES.glob("*.toml"))]
    return [*_beginning(incomplete, built_in), *_files(incomplete, ".toml")]


def boards(ctx: typer.Context, incomplete: str) -> list[Completion]:
    """Return the inventory's ids and tags; of a list with commas, its last entry is completed."""
    entries = _boards(ctx)
    names = [(str(entry.get("id")), str(entry.get("kind", ""))) for entry in entries if entry.get("id")]
    tags: dict[str, list[str]] = {}
    for entry in entries:
        for tag in entry.get("tags") or []:
            tags.setdefault(str(tag), []).append(str(entry.get("id")))
    names += [(tag, "tag of " + ", ".join(ids)) for tag, ids in tags.items()]
    return _of_list(incomplete, names)


def board(ctx: typer.Context, incomplete: str) -> list[Completion]:
    """Return the ids of the inventory's boards."""
    names = [(str(entry.get("id")), str(entry.get("kind", ""))) for entry in _boards(ctx) if entry.get("id")]
    return list(_beginning(incomplete, names))


def methods(ctx: typer.Context, incomplete: str) -> list[Completion]:
    """Return the methods and labels of the suite that the command line names, or of its default."""
    named = str(_given(ctx, "suite") or "quick")
    built_in = suite_file(named)
    suite = _tables(built_in if built_in.is_file() else Path(named))
    names: dict[str, str] = {}
    for entry in _of_tables(suite.get("workload")):
        task = str(entry.get("task") or f"{entry.get('dataset')}/{entry.get('model')}")
        for name in [entry.get("label")] if entry.get("label") else entry.get("methods") or []:
            names.setdefault(str(name), task)
    return _of_list(incomplete, list(names.items()))


def formats(incomplete: str) -> list[Completion]:
    """Return the formats of ``export --format``, each with who reads it."""
    return list(_beginning(incomplete, FORMATS.items()))


def runs(ctx: typer.Context, incomplete: str) -> list[Completion]:
    """Return the directories of runs below the results root, the newest first, each with its suite and state."""
    root = Path(str(_given(ctx, "out") or _given(ctx, "store") or "results"))
    given = Path(incomplete) if incomplete else root
    below = root if str(root).startswith(incomplete) or str(given).startswith(f"{root}/") else given
    matching = [
        (str(path), _run_words(path))
        for path in run_folders(below)[:_MOST_RUNS]
        if str(path).startswith(incomplete)
    ]
    return matching or list(_folders(incomplete))


def run_folders(root: Path) -> list[Path]:
    """Return the directories of runs below a folder, or the folder itself, the newest first; a look of bounded length."""
    folders: list[Path] = []
    level, left = [root], _MOST_LOOKED_AT
    for _ in range(_ROOT_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            if (folder / "plan.json").is_file():
                folders.append(folder)
                continue
            inside = _folders_in(folder)[:left]
            left -= len(inside)
            below += inside
        level = below
    return sorted(folders, key=lambda path: path.name, reverse=True)


def _folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, the last by name first: dates and ids grow."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names, reverse=True)]


def suite_file(name: str) -> Path:
    """Return where a built-in suite of this name lies, or would lie."""
    return _SUITES / f"{name}.toml"


def description(suite: Path) -> str:
    """Return the first sentence of the comment that a suite's file begins with; empty without one.

    >>> description(_SUITES / "smoke.toml")
    'One block, few epochs: does everything work on this board?'
    """
    words: list[str] = []
    try:
        with suite.open(encoding="utf-8") as file:
            for line in file:
                if not line.startswith("#"):
                    break
                words.append(line.lstrip("#").strip())
    except (OSError, UnicodeDecodeError):
        return ""
    return _first_sentence(" ".join(words))


def _first_sentence(text: str) -> str:
    for at, letter in enumerate(text):
        if (
            letter in ".?!"
            and text[at + 1 : at + 2] in ("", " ")
            and text[:at].count("(") == text[:at].count(")")
        ):
            return text[: at + 1]
    return text


def _given(ctx: typer.Context, name: str) -> Any:
    """Return the value of a parameter of the command as it stands so far."""
    return ctx.params.get(name)


def _boards(ctx: typer.Context) -> list[Mapping[str, Any]]:
    """Return the boards of the inventory that the command line names, or that the command would find."""
    named = _given(ctx, "inventory")
    if named is None:
        with contextlib.suppress(UsageError):
            named = find_inventory().path
    return _of_tables(_tables(Path(str(named or ""))).get("board"))


def _tables(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError, RecursionError):
        return {}


def _of_tables(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _beginning(incomplete: str, names: Iterable[Completion]) -> Iterator[Completion]:
    return (name for name in names if name[0].startswith(incomplete))


def _of_list(incomplete: str, names: Sequence[Completion]) -> list[Completion]:
    """Complete the last entry of a list with commas; what is in it already is not offered again."""
    before, comma, last = incomplete.rpartition(",")
    taken = {name.strip() for name in before.split(",")}
    return [
        (f"{before}{comma}{name}", words)
        for name, words in names
        if name.startswith(last) and name not in taken
    ]


def _files(incomplete: str, suffix: str) -> Iterator[Completion]:
    """Return the files of one kind that a beginning may mean, and the folders on the way to others."""
    for path in _beside(incomplete):
        if path.name.endswith(suffix):
            yield str(path), ""
    yield from _folders(incomplete) if incomplete else ()


def _folders(incomplete: str) -> Iterator[Completion]:
    for path in _beside(incomplete):
        if path.is_dir():
            yield f"{path}/", ""


def _beside(incomplete: str) -> list[Path]:
    folder, _, name = incomplete.rpartition("/")
    base = Path(folder or ("/" if incomplete.startswith("/") else "."))
    try:
        return sorted(
            path for path in base.iterdir() if path.name.startswith(name) and not path.name.startswith(".")
        )
    except OSError:
        return []


def _run_words(path: Path) -> str:
    """Return a run's suite, and whether it is complete."""
    state = "complete" if (path / "run.json").is_file() else "not complete"
    try:
        plan = path / "plan.json"
        if plan.stat().st_size > _LARGEST_PLAN_B:
            return state
        suite = json.loads(plan.read_bytes()).get("suite", {}).get("name")
    except (OSError, ValueError, AttributeError):
        return state
    return f"{suite}, {state}"
