"""Lines as a program printed them, out of what terminals and loggers made of them.

A screen's log holds escape sequences and carriage returns; Docker's ``json-file`` driver and ``journalctl -o json`` put
each line into a JSON object, Docker under ``log``, the journal under ``MESSAGE``. A prefix within a line (time, host,
unit) is left to the parsers: each knows where its own lines begin.
"""

import json
import re
from typing import List

#: ECMA-48: control sequences (colours, cursor), operating system commands (titles), other two-byte escapes.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>()#][0-9A-B]?)")
_OVERSTRUCK = re.compile(r"[^\x08]\x08")
#: Under which a logger keeps the line itself.
_KEYS = ("log", "MESSAGE", "message", "msg", "line", "text", "out")


def plain_lines(text: str) -> List[str]:
    """Return the lines without escapes and without the JSON objects that they were wrapped in; empty ones left out.

    >>> plain_lines('{"log": "RAM 1/2MB\\\\n", "stream": "stdout"}')
    ['RAM 1/2MB']
    """
    lines: List[str] = []
    for line in _OVERSTRUCK.sub("", _ESCAPE.sub("", text)).splitlines():
        lines += [inner.strip() for inner in _unwrapped(line.strip())]
    return [line for line in lines if line]


def _unwrapped(line: str) -> List[str]:
    """Return the lines that a logger's object holds; the line itself if it is none."""
    if line[:1] != "{":
        return [line]
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return [line]
    if isinstance(entry, dict):
        for key in _KEYS:
            if isinstance(entry.get(key), str):
                return str(_ESCAPE.sub("", entry[key])).splitlines()
    return [line]
