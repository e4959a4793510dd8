"""Frame what a cut network's two parts say to each other: a tensor or a short text, behind its kind and size.

The board writes frames, the host reads them and writes a line of JSON for each request, then the outputs as plain
little-endian float32. Sizes are bounded on both sides; nothing is unpickled.
"""

import json
import struct
from typing import Any, Dict, NamedTuple

#: what each frame begins with
MAGIC = b"tbp1"
TENSOR, TEXT, FAULT = 0, 1, 2
_HEAD = struct.Struct("<4sBI")
HEAD_B = _HEAD.size
#: of a tensor; the largest that crosses between layers of the networks here has 20 MB
MAX_TENSOR_B = 64 * 1024 * 1024
MAX_TEXT_B = 4096


class FrameError(ValueError):
    """Bytes that are no frame."""


class Head(NamedTuple):
    """What a frame holds, and how many bytes of it."""

    kind: int
    size_b: int


def framed(kind: int, content: bytes) -> bytes:
    """Return a frame.

    >>> unframed(framed(TEXT, b"{}")[:HEAD_B])
    Head(kind=1, size_b=2)
    """
    return _HEAD.pack(MAGIC, kind, len(content)) + content


def unframed(raw: bytes) -> Head:
    """Read a frame's head.

    Raises:
        FrameError: it is none, or announces more than may come.
    """
    magic, kind, size_b = _HEAD.unpack(raw)
    if magic != MAGIC or kind not in (TENSOR, TEXT, FAULT):
        raise FrameError("no frame of a partition: %r" % (raw,))
    if size_b > (MAX_TENSOR_B if kind == TENSOR else MAX_TEXT_B):
        raise FrameError("a frame of %d bytes" % size_b)
    return Head(kind, size_b)


def text_of(**facts: Any) -> bytes:
    """Return facts as the content of a text."""
    return json.dumps(facts, sort_keys=True, allow_nan=False).encode("ascii")


def facts_of(content: bytes) -> Dict[str, Any]:
    """Return what a text says.

    Raises:
        FrameError: it is no JSON object.
    """
    try:
        facts = json.loads(content.decode("ascii"))
    except (ValueError, RecursionError):
        raise FrameError("a text that is no JSON") from None
    if not isinstance(facts, dict):
        raise FrameError("a text that is no object")
    return facts
