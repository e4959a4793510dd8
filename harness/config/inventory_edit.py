"""Change one key of one board in an inventory file, and leave every other byte as it was.

By lines, not with a TOML library: the new key stands beside the board's id, where no comment belongs to something else.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import UsageError

_TABLE = re.compile(r"^\s*\[")
_BOARD = re.compile(r"^\s*\[\[\s*board\s*\]\]")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=\s*(.*)$")


def set_interpreter(path: Path, board_id: str, python: str) -> None:
    """Write ``interpreter = "..."`` into the entry of a board; comments, order and line endings stay.

    Raises:
        UsageError: the file cannot be changed safely by lines; the message says what to write where.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = file.readlines()
    by_hand = (
        f'{path}: cannot change it safely; write interpreter = "{python}" into board {board_id!r} yourself'
    )
    start, end = _entry(lines, board_id, by_hand)
    key_line = f"interpreter = {json.dumps(python)}"
    keys = {
        match.group(1): (at, match.group(2)) for at in range(start, end) if (match := _KEY.match(lines[at]))
    }
    if "interpreter" in keys:
        at, value = keys["interpreter"]
        if value.strip().startswith(("'''", '"""')) or (value.startswith("[") and "]" not in value):
            raise UsageError(by_hand)
        lines[at] = key_line + _ending(lines[at])
    else:
        at, _ = keys["id"]
        # A file may end without an end of line.
        ending = _ending(lines[at]) or "\n"
        lines[at : at + 1] = [lines[at].rstrip("\r\n") + ending, key_line + ending]
    _replace(path, "".join(lines), board_id, python, by_hand)


def _ending(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _entry(lines: list[str], board_id: str, by_hand: str) -> tuple[int, int]:
    """Return the first line of the board's own keys and the line after the last (sub-tables left out)."""
    starts = [at for at, line in enumerate(lines) if _BOARD.match(line)]
    for start in starts:
        end = next((at for at in range(start + 1, len(lines)) if _TABLE.match(lines[at])), len(lines))
        for at in range(start + 1, end):
            match = _KEY.match(lines[at])
            if (
                match
                and match.group(1) == "id"
                and re.match(rf"""["']{re.escape(board_id)}["']""", match.group(2))
            ):
                return start + 1, end
    raise UsageError(by_hand)


def _replace(path: Path, text: str, board_id: str, python: str, by_hand: str) -> None:
    """Replace a file by rename, and only if what was written reads back as what was meant.

    Raises:
        UsageError: it does not.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        before, after = load_inventory(path), load_inventory(part)
        wanted = [
            board.model_copy(update={"interpreter": python}) if board.id == board_id else board
            for board in before.boards
        ]
        if after.boards != wanted or after.lab != before.lab:
            raise UsageError(by_hand)
        part.chmod(path.stat().st_mode & 0o777)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
