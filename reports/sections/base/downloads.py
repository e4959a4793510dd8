"""Data carried inside the page: compact JSON or text, deflated, in base64; the browser inflates what it shows."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunebench.reports.formatting.json_value import json_value
from tunebench.reports.summary import Summary, as_json

#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: Not in the JSON: the repetitions are the CSV, the studies' tables stand on the page and follow from the rows.
_NOT_AGAIN = ("repetitions", "study", "lorae")
CSV_COLUMNS = (
    "board_id", "task", "label", "aa_control", "role", "block", "slot", "attempt", "t_start_utc", "wall_s",
    "class", "outcome", "reason", "host_s", "process_s", "rep_id",
)  # fmt: skip


@dataclass(frozen=True)
class Download:
    """A file that the page can write: its name, its type, and what is in it."""

    ident: str
    name: str
    mime: str
    words: str
    packed: Markup


def packed(value: object) -> Markup:
    """Pack JSON for the page: deflated (zlib format, RFC 1950, as ``DecompressionStream("deflate")`` reads it), base64.

    >>> zlib.decompress(base64.b64decode(packed({"t": [1, 2]})))
    b'{"t":[1,2]}'
    """
    return packed_text(json.dumps(value, separators=(",", ":"), allow_nan=False))


def packed_text(text: str) -> Markup:
    """Pack text for the page (UTF-8, deflated, base64): the result has no character that could end a script element."""
    # A lone surrogate of a hostile name has no UTF-8.
    data = base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 9))
    return Markup(data.decode("ascii"))  # noqa: S704 - base64


def downloads(summary: Summary) -> list[Download]:
    """Return the repetitions as CSV, and everything on the page as JSON."""
    run_id = "".join(c if c.isalnum() or c in "-_" else "-" for c in str(summary.run.run_id)[:60])
    return [
        Download(
            "data-csv",
            f"{run_id}.csv",
            "text/csv",
            "Every repetition (CSV)",
            packed_text(as_csv(json_value(summary.repetitions))),
        ),
        Download(
            "data-json",
            f"{run_id}.json",
            "application/json",
            "Everything shown here (JSON)",
            packed(
                _rounded({key: value for key, value in as_json(summary).items() if key not in _NOT_AGAIN})
            ),
        ),
    ]


def as_csv(repetitions: Sequence[Mapping[str, object]]) -> str:
    """Return one line for each repetition; text that a spreadsheet would run as a formula gets an apostrophe in front.

    >>> as_csv([{"label": "=1+1", "wall_s": -1.5}]).splitlines()[1].strip(",")
    "'=1+1,,,,,,,-1.5"
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    writer.writerows([_cell(rep.get(name)) for name in CSV_COLUMNS] for rep in repetitions)
    return out.getvalue()


def _rounded(value: Any) -> Any:
    """Round floats to seven significant digits: finer than any clock or sensor of ours can resolve."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, Mapping):
        return {str(key): _rounded(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(member) for member in value]
    return value


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else value
