"""The artefact file ``.tbx``: named tensors behind one JSON header line.

Form: one JSON object, padded with spaces and closed by a newline so that the data begin at a multiple of
64 bytes, then the tensors, little-endian, each at a multiple of 64. Equal content gives equal bytes, so a
file can be named by its SHA-256. Reading and writing need the standard library only::

    {"schema": "tunebench.artefact/1", "kind": "data" | "weights" | "deployed", "meta": {...}, "data_sha256": str,
     "tensors": [{"name", "dtype": "float32" | "int32" | "uint8", "shape": [...], "offset", "size_b"}]}

``offset`` counts from the first data byte.

>>> raw = encode("data", {"n_in": 2}, {"x": tensor("float32", (1, 2), [0.5, 1.0])})
>>> decode(raw).tensors["x"].array().tolist()
[0.5, 1.0]
"""

import hashlib
import json
import os
import sys
import threading
from array import array
from typing import Any, Dict, Iterable, NamedTuple, Tuple, Union

from tunebench.workloads.errors import WorkloadError

SCHEMA = "tunebench.artefact/1"
#: of start weights whose frozen trunk is a runtime's program; what trains behind it are tensors
TRUNK = "trunk"
KINDS = ("data", "weights", "deployed", TRUNK)
ALIGN_B = 64
MAX_HEADER_B = 1024 * 1024

#: dtype name -> array type code; as wide as their names say on every platform with CPython and Linux.
TYPECODES = {"float32": "f", "int32": "i", "uint8": "B"}
ITEM_B = {"float32": 4, "int32": 4, "uint8": 1}


class ArtefactError(WorkloadError):
    """A file that is not an artefact, or is damaged."""


class Tensor(NamedTuple):
    """A tensor as bytes.

    Attributes:
        dtype: ``float32``, ``int32`` or ``uint8`` (pixels).
        shape: sizes, row-major.
        data: little-endian bytes; a writable view of the file's buffer when read from a file.
    """

    dtype: str
    shape: Tuple[int, ...]
    data: Union[bytes, memoryview]

    def array(self) -> "array[Any]":
        """Return the values, flat, in the machine's own byte order."""
        values = array(TYPECODES[self.dtype])
        values.frombytes(self.data)
        return _little_endian(values)

    @property
    def size(self) -> int:
        """Return the number of values."""
        product = 1
        for size in self.shape:
            product *= size
        return product


class Artefact(NamedTuple):
    """What an artefact file holds."""

    kind: str
    meta: Dict[str, Any]
    tensors: Dict[str, Tensor]

    def need(self, name: str) -> Tensor:
        """Return the tensor ``name``; an :class:`ArtefactError` names what is there instead."""
        if name not in self.tensors:
            raise ArtefactError("no tensor %r in this artefact, it has: %s" % (name, ", ".join(self.tensors)))
        return self.tensors[name]


def _little_endian(values: "array[Any]") -> "array[Any]":
    if sys.byteorder == "big":
        values.byteswap()
    return values


def tensor(dtype: str, shape: Iterable[int], values: Iterable[Any]) -> Tensor:
    """Make a :class:`Tensor` of numbers."""
    raw = _little_endian(array(TYPECODES[dtype], values)).tobytes()
    item = Tensor(dtype, tuple(shape), raw)
    if len(raw) != ITEM_B[dtype] * item.size:
        values_given = len(raw) // ITEM_B[dtype]
        raise ArtefactError("%d values do not fill the shape %s" % (values_given, list(item.shape)))
    return item


def _padded(size_b: int) -> int:
    return -(-size_b // ALIGN_B) * ALIGN_B


def encode(kind: str, meta: Dict[str, Any], tensors: Dict[str, Tensor]) -> bytes:
    """Return the bytes of an artefact; tensors keep their order, header keys are sorted."""
    if kind not in KINDS:
        raise ArtefactError("kind %r: use one of %s" % (kind, ", ".join(KINDS)))
    rows, parts, offset = [], [], 0
    for name, item in tensors.items():
        size_b = len(item.data)
        rows.append(
            {"name": name, "dtype": item.dtype, "shape": list(item.shape), "offset": offset, "size_b": size_b}
        )
        parts.append(bytes(item.data) + b"\0" * (_padded(size_b) - size_b))
        offset += _padded(size_b)
    body = b"".join(parts)
    header = {
        "schema": SCHEMA,
        "kind": kind,
        "meta": meta,
        "tensors": rows,
        "data_sha256": hashlib.sha256(body).hexdigest(),
    }
    line = json.dumps(header, sort_keys=True, allow_nan=False).encode("ascii")
    return line + b" " * (_padded(len(line) + 1) - len(line) - 1) + b"\n" + body


def write(path: str, kind: str, meta: Dict[str, Any], tensors: Dict[str, Tensor]) -> str:
    """Write an artefact so that it is there whole or not at all; return its SHA-256."""
    raw = encode(kind, meta, tensors)
    part = "%s.%d-%d.part" % (path, os.getpid(), threading.get_ident())
    with open(part, "wb") as file:
        file.write(raw)
    os.replace(part, path)
    return hashlib.sha256(raw).hexdigest()


def read(path: str) -> Artefact:
    """Read and verify an artefact file.

    Raises:
        ArtefactError: names the file and what is wrong with it.
    """
    try:
        with open(path, "rb") as file:
            raw = bytearray(os.fstat(file.fileno()).st_size)
            file.readinto(raw)
    except OSError as error:
        raise ArtefactError("%s: cannot be read: %s" % (path, error.strerror)) from None
    try:
        return decode(raw)
    except ArtefactError as error:
        raise ArtefactError("%s: %s" % (path, error)) from None


def decode(raw: Union[bytes, bytearray]) -> Artefact:
    """Read the artefact in ``raw``; its tensors are views of ``raw``, not copies."""
    end = raw.find(b"\n", 0, MAX_HEADER_B)
    if end < 0:
        raise ArtefactError("not an artefact: no header line")
    try:
        header = json.loads(bytes(raw[:end]).decode("utf-8"))
    except ValueError:
        raise ArtefactError("not an artefact: the header is not JSON") from None
    if not isinstance(header, dict) or not str(header.get("schema")).startswith(SCHEMA):
        raise ArtefactError("not an artefact of schema %s" % SCHEMA)
    body = memoryview(raw)[end + 1 :]
    if hashlib.sha256(body).hexdigest() != header.get("data_sha256"):
        raise ArtefactError("damaged: the data do not have the SHA-256 that the header names")
    try:
        tensors = {str(row["name"]): _tensor_at(row, body) for row in header["tensors"]}
        return Artefact(str(header["kind"]), dict(header["meta"]), tensors)
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtefactError("damaged header: %r" % (error,)) from None


def _tensor_at(row: Dict[str, Any], body: memoryview) -> Tensor:
    offset, size_b = row["offset"], row["size_b"]
    item = Tensor(row["dtype"], tuple(row["shape"]), body[offset : offset + size_b])
    if item.dtype not in TYPECODES:
        allowed = ", ".join(TYPECODES)
        raise ArtefactError("tensor %r: dtype %r, allowed: %s" % (row["name"], item.dtype, allowed))
    if offset < 0 or len(item.data) != size_b or size_b != ITEM_B[item.dtype] * item.size:
        raise ArtefactError("tensor %r: its shape, offset and size do not fit the file" % row["name"])
    return item
