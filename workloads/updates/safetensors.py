"""Safetensors files with the standard library: named tensors behind a JSON header.

Boards have no ``safetensors`` package and need none. The form (github.com/huggingface/safetensors, README, "Format")::

    8 bytes        length N of the header, unsigned little-endian
    N bytes        JSON {NAME: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {str: str}}, padded
    the rest       the tensors, little-endian, row-major, one behind another without holes

Equal content gives equal bytes. Tensors lie in the order of their item's size (largest first), then as given, so
that each is aligned.

>>> raw = encode({"x": tensor("F32", (2,), [0.5, 1.0])}, {"made": "here"})
>>> decode(raw).tensors["x"].values().tolist(), decode(raw).metadata
([0.5, 1.0], {'made': 'here'})
"""

import json
import struct
import sys
from array import array
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from tunebench.workloads.errors import WorkloadError

#: dtype -> bytes of one value
ITEM_B = {"F32": 4, "F16": 2, "I8": 1}
METADATA = "__metadata__"
LENGTH_B = 8
_ALIGN_B = 8


class TensorFileError(WorkloadError):
    """Bytes that are no safetensors file, or values that do not fit into one."""


class Tensor(NamedTuple):
    """A tensor as bytes.

    Attributes:
        dtype: ``F32``, ``F16`` or ``I8``.
        shape: sizes, row-major.
        data: little-endian.
    """

    dtype: str
    shape: Tuple[int, ...]
    data: bytes

    def values(self) -> "array[Any]":
        """Return the values, flat: floats, or integers of an ``I8``."""
        if self.dtype == "F16":
            count = len(self.data) // 2
            return array("f", struct.unpack("<%de" % count, self.data))
        flat = array("f" if self.dtype == "F32" else "b")
        flat.frombytes(bytes(self.data))
        if self.dtype == "F32" and sys.byteorder == "big":
            flat.byteswap()
        return flat


class TensorFile(NamedTuple):
    """The content of a safetensors file."""

    tensors: Dict[str, Tensor]
    metadata: Dict[str, str]


def tensor(dtype: str, shape: Iterable[int], values: Sequence[Any]) -> Tensor:
    """Make a :class:`Tensor` from numbers.

    Raises:
        TensorFileError: they do not fill the shape, or do not fit the dtype.
    """
    sizes = tuple(shape)
    if len(values) != product(sizes):
        raise TensorFileError("%d values do not fill the shape %s" % (len(values), list(sizes)))
    try:
        if dtype == "F16":
            return Tensor(dtype, sizes, struct.pack("<%de" % len(values), *values))
        numbers = array("f" if dtype == "F32" else "b", values)
    except (OverflowError, struct.error) as error:
        raise TensorFileError("a value does not fit %s: %s" % (dtype, error)) from None
    if dtype == "F32" and sys.byteorder == "big":
        numbers.byteswap()
    return Tensor(dtype, sizes, numbers.tobytes())


def product(sizes: Iterable[int]) -> int:
    """Return the number of values of a shape."""
    result = 1
    for size in sizes:
        result *= size
    return result


#: name, dtype, shape
Row = Tuple[str, str, Tuple[int, ...]]


def ordered(rows: Iterable[Row]) -> List[Row]:
    """Return rows in the order in which their tensors lie in a file."""
    return sorted(rows, key=lambda row: -ITEM_B[row[1]])


def header(rows: Iterable[Row], metadata: Dict[str, str]) -> bytes:
    """Return everything before the first tensor: length and padded JSON.

    It needs no values, so that the size of a file can be known beforehand.
    """
    entries: Dict[str, Any] = {METADATA: metadata} if metadata else {}
    offset = 0
    for name, dtype, shape in ordered(rows):
        end = offset + ITEM_B[dtype] * product(shape)
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode("ascii")
    text += b" " * (-len(text) % _ALIGN_B)
    return struct.pack("<Q", len(text)) + text


def encode(tensors: Dict[str, Tensor], metadata: Dict[str, str]) -> bytes:
    """Return the bytes of a file.

    Args:
        metadata: strings only: that is the format's rule.
    """
    rows = [(name, item.dtype, item.shape) for name, item in tensors.items()]
    body = [tensors[name].data for name, _, _ in ordered(rows)]
    return header(rows, metadata) + b"".join(body)


def decode(raw: bytes) -> TensorFile:
    """Return the content of a file, in the file's order.

    Raises:
        TensorFileError: it is cut off, its header is no JSON, or an entry does not fit the bytes.
    """
    if len(raw) < LENGTH_B:
        raise TensorFileError("no safetensors file: %d bytes" % len(raw))
    begin = LENGTH_B + struct.unpack("<Q", raw[:LENGTH_B])[0]
    if begin > len(raw):
        raise TensorFileError("the header is cut off")
    try:
        header = json.loads(raw[LENGTH_B:begin].decode("utf-8"))
        metadata = dict(header.pop(METADATA, {}))
        tensors = {str(name): _tensor_at(entry, raw, begin) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TensorFileError("damaged header: %r" % (error,)) from None
    return TensorFile(tensors, metadata)


def _tensor_at(entry: Dict[str, Any], raw: bytes, begin: int) -> Tensor:
    first, last = entry["data_offsets"]
    item = Tensor(entry["dtype"], tuple(entry["shape"]), raw[begin + first : begin + last])
    if len(item.data) != ITEM_B[item.dtype] * product(item.shape):
        raise ValueError("a tensor of shape %s has %d bytes" % (list(item.shape), len(item.data)))
    return item
