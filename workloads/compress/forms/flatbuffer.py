"""Write FlatBuffers by hand: the few rules of the format that a TFLite file needs.

Source: flatbuffers.dev/internals. A table is a list of places of its fields (the vtable) and the fields; what is not a
number stands behind it and is pointed at, always forward. Equal content gives equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunebench.workloads.compress.state import Array


@dataclass(frozen=True)
class Scalar:
    """A number in a table: ``code`` is struct's letter for its type."""

    code: str
    value: float | bool


@dataclass(frozen=True)
class Numbers:
    """A vector of numbers, whose first byte lies at a multiple of ``align``."""

    values: Array
    align: int = 0


@dataclass(frozen=True)
class Table:
    """A table: number of a field in the schema -> its value; what is left out has the schema's default."""

    fields: Mapping[int, Value]


Value = Scalar | Numbers | Table | str | Sequence[Table]


def byte(value: int) -> Scalar:
    """Return a field of 8 bits."""
    return Scalar("B", value)


def int32(value: int) -> Scalar:
    """Return a field of 32 bits."""
    return Scalar("i", value)


def flag(value: bool) -> Scalar:
    """Return a field that is yes or no."""
    return Scalar("?", value)


def int32s(values: Sequence[int]) -> Numbers:
    """Return a vector of whole numbers of 32 bits."""
    return Numbers(np.array(values, "<i4"))


def encode(root: Table, identifier: bytes) -> bytes:
    """Return the bytes of a buffer.

    Args:
        root: its outermost table.
        identifier: four bytes that tell what it is.
    """
    writer = _Writer()
    writer.raw += bytes(4) + identifier
    writer.point(0, writer.write(root))
    writer.pad(4)
    return bytes(writer.raw)


class _Writer:
    def __init__(self) -> None:
        self.raw = bytearray()

    def pad(self, align: int, ahead: int = 0) -> None:
        """Fill up so that what comes ``ahead`` bytes further lies at a multiple."""
        self.raw += bytes(-(len(self.raw) + ahead) % align)

    def point(self, place: int, target: int) -> None:
        struct.pack_into("<I", self.raw, place, target - place)

    def write(self, value: Value) -> int:
        """Append a value that is no number; return where it begins."""
        if isinstance(value, Table):
            return self._table(value)
        if isinstance(value, str):
            return self._vector(np.frombuffer(value.encode() + b"\0", np.uint8), len(value.encode()), 1)
        if isinstance(value, Numbers):
            return self._vector(value.values.reshape(-1), value.values.size, value.align)
        assert not isinstance(value, Scalar)  # noqa: S101 - for the type: numbers stand in their table
        return self._tables(value)

    def _vector(self, values: Array, length: int, align: int) -> int:
        self.pad(max(4, align, values.dtype.itemsize), ahead=4)
        start = len(self.raw)
        self.raw += struct.pack("<I", length) + values.tobytes()
        return start

    def _tables(self, tables: Sequence[Table]) -> int:
        self.pad(4)
        start = len(self.raw)
        self.raw += struct.pack("<I", len(tables)) + bytes(4 * len(tables))
        for at, table in enumerate(tables):
            self.point(start + 4 + 4 * at, self.write(table))
        return start

    def _table(self, table: Table) -> int:
        # The largest first: so each lies at a multiple of its size behind the first four bytes.
        fields = sorted(table.fields.items(), key=lambda item: (-_size(item[1]), item[0]))
        places, size = {}, 4
        for number, value in fields:
            places[number] = size
            size += _size(value)
        count = max(table.fields, default=-1) + 1
        slots = [places.get(number, 0) for number in range(count)]
        vtable = struct.pack(f"<{2 + count}H", 4 + 2 * count, size, *slots)
        self.pad(4, ahead=len(vtable))
        self.raw += vtable
        start = len(self.raw)
        self.raw += struct.pack("<i", len(vtable)) + bytes(size - 4)
        for number, value in fields:
            place = start + places[number]
            if isinstance(value, Scalar):
                struct.pack_into(f"<{value.code}", self.raw, place, value.value)
            else:
                self.point(place, self.write(value))
        return start


def _size(value: Value) -> int:
    return struct.calcsize(f"<{value.code}") if isinstance(value, Scalar) else 4
