"""Write the scaffold of a method of one's own: a suite, and a module or a command that works as it stands."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from tunebench.harness.config.inventory import is_name
from tunebench.harness.config.suite import built_in_suites
from tunebench.harness.errors import UsageError
from tunebench.workloads.methods import table

Form = Literal["module", "command"]

#: Modules that a board's Python needs under these names.
_TAKEN = {*sys.stdlib_module_names, "torch", "numpy", "tunebench"}


@dataclass(frozen=True)
class Scaffold:
    """What was written.

    Attributes:
        suite: the suite file that compares the method with built-in ones.
        code: the method itself.
    """

    suite: Path
    code: Path


def write_scaffold(name: str, folder: Path, form: Form) -> Scaffold:
    """Write the two files of a method.

    Args:
        name: the method's name in tables.
        form: a module with torch, or a command of the standard library alone.

    Raises:
        UsageError: the name is none or is taken, a file is there already, or the folder cannot be written.
    """
    code_name = _code_name(name)
    scaffold = Scaffold(folder / f"{name}.toml", folder / code_name)
    for path in (scaffold.suite, scaffold.code):
        if path.exists():
            raise UsageError(
                f"{path}: is there already; give the method another name, or another folder with --dir"
            )
    keys = f'module = "{code_name}"' if form == "module" else f'command = ["python3", "{code_name}"]'
    suite = _text("suite").replace("FORM", keys).replace("FILE", code_name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in ((scaffold.suite, suite), (scaffold.code, _text(form))):
            path.write_text(text.replace("NAME", name), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--dir {folder}: cannot be written: {error.strerror or error}") from None
    return scaffold


def _code_name(name: str) -> str:
    """Return the file of a method's code.

    Raises:
        UsageError: the name is none, or stands for something else.
    """
    if not is_name(name):
        raise UsageError(f"{name!r}: use 1-64 letters, digits, '.', '_' or '-', a letter or digit first")
    if name in {row.name for row in table.METHODS} or name in built_in_suites():
        raise UsageError(f"{name!r}: is the name of a built-in method or suite; give yours another")
    module = "".join(letter if letter.isalnum() else "_" for letter in name)
    if module.lower() in _TAKEN:
        raise UsageError(
            f"{name!r}: its file {module}.py would stand in the place of Python's own {module}; choose another"
        )
    return f"{module}.py"


def _text(name: str) -> str:
    return resources.files("tunebench.harness.config").joinpath("scaffold", f"{name}.txt").read_text("utf-8")
