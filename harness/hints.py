"""Write a hint as a whole command: quoted for a shell, of the program as it is called here, with the inventory in use."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NAME = "tunebench"


@dataclass
class _Given:
    """What this process was told on its command line, and what its hints repeat therefore."""

    inventory: Path | None = None


_given = _Given()


def remember_inventory(path: Path | None) -> None:
    """Note the inventory that was named with ``-i``: hints name it, too. None: it was found, and will be found again."""
    _given.inventory = path


def command(*words: str | Path, inventory: bool = False) -> str:
    """Return a command line that works when it is pasted into the shell that this process was called from.

    Args:
        words: the command and its arguments, without the program.
        inventory: the command takes ``-i``: name the inventory if it was named to this process.

    >>> command("release", "pi 5").rpartition("tunebench ")[2]
    "release 'pi 5'"
    """
    named = ["-i", str(_given.inventory)] if inventory and _given.inventory is not None else []
    return shlex.join([*program(), *map(str, words), *named])


#: Options that continue a run, with the number of their values.
_CONTINUING = {"--resume": 0, "--add-blocks": 1}


def anew(called: Sequence[str], *, leave_out: Sequence[str] = ()) -> str:
    """Return the command that begins a run anew instead of continuing one.

    Args:
        called: the command line that continues it.
        leave_out: options with a value that the new run is not to have either.
    """
    words = list(called[1:])
    for option, values in {**_CONTINUING, **dict.fromkeys(leave_out, 1)}.items():
        words = [word for word in words if not word.startswith(f"{option}=")]
        if option in words:
            at = words.index(option)
            del words[at : at + 1 + values]
    return command(*words)


@functools.cache
def program() -> tuple[str, ...]:
    """Return the words that start this program: its name where the shell finds it, else where it lies."""
    path = shutil.which(_NAME)
    if path is not None and _is_this(Path(path)):
        return (_NAME,)
    beside = Path(sys.executable).with_name(_NAME)
    if os.access(beside, os.X_OK):
        return (str(beside),)
    return (sys.executable, "-m", _NAME)


def _is_this(path: Path) -> bool:
    """Tell whether a program on the path is ours: it lies beside our interpreter, or it is what was called."""
    if path.parent == Path(sys.executable).parent:
        return True
    try:
        return path.samefile(sys.argv[0])
    except (OSError, IndexError):
        return False
