"""``tunebench boards``: what each board is and has, and what will stay empty and why."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from rich.console import Console

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.environment import board_env
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.errors import EXIT_INFRA, EXIT_OK, EXIT_PARTIAL
from tunebench.targets.boards import BoardModel, match
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Channel, Interpreter, Probe
from tunebench.targets.errors import TargetError
from tunebench.targets.payload import Blob

#: Scopes that are a board's consumption; ``soc_rail`` is a part of it.
TOTALS = ("wall_ac", "dc_input", "board_input", "module", "rails_sum")
_GB = 1 << 30
_SHOWN_RAILS = 3
#: Of the table; what stays empty stands below it.
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
Row = dict[str, Any]


def look_at(chosen: Sequence[BoardEntry], console: Console) -> tuple[int, list[Row]]:
    """Probe boards in parallel; 0 all reachable, 3 some, 4 none. Rows keep the order of ``chosen``."""
    payload = build_payload()
    rows: dict[str, Row] = {}
    with contextlib.ExitStack() as stack:
        if console.is_terminal:
            stack.enter_context(console.status(f"looking at {len(chosen)} board(s)"))
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=max(1, len(chosen))))
        asked = {pool.submit(_look, entry, payload): entry for entry in chosen}
        for done in as_completed(asked):
            row = rows[asked[done].id] = done.result()
            said = row.get("model") or "no model" if row["reachable"] else f"not reachable: {row['reason']}"
            progress = f"[{len(rows)}/{len(chosen)}] {row['board_id']}: {said}"
            console.print(_printable(progress), markup=False, highlight=False, soft_wrap=True)
    ordered = [rows[entry.id] for entry in chosen]
    reachable = sum(bool(row["reachable"]) for row in ordered)
    if reachable == len(ordered):
        return EXIT_OK, ordered
    return (EXIT_PARTIAL if reachable else EXIT_INFRA), ordered


def _look(entry: BoardEntry, payload: Blob) -> Row:
    row: Row = {"board_id": entry.id, "kind": entry.kind, "tags": entry.tags, "reachable": False}
    try:
        with Board(entry.spec()) as board:
            board.sync([payload])
            probe = board.probe([list(board.spec.interpreter)], None)
        return {**row, **describe(entry, probe)}
    except TargetError as error:
        return {**row, "reason": str(error)}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # A fingerprint's values are not trusted.
        return {**row, "reason": f"its answer is not of the agreed form: {str(error)[:200]}"}


def describe(entry: BoardEntry, probe: Probe) -> Row:
    """Return a reachable board's row, from its probe."""
    env = board_env(entry.id, probe)
    model = match(probe.hardware)
    meter = None if entry.meter is None else {"kind": entry.meter.kind, "scope": entry.meter.scope}
    power = power_of(probe.channels)
    row: Row = {
        "reachable": True,
        "model": probe.hardware.get("model"),
        "board": model.name,
        "page": f"docs/boards/{model.page}.md",
        "emulated": entry.emulated,
        "simulated": probe.simulated,
        "fingerprint": env.fingerprint,
        "fingerprint_sha256": probe.fingerprint_sha256,
        "interpreters": [interpreter.stored() for interpreter in probe.interpreters],
        "channels": env.channels,
        "missing": env.missing,
        "power": power,
        "meter": meter,
        "lease": None if probe.lease is None else probe.lease.stored(),
        "undo_pending": probe.undo_pending,
        "disk_free_b": probe.disk_free_b,
        "swaps": None if probe.swaps is None else [swap.stored() for swap in probe.swaps],
    }
    return {**row, "notes": notes(row, probe, model, entry.id)}


def power_of(channels: Sequence[Channel]) -> Row | None:
    """Return the board's own power: its total, or (x86) the part of it that can be read.

    Rails without a scope are neither.
    """
    powers = [channel for channel in channels if channel.kind == "power" and channel.scope]
    powers.sort(key=lambda channel: channel.scope not in TOTALS)
    if not powers:
        return None
    keys = {"id", "site", "scope", "source", "quantum", "rate_hz"}
    return {**powers[0].model_dump(include=keys), "channels": len(powers)}


def notes(row: Mapping[str, Any], probe: Probe, model: BoardModel, board_id: str) -> list[str]:
    """Return what a user should know of a board, a sentence each."""
    said = []
    power, meter = row["power"], row["meter"]
    if power is None:
        why = probe.missing.get("power") or "no channel measures it"
        said.append(f"no power of its own: {why}")
    elif power["scope"] not in TOTALS:
        said.append(f"power is that of {power['site']} only ({power['scope']}), not the board's")
    elif model.power is not None and power["scope"] == model.power.scope:
        said.append(f"power ({power['scope']}) misses {model.power.misses}")
    elif model.power is not None:
        usual = f"{'+'.join(model.power.rails)} ({model.power.scope})"
        said.append(f"power is {power['site']} ({power['scope']}), where this board usually has {usual}")
    if model.power is not None and power is None:
        said.append(f"this board usually has {'+'.join(model.power.rails[:3])} ({model.power.source})")
    if meter is None:
        said.append(f"a meter would add {model.needs_meter}")
    said += [f"no {name}: {reason}" for name, reason in probe.missing.items() if name != "power"]
    said += _of_interpreters(probe.interpreters, board_id)
    if probe.undo_pending:
        said.append("a run that died left its tuning in place: the next run puts it back first")
    if any(swap.zram and swap.used_b for swap in probe.swaps or []):
        said.append("zram is in use: it hides how much memory a job needs")
    if probe.simulated:
        said.append("simulated: what sensors say comes from a folder")
    return said


def _of_interpreters(interpreters: Sequence[Interpreter], board_id: str) -> list[str]:
    said = []
    for interpreter in interpreters:
        if not interpreter.ok:
            said.append(f"interpreter {interpreter.words}: {interpreter.reason}")
        elif not interpreter.torch:
            said.append(
                f"no torch ({interpreter.reason}): tunebench setup {board_id} installs the one that fits"
            )
    return said


def _printable(text: str) -> str:
    """Without control characters: they could rewrite the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _words(found: Mapping[str, Any]) -> str:
    return " ".join(str(word) for word in found.get("argv") or [])
