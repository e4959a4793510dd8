"""Safetensors files from somebody who is not trusted: every byte of one is accounted for, or it is refused.

The form is that of github.com/huggingface/safetensors (README, "Format"): 8 bytes of length, a JSON header, the
tensors. Stricter than the format: at most 1 MiB of header and 10,000 tensors, the types F32, F16 and I8 only, no
key twice, tensors one behind another in the header's order from the first byte to the last.
"""

import math
import struct
import sys
from array import array
from typing import Any, Dict, List, NamedTuple, Tuple

from tunebench.targets.agent import protocol

ITEM_B = {"F32": 4, "F16": 2, "I8": 1}
METADATA = "__metadata__"
LENGTH_B = 8
MAX_HEADER_B = 1024 * 1024
MAX_TENSORS = 10000
_CHUNK = 1 << 16


class Refused(Exception):
    """An update that is not taken; the message says what is wrong with it."""


class Entry(NamedTuple):
    """A tensor: its type, its shape, and where its bytes lie in the file."""

    dtype: str
    shape: Tuple[int, ...]
    begin: int
    end: int


class Head(NamedTuple):
    """A file's header.

    Attributes:
        tensors: by name, in the file's order.
        metadata: strings.
        size_b: bytes before the first tensor.
    """

    tensors: Dict[str, Entry]
    metadata: Dict[str, str]
    size_b: int


def read_head(raw: bytes) -> Head:
    """Read the header of a whole file.

    Raises:
        Refused: the header, a type, a shape or a place is wrong, or bytes are left over.
    """
    if len(raw) < LENGTH_B:
        raise Refused("%d bytes are no safetensors file" % len(raw))
    length = struct.unpack("<Q", raw[:LENGTH_B])[0]
    if length > MAX_HEADER_B or LENGTH_B + length > len(raw):
        raise Refused("the header would have %d bytes, the file has %d" % (length, len(raw)))
    begin = LENGTH_B + length
    try:
        header = protocol.loads(raw[LENGTH_B:begin].decode("utf-8"))
    except ValueError as error:
        raise Refused("the header is not JSON: %s" % error) from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise Refused("the header is no object of at most %d tensors" % MAX_TENSORS)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("%s is no object of strings" % METADATA)
    tensors: Dict[str, Entry] = {}
    at = begin
    for name, entry in header.items():
        tensors[name] = _entry(name, entry, at, begin)
        at = tensors[name].end
    if at != len(raw):
        raise Refused("the tensors end at byte %d, the file at %d" % (at, len(raw)))
    return Head(tensors, metadata, begin)


def _entry(name: str, entry: Any, at: int, begin: int) -> Entry:
    if not isinstance(entry, dict) or sorted(entry) != ["data_offsets", "dtype", "shape"]:
        raise Refused("tensor %.80r: expected dtype, shape and data_offsets" % name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_B:
        raise Refused("tensor %.80r: type %.40r, taken are: %s" % (name, dtype, ", ".join(sorted(ITEM_B))))
    if not _are_sizes(shape) or len(shape) > 8 or not _are_sizes(offsets) or len(offsets) != 2:
        raise Refused("tensor %.80r: shape or data_offsets are no lists of sizes" % name)
    size_b = ITEM_B[dtype]
    for size in shape:
        size_b *= size
    if begin + offsets[0] != at or offsets[1] - offsets[0] != size_b:
        raise Refused("tensor %.80r: its place %s does not fit its shape %s" % (name, offsets, shape))
    return Entry(dtype, tuple(shape), at, at + size_b)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 40 for item in value)


def check_finite(raw: bytes, name: str, entry: Entry) -> None:
    """Refuse a tensor that holds NaN or infinity.

    Raises:
        Refused: names the tensor.
    """
    if entry.dtype == "I8":
        return
    item_b = ITEM_B[entry.dtype]
    for begin in range(entry.begin, entry.end, _CHUNK * item_b):
        end = min(entry.end, begin + _CHUNK * item_b)
        # One that is not finite makes the sum so; finite float32 cannot overflow a float64's sum.
        if not math.isfinite(sum(_values(raw[begin:end], entry.dtype))):
            raise Refused("tensor %.80r holds a value that is not finite" % name)


def _values(raw: bytes, dtype: str) -> List[float]:
    if dtype == "F16":
        return list(struct.unpack("<%de" % (len(raw) // 2), raw))
    values = array("f")
    values.frombytes(raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()
