"""Put the lines of several hosts' decisions in order."""

from __future__ import annotations

import json
from collections.abc import Iterable


def by_date(lines: Iterable[str]) -> list[str]:
    """Return lines of ``decisions.jsonl`` by their dates; of one date, and without one, as they came.

    A later decision supersedes an earlier one, and hosts push theirs when they do.

    >>> by_date(['{"t_utc": "2026-02"}', '{"t_utc": "2026-01"}'])
    ['{"t_utc": "2026-01"}', '{"t_utc": "2026-02"}']
    """
    return sorted((line for line in lines if line.strip()), key=_date)


def _date(line: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    date = value.get("t_utc") if isinstance(value, dict) else None
    return date if isinstance(date, str) else ""
