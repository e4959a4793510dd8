"""The table that ``tunebench boards`` prints: one row for each board, and below it what stays empty and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tunebench.harness.lab.survey import _GB, _SHOWN_RAILS, COLUMNS, _printable, _words


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the boards as a table for a person; :func:`lines` says the rest."""
    shown = Table(title="boards", title_justify="left")
    for column in COLUMNS:
        shown.add_column(column, overflow="fold")
    for row in rows:
        cells = [
            str(row["board_id"]),
            *(_cells(row) if row["reachable"] else ["no", *[""] * (len(COLUMNS) - 2)]),
        ]
        # As text, never as markup: a board chose these words.
        shown.add_row(*(Text(_printable(cell)) for cell in cells))
    return shown


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        "yes",
        str(row.get("model") or "unknown"),
        _chip(row),
        _system(row),
        "\n".join(_interpreter(interpreter) for interpreter in row["interpreters"]),
        _sensors(row["channels"]),
        _power(row["power"]),
        f"{row['meter']['kind']} ({row['meter']['scope']})" if row["meter"] else "none",
        _lease(row["lease"]),
    ]


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what stays empty and why, one line for each reason, to be printed below the table."""
    reasons = []
    for row in rows:
        if not row["reachable"]:
            reasons.append(f"{row['board_id']}: {row['reason']}")
            continue
        reasons += [f"{row['board_id']}: {note}" for note in row["notes"]]
        reasons.append(f"{row['board_id']}: see {row['page']}")
    return [_printable(line.replace("\n", " ")) for line in reasons]


def _chip(row: Mapping[str, Any]) -> str:
    hardware = row["fingerprint"].get("hardware") or {}
    ram_b = hardware.get("ram_b")
    parts = [str(hardware.get("soc") or hardware.get("cpu") or "unknown")]
    if hardware.get("cores"):
        parts.append(f"{hardware['cores']} cores")
    if ram_b:
        parts.append(f"{ram_b / _GB:.1f} GiB")
    return ", ".join(parts)


def _system(row: Mapping[str, Any]) -> str:
    system, firmware = (row["fingerprint"].get(tier) or {} for tier in ("os", "firmware"))
    parts = [system.get("pretty_name"), system.get("kernel")]
    if firmware.get("jetpack"):
        parts.append(f"JetPack {firmware['jetpack']}")
    elif firmware.get("l4t"):
        parts.append(f"L4T {firmware['l4t']}")
    parts += [system.get("power_mode"), system.get("governor")]
    return ", ".join(str(part) for part in parts if part) or "unknown"


def _interpreter(interpreter: Mapping[str, Any]) -> str:
    if not interpreter.get("ok"):
        return f"{_words(interpreter)}: does not start"
    torch = (
        f"torch {interpreter['torch']}" + (" (CUDA)" if interpreter.get("cuda") else "")
        if interpreter.get("torch")
        else "no torch"
    )
    return f"{interpreter.get('python')}, {torch}"


def _sensors(channels: Sequence[Mapping[str, Any]]) -> str:
    """Return the kinds of sensors with the number of each: a board may have twenty."""
    kinds: dict[str, int] = {}
    for channel in channels:
        kinds[str(channel.get("kind"))] = kinds.get(str(channel.get("kind")), 0) + 1
    return ", ".join(f"{kind} {n}" if n > 1 else kind for kind, n in kinds.items())


def _power(power: Mapping[str, Any] | None) -> str:
    if power is None:
        return "none"
    quantum = f", steps of {power['quantum'] * 1000:.0f} mW" if power.get("quantum") else ""
    rails = str(power["site"]).split("+")
    site = power["site"] if len(rails) <= _SHOWN_RAILS else f"sum of {len(rails)} rails"
    return f"{site} ({power['scope']}{quantum})"


def _lease(lease: Mapping[str, Any] | None) -> str:
    if not isinstance(lease, Mapping):
        return "free"
    owner = lease.get("owner") or {}
    return f"{owner.get('user')}@{owner.get('host')}, {lease.get('expires_in_s')} s more"
