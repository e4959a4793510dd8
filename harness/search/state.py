"""What a search keeps: the points that it has begun, in ``search.json``, and below it an ordinary run for each of them.

A point is written down before its run begins. So a search that was killed finds, when it is started again, every run
that is complete, goes on with the one that is not, and measures none twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunebench.harness.canonical import canonical_json
from tunebench.harness.errors import UsageError
from tunebench.harness.search.space import Point, Space
from tunebench.reports.results.files import write_durable

SCHEMA = "tunebench.search/1"
_FILE = "search.json"
_LOCK = ".lock"


class SearchState:
    """The points of a search, in the order in which they were begun.

    Args:
        folder: where the search is kept; made if missing.
        space: what is searched.
        board_id: on which board.
        seed: of the proposals.

    Raises:
        UsageError: the folder holds another search, or cannot be read or written.
    """

    def __init__(self, folder: Path, space: Space, board_id: str, seed: int) -> None:
        self.folder = folder
        self._head = {
            "schema": SCHEMA,
            "suite": space.suite.name,
            "task": space.task,
            "board_id": board_id,
            "seed": seed,
            "measured_by_sha256": _measured_by(space),
        }
        self.points = self._read()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the search, so that no other process goes on with it at the same time.

        Raises:
            UsageError: another one does.
        """
        with (self.folder / _LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"{self.folder}: another process is at this search; wait, or --keep another folder"
                ) from None
            yield

    def begin(self, point: Point) -> None:
        """Write down that a point's run begins.

        Raises:
            UsageError: the file cannot be written.
        """
        self.points.append(point)
        rows = [{"number": number, "point": each.as_dict()} for number, each in enumerate(self.points, 1)]
        text = json.dumps({**self._head, "trials": rows}, indent=1, allow_nan=False)
        try:
            write_durable(self.folder / _FILE, f"{text}\n".encode())
        except OSError as error:
            raise UsageError(f"--keep {self.folder}: cannot be written: {error.strerror or error}") from None

    def root_of(self, number: int) -> Path:
        """Return the results root of a trial; it holds one run."""
        return self.folder / f"trial-{number:04d}"

    def _read(self) -> list[Point]:
        path = self.folder / _FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise UsageError(f"--keep {self.folder}: {path.name} cannot be read: {error}") from None
        differing = [key for key, value in self._head.items() if _of(content, key) != value]
        if differing:
            names = {"measured_by_sha256": "the suite, but for [search]"}
            words = ", ".join(names.get(key, key) for key in differing)
            raise UsageError(
                f"--keep {self.folder}: holds a search that differs in: {words}; keep this one in another folder"
            )
        try:
            return [Point(tuple(row["point"].items())) for row in _in_order(content["trials"])]
        except (KeyError, TypeError, AttributeError):
            raise UsageError(f"--keep {self.folder}: {path.name} holds no trials of a search") from None


def _of(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _in_order(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(trials, key=lambda row: row["number"])


def _measured_by(space: Space) -> str:
    """Return a hash of all that decides what a point is but its values: a suite's other tables, not its [search]."""
    tables = {key: value for key, value in space.suite.tables.items() if key != "search"}
    return hashlib.sha256(canonical_json(tables).encode()).hexdigest()
