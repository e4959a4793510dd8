"""Read ``[search]``: which values a search may take for each dimension of a task, and what a value changes in the suite.

::

    [search]
    task = "digits/cnn [onnxruntime x1]"   # needed where the suite has several
    chain = ["float", "pruned", "int8"]    # of the task's chains (fine-tuning: method = [...]); default: all
    ratio = [0.3, 0.5, 0.7]                # of the steps that prune
    epochs = [2, 5, 10]

A dimension is one row of :data:`DIMENSIONS`: it says for which rows of the task it means something, and what a value is
put into. Suites are edited as tables and read again, so a value is checked like any other of a suite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from tunebench.harness.config.tables.strict import StrictTable
from tunebench.workloads.methods import table

Value = str | int | float
#: A TOML table as it was read.
Table = dict[str, Any]
#: Values of a dimension at most; a search asks for few, and each of them is checked before it begins.
MAX_VALUES = 64
#: Kind of a step -> the key that says how much it leaves.
_PRUNES, _FACTORIZES = "prune", "factorize"


@dataclass(frozen=True)
class Row:
    """One row of the task that is searched, as the suite file has it.

    Attributes:
        entry: its ``[[workload]]``, with this chain or method alone.
        transforms: the ``[[transform]]`` that its chain or its start goes through.
        compress: ``[compress]``.
    """

    entry: Table
    transforms: tuple[Table, ...]
    compress: Table

    @property
    def in_runtime(self) -> bool:
        """Return whether it runs a network; else it fine-tunes one on the board."""
        return "runtime" in self.entry

    @property
    def ident(self) -> str:
        """Return the chain's name, or the method's."""
        names = self.entry["chains"] if self.in_runtime else self.entry["methods"]
        return str(next(iter(names)))

    def of_kind(self, kind: str) -> list[Table]:
        """Return its transforms of a kind."""
        return [transform for transform in self.transforms if transform.get("kind") == kind]


@dataclass(frozen=True)
class Dimension:
    """What a search may vary.

    Attributes:
        type: what its values are.
        what: what they say, for messages.
        concerns: whether it means something for a row.
        put: writes a value into the tables of a row.
    """

    type: type
    what: str
    concerns: Callable[[Row], bool]
    put: Callable[[Row, Value], None]


def _trained(row: Row) -> bool:
    """Return whether epochs mean something: of a chain those of ``tune`` on the host, of a method those on the board."""
    if row.in_runtime:
        return any("tune" in idents for idents in row.entry["chains"].values())
    return table.method(row.ident).objective != table.NO_STEPS


def _put_epochs(row: Row, value: Value) -> None:
    if row.in_runtime:
        row.compress["tune"] = {**row.compress.get("tune", {}), "epochs": value}
    else:
        row.entry["epochs"] = value


def _put_into(kind: str, key: str) -> Callable[[Row, Value], None]:
    def put(row: Row, value: Value) -> None:
        for transform in row.of_kind(kind):
            transform[key] = value

    return put


def _put_rank(row: Row, value: Value) -> None:
    row.entry["rank"] = value


#: Dimension -> what it is; a new one is one row. Which chain or method is taken is a dimension of every search.
DIMENSIONS: Mapping[str, Dimension] = {
    "ratio": Dimension(
        float,
        "what share the steps that prune take away",
        lambda row: bool(row.of_kind(_PRUNES)),
        _put_into(_PRUNES, "ratio"),
    ),
    "keep": Dimension(
        float,
        "what share of rank or multiply-adds the steps that factorize leave",
        lambda row: bool(row.of_kind(_FACTORIZES)),
        _put_into(_FACTORIZES, "keep"),
    ),
    "rank": Dimension(
        int,
        "rank of the adapters",
        lambda row: not row.in_runtime and table.method(row.ident).adapters != table.NONE,
        _put_rank,
    ),
    "epochs": Dimension(int, "epochs of the fine-tuning", _trained, _put_epochs),
}
CHAIN, METHOD = "chain", "method"
#: Keys of ``[search]`` that choose the row.
ROWS = (CHAIN, METHOD)


class SearchTable(StrictTable):
    """``[search]``: a task, and the values of each dimension."""

    model_config = ConfigDict(extra="allow")

    task: str | None = Field(default=None, description="default: the suite's only one")
    chain: list[str] = Field(default_factory=list, max_length=MAX_VALUES, description="default: all")
    method: list[str] = Field(default_factory=list, max_length=MAX_VALUES, description="default: all")

    @model_validator(mode="after")
    def _check(self) -> SearchTable:
        for name, given in (self.model_extra or {}).items():
            if name not in DIMENSIONS:
                raise ValueError(f"unknown dimension {name!r}; allowed: {', '.join([*ROWS, *DIMENSIONS])}")
            _check_values(name, given, DIMENSIONS[name])
        for name in ROWS:
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name!r} names one of them twice")
        return self

    @property
    def values(self) -> dict[str, tuple[Value, ...]]:
        """Return dimension -> its values in rising order, without the row's."""
        return {name: tuple(sorted(given)) for name, given in (self.model_extra or {}).items()}


def _check_values(name: str, given: object, dimension: Dimension) -> None:
    """Refuse what is no list of the dimension's values.

    Raises:
        ValueError: names the dimension, and what it may hold.
    """
    kind, words = (int, "whole numbers") if dimension.type is int else (int | float, "numbers")
    if (
        not isinstance(given, list)
        or not 1 <= len(given) <= MAX_VALUES
        or any(isinstance(value, bool) or not isinstance(value, kind) for value in given)
        or len(set(given)) < len(given)
    ):
        raise ValueError(
            f"dimension {name!r} ({dimension.what}) is a list of 1 to {MAX_VALUES} {words}, none twice"
        )
