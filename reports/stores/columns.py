"""The typed columns of a stored repetition: those of the index, taken out of a record's line.

What a record has beside them stands in the line itself, which is stored whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

#: Raised when the columns, or what else a store holds, change. A store of a newer version is refused.
STORE_VERSION = 1


class Column(NamedTuple):
    """Where a column's value stands in a record, and its type in DuckDB."""

    path: tuple[str, ...]
    kind: str


def _plain(kind: str, *names: str) -> dict[str, Column]:
    return {name: Column((name,), kind) for name in names}


#: Name -> column, in the order of the index's table ``repetitions``.
COLUMNS: Mapping[str, Column] = {
    **_plain("VARCHAR", "run_id", "rep_id"),
    **_plain("BIGINT", "block", "attempt"),
    **_plain("VARCHAR", "role", "lab", "board_id", "board_kind", "board_model"),
    **_plain("BOOLEAN", "emulated"),
    **_plain("VARCHAR", "power_mode", "task", "method", "label"),
    **_plain("BOOLEAN", "aa_control"),
    **_plain("VARCHAR", "engine", "engine_build", "device"),
    **_plain("BIGINT", "threads"),
    **_plain("VARCHAR", "dtype"),
    **_plain("BIGINT", "seed"),
    **_plain("VARCHAR", "series_key"),
    **_plain("BIGINT", "bench_version"),
    **_plain("VARCHAR", "t_start_utc"),
    **_plain("DOUBLE", "wall_s", "peak_rss_b"),
    **_plain("VARCHAR", "outcome", "verdict"),
    "energy_j": Column(("energy", "j_per_finetuning"), "DOUBLE"),
    "energy_scope": Column(("energy", "scope"), "VARCHAR"),
    "energy_source": Column(("energy", "source"), "VARCHAR"),
    "accuracy": Column(("quality", "after"), "DOUBLE"),
    "instructions": Column(("pmu", "instructions_per_finetuning"), "DOUBLE"),
    "payload_sha256": Column(("prov", "payload_sha256"), "VARCHAR"),
    "env_sha256": Column(("prov", "env_sha256"), "VARCHAR"),
}
#: A line without one of these is no record.
WHOLE = ("rep_id", "run_id", "series_key", "outcome")
_PLACES = [tuple(COLUMNS).index(name) for name in WHOLE]

#: 1e400 is valid JSON, and no number that a column holds.
_LARGEST = 1.7e308

Value = str | int | float | bool | None


class Line(NamedTuple):
    """A line of ``reps.jsonl``.

    Attributes:
        values: of :data:`COLUMNS`; all None where the line is no JSON.
        record: the line, if it is JSON.
        raw: the line, if it is not.
    """

    values: tuple[Value, ...]
    record: str | None
    raw: bytes | None

    @property
    def is_record(self) -> bool:
        """Return whether it is a record."""
        return all(self.values[place] is not None for place in _PLACES)


def line_of(data: bytes) -> Line:
    """Take a line apart.

    >>> line_of(b'{"rep_id": "r", "quality": {"after": 1}}').values[1], line_of(b"{torn").raw
    ('r', b'{torn')
    """
    try:
        text = data.decode()
        record = json.loads(text, parse_constant=_refuse)
        if not isinstance(record, dict):
            raise ValueError("no record")
    except (ValueError, RecursionError):
        return Line((None,) * len(COLUMNS), None, data)
    return Line(tuple(_value(record, column) for column in COLUMNS.values()), text, None)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _value(record: Mapping[str, object], column: Column) -> Value:
    value: object = record
    for name in column.path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None or (isinstance(value, bool) and column.kind != "BOOLEAN"):
        return None
    if column.kind in ("DOUBLE", "BIGINT") and isinstance(value, int | float):
        if not abs(value) < _LARGEST:
            return None
        return (
            float(value)
            if column.kind == "DOUBLE"
            else int(value)
            if value == int(value) and abs(value) < 2**63
            else None
        )
    if column.kind == "BOOLEAN" and isinstance(value, bool):
        return value
    if column.kind == "VARCHAR" and isinstance(value, str):
        # A lone surrogate has no UTF-8, and PostgreSQL keeps no NUL.
        return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    return None
