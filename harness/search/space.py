"""The points that a search may measure, and the suite that each of them is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tunebench.harness.config.suite import Suite, suite_of
from tunebench.harness.config.tables.search import CHAIN, DIMENSIONS, METHOD, Row, Table, Value
from tunebench.harness.errors import UsageError

#: A space may have so many points; each is written down, none is measured unasked.
MAX_POINTS = 10_000
#: Keys of ``[suite]`` that say what is compared with what: a point is one row and compares nothing.
_OF_COMPARISONS = ("baseline", "study", "candidate", "margin", "quality_target", "ship", "ship_links")
_MAX_LABEL = 64


@dataclass(frozen=True)
class Point:
    """One value for the row and for each dimension that means something for it, in the order of the space."""

    values: tuple[tuple[str, Value], ...]

    @property
    def label(self) -> str:
        """Return it in words.

        >>> Point((("chain", "pruned"), ("ratio", 0.5), ("epochs", 4))).label
        'pruned, ratio 0.5, epochs 4'
        """
        (_, row), *others = self.values
        return ", ".join([str(row), *(f"{name} {value:g}" for name, value in others)])[:_MAX_LABEL]

    def as_dict(self) -> dict[str, Value]:
        """Return dimension -> value."""
        return dict(self.values)


@dataclass(frozen=True)
class Space:
    """What a search varies.

    Attributes:
        suite: that is searched.
        task: of it.
        entry: the task's ``[[workload]]``.
        row_dimension: ``chain`` or ``method``.
        rows: the chains or methods, in the order of the suite.
        values: dimension -> its values, rising.
    """

    suite: Suite
    task: str
    entry: Table
    row_dimension: str
    rows: tuple[str, ...]
    values: Mapping[str, tuple[Value, ...]]

    def points(self) -> list[Point]:
        """Return all points; a dimension that means nothing for a row has no values there."""
        return [point for row in self.rows for point in self._of_row(row)]

    def dimensions_of(self, row: str) -> tuple[str, ...]:
        """Return the dimensions that mean something for a row."""
        tables = self._row(row)
        return tuple(name for name in self.values if DIMENSIONS[name].concerns(tables))

    def _of_row(self, row: str) -> Iterator[Point]:
        names = self.dimensions_of(row)
        for values in product(*(self.values[name] for name in names)):
            yield Point(((self.row_dimension, row), *zip(names, values, strict=True)))

    def suite_at(self, point: Point) -> Suite:
        """Return the suite with this point as its only row, labelled with the point.

        Raises:
            UsageError: a value is not allowed there.
        """
        (_, name), *others = point.values
        row = self._row(str(name))
        for dimension, value in others:
            DIMENSIONS[dimension].put(row, value)
        header = {
            key: value for key, value in self.suite.tables["suite"].items() if key not in _OF_COMPARISONS
        }
        tables: Table = {"suite": {**header, "aa": False, "instrumented": False}, "workload": [row.entry]}
        if row.transforms:
            tables["transform"] = list(row.transforms)
        if row.transforms or row.in_runtime:
            tables["compress"] = row.compress
        if row.in_runtime:
            row.entry["chains"] = {point.label: row.entry["chains"][row.ident]}
        else:
            row.entry["label"] = point.label
        made = suite_of(tables, _file(self.suite))
        return Suite(made.header, made.workloads, made.baselines, self.suite.root, given=self.suite.given)

    def _row(self, name: str) -> Row:
        """Return the tables of a row, free to be changed."""
        entry = copy.deepcopy(self.entry)
        for key in ("baseline", "blocks", "label"):
            entry.pop(key, None)
        if self.row_dimension == CHAIN:
            entry["chains"] = {name: entry["chains"][name]}
            idents = entry["chains"][name]
        else:
            entry["methods"], idents = [name], entry.get("start", [])
        # The task keeps its name, which may tell its start weights.
        entry["task"] = self.task
        steps = [step for step in self.suite.tables.get("transform", []) if step["id"] in idents]
        return Row(entry, tuple(copy.deepcopy(steps)), copy.deepcopy(self.suite.tables.get("compress", {})))


def space_of(suite: Suite) -> Space:
    """Return the space that ``[search]`` of a suite declares; each of its values is checked where it may stand.

    Raises:
        UsageError: there is no such table, or something in it is not of this suite.
    """
    if suite.search is None:
        raise UsageError(
            f"suite {suite.given or suite.name!r}: has no [search] table; e.g. [search] epochs = [2, 5, 10]; "
            f"dimensions: {', '.join([CHAIN, METHOD, *DIMENSIONS])} (docs/search.md)"
        )
    task, entry = _entry_of(suite, suite.search.task)
    row_dimension, foreign = (CHAIN, METHOD) if "runtime" in entry else (METHOD, CHAIN)
    if getattr(suite.search, foreign):
        raise _refused(
            suite, f"{foreign!r} means nothing for task {task!r}; its rows are chosen by {row_dimension!r}"
        )
    known = list(entry["chains"] if row_dimension == CHAIN else entry["methods"])
    rows = getattr(suite.search, row_dimension) or known
    for name in rows:
        if name not in known:
            raise _refused(suite, f"{row_dimension} {name!r} is none of task {task!r}: {', '.join(known)}")
    space = Space(suite, task, entry, row_dimension, tuple(rows), suite.search.values)
    _check(space)
    return space


def _check(space: Space) -> None:
    """Refuse a dimension without a row, a space that is too large, and a value that no suite could have.

    Raises:
        UsageError: names it.
    """
    used = {row: space.dimensions_of(row) for row in space.rows}
    for name in space.values:
        if not any(name in names for names in used.values()):
            raise _refused(
                space.suite,
                f"dimension {name!r} ({DIMENSIONS[name].what}) means nothing for any of {', '.join(space.rows)}",
            )
    points = space.points()
    if len(points) > MAX_POINTS:
        raise _refused(space.suite, f"{len(points)} points; a search has {MAX_POINTS} at most")
    if len(points) < 2:
        raise _refused(space.suite, "one point is no space; give a dimension several values")
    seen: set[tuple[Value, tuple[str, Value]]] = set()
    for point in points:
        row = point.values[0][1]
        new = [(row, pair) for pair in point.values if (row, pair) not in seen]
        if new:
            space.suite_at(point)
            seen.update(new)


def _entry_of(suite: Suite, wanted: str | None) -> tuple[str, Table]:
    """Return the task that is searched, and its ``[[workload]]``."""
    found: dict[str, list[Table]] = {}
    for entry in suite.tables["workload"]:
        if "runtime" in entry or entry.get("methods"):
            only = suite_of(_alone(suite.tables, entry), _file(suite))
            found.setdefault(only.tasks[0], []).append(entry)
    tasks = ", ".join(repr(task) for task in found) or "none"
    if wanted is not None and wanted not in found:
        raise _refused(
            suite, f"task {wanted!r} is none with built-in methods or a runtime; there are: {tasks}"
        )
    if wanted is None and len(found) != 1:
        raise _refused(suite, f"key 'task' is needed, since there are several: {tasks}")
    task = wanted if wanted is not None else next(iter(found))
    if len(found[task]) > 1:
        raise _refused(
            suite,
            f"task {task!r} stands in several [[workload]]; write its rows into one, or give one another 'task'",
        )
    return task, found[task][0]


def _alone(tables: Mapping[str, Any], entry: Table) -> Table:
    """Return a suite's tables with one ``[[workload]]``, without what names rows of others or goes with chains only."""
    header = {key: value for key, value in tables["suite"].items() if key not in _OF_COMPARISONS}
    chained = "runtime" in entry or entry.get("start")
    of_chains = {key: tables[key] for key in ("compress", "transform") if chained and key in tables}
    return {"suite": header, **of_chains, "workload": [entry]}


def _file(suite: Suite) -> Path:
    """Return the suite's file, for messages and for what it names."""
    given = Path(suite.given or suite.name)
    return given if given.suffix == ".toml" else (suite.root or Path()) / f"{suite.name}.toml"


def _refused(suite: Suite, reason: str) -> UsageError:
    return UsageError(f"{_file(suite)}: [search]: {reason}")
