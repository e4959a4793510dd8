"""``tunebench sensors parse KIND FILE``: what a parser makes of a captured output of a board or a plug."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tunebench.harness.cli.options import JsonFlag
from tunebench.harness.errors import UsageError
from tunebench.targets.agent.formats import KINDS, read
from tunebench.targets.agent.formats.reading import Reading, without_power

#: Far above any of these outputs, far below what would hurt; a log of hours is to be cut by its owner.
MAX_B = 16 << 20

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Sensors of boards and plugs: what their outputs mean."
)


@app.callback()
def _group() -> None:
    """Keep ``parse`` a command of its own while it is the only one."""


@app.command()
def parse(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="One of: " + ", ".join(sorted(KINDS)) + ".")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The captured output; - reads standard input.")],
    as_json: JsonFlag = False,
) -> None:
    """Show what tunebench makes of a captured output, e.g. of a board it has not met.

    What the output does not tell is null with a reason, never 0 W, and exits 0: that is an answer, too.
    """
    answer = answer_of(kind, file)
    typer.echo(json.dumps(answer, indent=2, allow_nan=False) if as_json else table(answer))


def answer_of(kind: str, file: str) -> dict[str, Any]:
    """Read and parse a capture; return what it tells.

    Args:
        kind: name of the format, a key of ``KINDS``.
        file: path, or ``-`` for standard input.

    Raises:
        UsageError: unknown kind, unreadable file, or more than ``MAX_B``.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    data = _read(file)
    reading = _parse(kind, data)
    return {"kind": kind, **reading._asdict()}


def _read(file: str) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_B + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(MAX_B + 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_B:
        raise UsageError(f"{file}: larger than {MAX_B >> 20} MiB; cut it to the part in question")
    return data


def _parse(kind: str, data: bytes) -> Reading:
    text = data.decode("utf-8", "replace")
    if "\0" in text or text.count("\ufffd") > len(text) // 8:
        return without_power([], "this is binary data, not the text that a program prints")
    return read(kind, text)


def table(answer: dict[str, Any]) -> str:
    """Return a reading for people: a line for each channel, then the total or why there is none."""
    rows = [("site", "kind", "value", "scope")]
    for channel in answer["channels"]:
        value = channel["value"]
        text = f"- ({channel.get('reason', '')})" if value is None else f"{value:.6g} {channel['unit']}"
        rows.append((_printable(channel["site"]), channel["kind"], _printable(text), channel["scope"] or ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    if answer["total_w"] is None:
        lines.append(f"total: none: {_printable(answer['reason'] or '')}")
    else:
        lines.append(f"total: {answer['total_w']:.6g} W, scope {answer['total_scope']}")
    lines += [
        f"{name}: {_detail(value)}"
        for name, value in answer["details"].items()
        if value not in (None, [], {})
    ]
    return "\n".join(lines)


def _detail(value: Any) -> str:
    """Return a detail, printable: captures are strangers' text, and terminals obey escape sequences."""
    return _printable(value) if isinstance(value, str) else json.dumps(value)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
