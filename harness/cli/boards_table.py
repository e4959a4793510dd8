"""The table, or on a narrow terminal the cards, that ``tunebench boards`` prints; below, what stays empty and why."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from tunebench.harness.lab.survey import BoardRow, OwnPower, printable
from tunebench.targets.client.replies import Channel, Interpreter, Lease

_GIB = 1 << 30
_SHOWN_RAILS = 3
#: What stays empty stands below the table.
COLUMNS = (
    "board",
    "reachable",
    "model",
    "SoC, RAM",
    "system",
    "Python, torch",
    "sensors",
    "power",
    "meter",
    "lease",
)


#: A table of so many columns is readable from this width on; below, each board is a card.
TABLE_WIDTH = 150
_INDENT = "  "


def cards(rows: Sequence[BoardRow], width: int) -> list[str]:
    """Return the boards as cards, a line for each thing that is known; words wrap below their own column.

    Args:
        rows: the boards.
        width: of the terminal, in characters.
    """
    names = COLUMNS[2:]
    column = max(map(len, names)) + 2
    text_width = max(20, width - len(_INDENT) - column)
    shown: list[str] = []
    for row in rows:
        answered = row.probe is not None
        shown += [""] if shown else []
        shown.append(printable(row.entry.id if answered else f"{row.entry.id}: not reachable"))
        for name, cell in zip(names, _cells(row)[1:] if answered else [], strict=False):
            wrapped = [
                part
                for line in printable(cell).split("\n")
                for part in textwrap.wrap(line, text_width) or [""]
            ]
            shown += [
                f"{_INDENT}{head:{column}}{part}"
                for head, part in zip([name, *[""] * len(wrapped)], wrapped, strict=False)
            ]
    return shown


def table(rows: Sequence[BoardRow]) -> Table:
    """Return the boards as a table for a person; :func:`lines` gives what does not fit into it."""
    shown = Table(title="boards", title_justify="left")
    for column in COLUMNS:
        shown.add_column(column, overflow="fold")
    for row in rows:
        cells = [row.entry.id, *(["no", *[""] * (len(COLUMNS) - 2)] if row.probe is None else _cells(row))]
        # As text, never as markup: a board chose these words.
        shown.add_row(*(Text(printable(cell)) for cell in cells))
    return shown


def _cells(row: BoardRow) -> list[str]:
    probe, meter = row.answer, row.entry.meter
    return [
        "yes",
        str(probe.hardware.get("model") or "unknown"),
        _chip(row),
        _system(row),
        "\n".join(_interpreter(interpreter) for interpreter in probe.interpreters),
        _sensors(probe.channels),
        _power(row.power),
        f"{meter.kind} ({meter.scope})" if meter else "none",
        _lease(probe.lease),
    ]


def lines(rows: Sequence[BoardRow]) -> list[str]:
    """Return what stays empty and why, one line for each reason, to be printed below the table."""
    reasons = []
    for row in rows:
        if row.probe is None:
            reasons.append(f"{row.entry.id}: {row.reason}")
            continue
        reasons += [f"{row.entry.id}: {note}" for note in row.notes()]
        reasons.append(f"{row.entry.id}: see {row.page}")
    return [printable(line.replace("\n", " ")) for line in reasons]


def _chip(row: BoardRow) -> str:
    hardware = row.answer.hardware
    ram_b = hardware.get("ram_b")
    parts = [str(hardware.get("soc") or hardware.get("cpu") or "unknown")]
    if hardware.get("cores"):
        parts.append(f"{hardware['cores']} cores")
    if ram_b:
        parts.append(f"{ram_b / _GIB:.1f} GiB")
    return ", ".join(parts)


def _system(row: BoardRow) -> str:
    system, firmware = (row.fingerprint.get(tier) or {} for tier in ("os", "firmware"))
    parts = [system.get("pretty_name"), system.get("kernel")]
    if firmware.get("jetpack"):
        parts.append(f"JetPack {firmware['jetpack']}")
    elif firmware.get("l4t"):
        parts.append(f"L4T {firmware['l4t']}")
    parts += [system.get("power_mode"), system.get("governor")]
    return ", ".join(str(part) for part in parts if part) or "unknown"


def _interpreter(interpreter: Interpreter) -> str:
    if not interpreter.ok:
        return f"{interpreter.words}: does not start"
    torch = "no torch"
    if interpreter.torch:
        torch = f"torch {interpreter.torch}" + (" (CUDA)" if interpreter.cuda else "")
    return f"{interpreter.python}, {torch}"


def _sensors(channels: Sequence[Channel]) -> str:
    """Return the kinds of sensors with the number of each: a board may have twenty."""
    kinds = Counter(str(channel.kind) for channel in channels)
    return ", ".join(f"{kind} {count}" if count > 1 else kind for kind, count in kinds.items())


def _power(power: OwnPower | None) -> str:
    if power is None:
        return "none"
    channel = power.channel
    quantum = f", steps of {channel.quantum * 1000:.0f} mW" if channel.quantum else ""
    rails = str(channel.site).split("+")
    site = channel.site if len(rails) <= _SHOWN_RAILS else f"sum of {len(rails)} rails"
    return f"{site} ({channel.scope}{quantum})"


def _lease(lease: Lease | None) -> str:
    if lease is None:
        return "free"
    return f"{lease.owner.user}@{lease.owner.host}, {lease.expires_in_s} s more"
