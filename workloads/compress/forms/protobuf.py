"""Write protocol buffers by hand: the few rules of the wire format that an ONNX file needs.

Source: protobuf.dev/programming-guides/encoding. A field is its number and wire type, then a varint (0), eight bytes (1),
bytes with their length (2) or four bytes (5). Equal content gives equal bytes.
"""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    """Return a whole number, seven bits a byte; a negative one as 64 bits in two's complement."""
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def integer(number: int, value: int) -> bytes:
    """Return a field of a whole number."""
    return varint(number << 3) + varint(value)


def real(number: int, value: float) -> bytes:
    """Return a field of a 32 bit float."""
    return varint(number << 3 | 5) + struct.pack("<f", value)


def blob(number: int, value: bytes | str) -> bytes:
    """Return a field of bytes, of text, or of a message that is written already."""
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw
