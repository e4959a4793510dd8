"""Changes that keep an input's shape, so that it gets past the first check: JSON, TOML, lines of text, tar headers.

All randomness comes from the generator that is given: the guided engine seeds it, Hypothesis draws from it.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.subjects import Shape

_BLOCK = 512
#: Size in bytes to which each change is cut: pieces repeated again and again would otherwise fill the memory.
MAX_B = 64 * 1024
_ODD_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 1e308, 5e-324, -0.0, 0.1, 10**30)
_ODD_TEXTS = (
    "",
    "\0",
    "\n",
    "\x1b[2J",
    "\u202e",
    "\U0001f980",
    "../x",
    "/x",
    "~x/y",
    "x" * 300,
    "nan",
    "é",
    "\uffff",
)
_ODD_LITERALS = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 400,
    b'"\\ud800"',
    b"[" * 200,
    b'{"a":1,"a":2}',
    b"\xff",
)
#: Marked, so that they stand in the file without quotes.
_ODD_TOML = tuple(
    f"\ufdd0{text}\ufdd0"
    for text in (
        "2030-01-02",
        "03:04:05",
        "2030-01-02T03:04:05Z",
        "0x" + "f" * 5000,
        "[" * 2000,
        "1" * 5000,
        "-inf",
    )
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def mutate(shape: Shape, data: bytes, random: Random, seeds: list[bytes]) -> bytes:
    """Return the data with one change or a few."""
    change = _CHANGES[shape]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = change(data, random, seeds) if random.random() < 0.9 else _bytes(data, random)
        data = data[:MAX_B]
    return data


def _bytes(data: bytes, random: Random) -> bytes:
    """Replace, remove, repeat or insert a few bytes."""
    begin = random.randint(0, len(data))
    end = min(len(data), begin + random.choice((0, 1, 1, 4, 64)))
    put_in = random.choice(
        (b"", bytes([random.randrange(256)]), random.choice(_ODD_LITERALS), data[begin:end] * 3)
    )
    return data[:begin] + put_in + data[end:]


# -- JSON and TOML: a value somewhere in the tree is replaced, removed, wrapped or renamed --------------------


def _json(data: bytes, random: Random, seeds: list[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    try:
        value = json.loads(lines[at])
    except (ValueError, RecursionError):
        return _bytes(data, random)
    if random.random() < 0.1:  # what JSON's writer would never write
        literals = list(re.finditer(rb"(?<=[:,\[])\s*(?:-?[\d.]+|null|true|false)", lines[at]))
        if literals:
            span = random.choice(literals).span()
            lines[at] = lines[at][: span[0]] + random.choice(_ODD_LITERALS) + lines[at][span[1] :]
            return b"\n".join(lines)
    changed = _tree(value, random, _trees("json", tuple(seeds)))
    lines[at] = json.dumps(changed, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    if random.random() < 0.1:
        lines.insert(at, random.choice(lines))
    return b"\n".join(lines)


def _toml(data: bytes, random: Random, seeds: list[bytes]) -> bytes:
    value = _parsed(_load_toml, data)
    if not isinstance(value, dict):
        return _bytes(data, random)
    if random.random() < 0.05:  # what JSON has no word for
        holder, key = random.choice(_places(value) or [(value, "x")])
        holder[key] = random.choice(_ODD_TOML)
        return _put_in(dump_toml(value)).encode("utf-8", "replace")
    changed = _tree(value, random, _trees("toml", tuple(seeds)))
    return dump_toml(changed).encode("utf-8", "replace") if isinstance(changed, dict) else data


def _put_in(text: str) -> str:
    return text.replace('"\ufdd0', "").replace('\ufdd0"', "")


def _load_toml(data: bytes) -> Any:
    return tomllib.loads(data.decode())


@functools.cache
def _trees(shape: Shape, seeds: tuple[bytes, ...]) -> list[Any]:
    """Return the values of the seeds, to borrow from; nobody may change them."""
    if shape == "toml":
        return [_parsed(_load_toml, seed) for seed in seeds]
    return [_parsed(json.loads, line) for seed in seeds for line in seed.split(b"\n")]


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except (ValueError, RecursionError):
        return None


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every value in a tree."""
    places: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        inner = todo.pop()
        keys = (
            list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        )
        for key in keys:
            places.append((inner, key))
            todo.append(inner[key])
    return places


def _tree(value: Any, random: Random, others: list[Any]) -> Any:
    places = _places(value)
    if not places:
        return _scalar(random)
    holder, key = random.choice(places)
    action = random.randrange(7)
    if action == 0:
        del holder[key]
    elif action == 1:
        holder[key] = [holder[key]] * random.choice((0, 1, 2, 50))
    elif action == 2 and isinstance(holder, dict):
        holder[random.choice(_ODD_TEXTS)] = holder.pop(key)
    elif action == 3 and (elsewhere := _places(random.choice(others))):
        other, name = random.choice(elsewhere)
        if isinstance(holder, dict) and isinstance(name, str):
            key = name
        holder[key] = copy.deepcopy(other[name])
    elif action == 4:
        holder[key] = {random.choice(_ODD_TEXTS): holder[key]}
    else:
        holder[key] = _like(holder[key], random) if random.random() < 0.6 else _scalar(random)
    return value


def _like(value: Any, random: Random) -> Any:
    """Return another value of the same type, which passes a check of types."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random.choice((value + random.randint(-3, 3), random.randint(0, 200), 2**63 - 1))
    if isinstance(value, float):
        return random.choice(
            (value * random.random(), 1e308, 5e-324, random.random(), float("inf"), float("nan"))
        )
    if isinstance(value, str):
        at = random.randint(0, len(value))
        return random.choice((random.choice(_ODD_TEXTS), value[:at] + random.choice(_ODD_TEXTS) + value[at:]))
    return value


def _scalar(random: Random) -> Any:
    return random.choice(
        (
            None,
            True,
            random.choice(_ODD_NUMBERS),
            random.choice(_ODD_NUMBERS),
            random.choice(_ODD_TEXTS),
            random.randint(-1000, 1000),
            random.random() * 100,
            [],
            {},
        )
    )


def dump_toml(value: dict[str, Any]) -> str:
    """Return a tree as TOML, inline below the uppermost level; ``None`` becomes ``nan``, which JSON cannot express."""
    return "".join(f"{_toml_text(key)} = {_toml_value(item)}\n" for key, item in value.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_toml_text(key)} = {_toml_value(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nan"
    if isinstance(value, int) and abs(value) > 2**63 and value > 0:
        return hex(value)
    return repr(value) if isinstance(value, int | float) else _toml_text(str(value))


def _toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


# -- lines of text: numbers, words and lines change places ---------------------------------------------------


def _text(data: bytes, random: Random, seeds: list[bytes]) -> bytes:
    action = random.randrange(5)
    if action == 0 and (numbers := list(_NUMBER.finditer(data))):
        begin, end = random.choice(numbers).span()
        number = str(random.choice(_ODD_NUMBERS)).encode()
        return data[:begin] + random.choice((number, b"9" * 400, b"1e400", b"-0", b"")) + data[end:]
    pieces = data.split(random.choice((b"\n", b" ", b",")))
    glue = data[len(pieces[0]) : len(pieces[0]) + 1] or b"\n"
    at = random.randrange(len(pieces))
    if action == 1:
        del pieces[at]
    elif action == 2:
        pieces[at:at] = [random.choice(pieces)] * random.choice((1, 2, 200))
    elif action == 3:
        other = random.choice(seeds)
        pieces.insert(at, random.choice(other.split(glue)))
    else:
        pieces[at] = _bytes(pieces[at], random)
    return glue.join(pieces)


# -- tar: header fields change, and the checksum is put right so that they are looked at ----------------------

#: offset and length of a header's fields
_FIELDS = (
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (156, 1),
    (157, 100),
    (257, 8),
    (345, 155),
)
_FIELD_VALUES = (
    b"\x80" + bytes(11),
    b"\xff" * 12,
    b"77777777777\0",
    b"-0000000010\0",
    b"00000000004\0",
    b"../x",
    b"/x",
    b"a/./b",
    b"a//b",
    b"x\n",
    b"\xff\xfe",
    b"",
)
_TYPES = b"0\x001234567LKxXgSDMNV"
_PAX = (
    b"size=-1",
    b"size=99999999999999999999",
    b"size=x",
    b"path=../x",
    b"path=" + b"a" * 200,
    b"GNU.sparse.map=0,9",
    b"GNU.sparse.major=1",
    b"GNU.sparse.size=-5",
    b"mtime=nan",
    b"hdrcharset=BINARY",
)


def _tar(data: bytes, random: Random, seeds: list[bytes]) -> bytes:
    blocks = bytearray(data + bytes(-len(data) % _BLOCK))
    if not blocks:
        return random.choice(seeds)
    at = random.randrange(len(blocks) // _BLOCK) * _BLOCK
    action = random.randrange(6)
    if action <= 2:
        offset, size = random.choice(_FIELDS)
        value = random.choice(_FIELD_VALUES).ljust(size, b"\0")[:size]
        blocks[at + offset : at + offset + size] = bytes([random.choice(_TYPES)]) if offset == 156 else value
    elif action == 3:
        blocks[at:at] = blocks[at : at + _BLOCK] * random.choice((1, 2, 40))
    elif action == 4:
        del blocks[at : at + _BLOCK * random.choice((1, 2))]
    else:
        word = random.choice(_PAX)
        line = b"%d %s\n" % (len(word) + random.choice((4, 4, 0, 90)), word)
        blocks[at : at + len(line)] = line
    for begin in range(0, len(blocks) - _BLOCK + 1, _BLOCK):
        head = blocks[begin : begin + _BLOCK]
        if head[257:262] == b"ustar" or begin == at:
            head[148:156] = b" " * 8
            blocks[begin + 148 : begin + 156] = b"%06o\0 " % sum(head)
    return bytes(blocks)


_CHANGES: dict[Shape, Callable[[bytes, Random, list[bytes]], bytes]] = {
    "json": _json,
    "toml": _toml,
    "text": _text,
    "tar": _tar,
}
