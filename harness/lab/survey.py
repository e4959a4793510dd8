"""Survey the boards of a lab: what each is and has, and what will stay empty and why."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.environment import board_env
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.errors import EXIT_INFRA, EXIT_OK, EXIT_PARTIAL
from tunebench.harness.hints import command
from tunebench.targets.boards import BoardModel, match
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Channel, Interpreter, Probe
from tunebench.targets.errors import TargetError
from tunebench.targets.payload import Blob

#: Scopes that are a board's consumption; ``soc_rail`` is a part of it.
TOTALS = ("wall_ac", "dc_input", "board_input", "module", "rails_sum")


@dataclass(frozen=True)
class OwnPower:
    """The power that a board measures by itself.

    Attributes:
        channel: its total, or (x86) the part of it that can be read.
        channels: how many channels tell a power with a scope.
    """

    channel: Channel
    channels: int


@dataclass(frozen=True)
class BoardRow:
    """A board of the inventory, and what it answered.

    Attributes:
        probe: ``None``: it could not be asked, and ``reason`` says why.
    """

    entry: BoardEntry
    probe: Probe | None = None
    reason: str | None = None

    @property
    def answer(self) -> Probe:
        """Return the probe of a board that answered."""
        if self.probe is None:
            raise ValueError(f"{self.entry.id}: not reachable: {self.reason}")
        return self.probe

    @cached_property
    def fingerprint(self) -> dict[str, dict[str, Any]]:
        """Return the fingerprint's tiers as a run would store them."""
        return board_env(self.entry.id, self.answer).fingerprint

    @cached_property
    def model(self) -> BoardModel:
        """Return the row of the table of boards that this board is."""
        return match(self.answer.hardware)

    @cached_property
    def power(self) -> OwnPower | None:
        """Return the board's own power; rails without a scope do not count."""
        powers = [channel for channel in self.answer.channels if channel.kind == "power" and channel.scope]
        powers.sort(key=lambda channel: channel.scope not in TOTALS)
        return OwnPower(powers[0], len(powers)) if powers else None

    def notes(self) -> list[str]:
        """Return what a user should know of the board, one sentence for each fact."""
        probe, model = self.answer, self.model
        notes = self._power_notes()
        if self.entry.meter is None:
            notes.append(f"a meter would add {model.needs_meter}")
        notes += [f"no {name}: {reason}" for name, reason in probe.missing.items() if name != "power"]
        notes += _of_interpreters(probe.interpreters, self.entry.id)
        if probe.noexec is not None:
            notes.append(
                f"its working directory lies on {probe.noexec}, which is mounted noexec: no program, compiled kernel or"
                " environment can be run from it; set workdir in the inventory to a folder that allows it"
            )
        if probe.undo_pending:
            notes.append("a run that died left its tuning in place: the next run puts it back first")
        if any(swap.zram and swap.used_b for swap in probe.swaps or []):
            notes.append("zram is in use: it hides how much memory a job needs")
        if probe.simulated:
            notes.append("simulated: what sensors say comes from a folder")
        return notes

    def _power_notes(self) -> list[str]:
        expected = self.model.power
        if self.power is None:
            reason = self.answer.missing.get("power") or "no channel measures it"
            notes = [f"no power of its own: {reason}"]
            if expected is not None:
                notes.append(f"this board usually has {'+'.join(expected.rails[:3])} ({expected.source})")
            return notes
        channel = self.power.channel
        if channel.scope not in TOTALS:
            return [f"power is that of {channel.site} only ({channel.scope}), not the board's"]
        if expected is None:
            return []
        if channel.scope == expected.scope:
            return [f"power ({channel.scope}) misses {expected.misses}"]
        usual = f"{'+'.join(expected.rails)} ({expected.scope})"
        return [f"power is {channel.site} ({channel.scope}), where this board usually has {usual}"]

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        entry, probe = self.entry, self.probe
        head = {"board_id": entry.id, "kind": entry.kind, "tags": entry.tags, "reachable": probe is not None}
        if probe is None:
            return {**head, "reason": self.reason}
        keys = {"id", "site", "scope", "source", "quantum", "rate_hz"}
        return {
            **head,
            "model": probe.hardware.get("model"),
            "board": self.model.name,
            "page": self.page,
            "emulated": entry.emulated,
            "simulated": probe.simulated,
            "fingerprint": self.fingerprint,
            "fingerprint_sha256": probe.fingerprint_sha256,
            "interpreters": [interpreter.stored() for interpreter in probe.interpreters],
            "channels": [channel.stored() for channel in probe.channels],
            "missing": probe.missing,
            "power": self.power
            and {**self.power.channel.model_dump(include=keys), "channels": self.power.channels},
            "meter": entry.meter and {"kind": entry.meter.kind, "scope": entry.meter.scope},
            "lease": probe.lease and probe.lease.stored(),
            "undo_pending": probe.undo_pending,
            "disk_free_b": probe.disk_free_b,
            "swaps": None if probe.swaps is None else [swap.stored() for swap in probe.swaps],
            "notes": self.notes(),
        }

    @property
    def page(self) -> str:
        """Return the path of the board's page in the documentation."""
        return f"docs/boards/{self.model.page}.md"


def look_at(chosen: Sequence[BoardEntry], console: Console) -> tuple[int, list[BoardRow]]:
    """Probe boards in parallel.

    Returns:
        the exit code (0 all reachable, 3 some, 4 none), and the rows in the order of ``chosen``.
    """
    payload = build_payload()
    rows: dict[str, BoardRow] = {}
    with contextlib.ExitStack() as stack:
        if console.is_terminal:
            stack.enter_context(console.status(f"looking at {len(chosen)} board(s)"))
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=max(1, len(chosen))))
        entries = {pool.submit(_look, entry, payload): entry for entry in chosen}
        for done in as_completed(entries):
            row = rows[entries[done].id] = done.result()
            model = row.probe and (row.probe.hardware.get("model") or "no model")
            words = model or f"not reachable: {row.reason}"
            progress = f"[{len(rows)}/{len(chosen)}] {row.entry.id}: {words}"
            console.print(printable(progress), markup=False, highlight=False, soft_wrap=True)
    ordered = [rows[entry.id] for entry in chosen]
    reachable = sum(row.probe is not None for row in ordered)
    if reachable == len(ordered):
        return EXIT_OK, ordered
    return (EXIT_PARTIAL if reachable else EXIT_INFRA), ordered


def _look(entry: BoardEntry, payload: Blob) -> BoardRow:
    try:
        with Board(entry.spec()) as board:
            board.sync([payload])
            row = BoardRow(entry, board.probe([list(board.spec.interpreter)], None))
        row.as_dict()
    except TargetError as error:
        return BoardRow(entry, reason=str(error))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # A fingerprint's values are not trusted.
        return BoardRow(entry, reason=f"its answer is not of the agreed form: {str(error)[:200]}")
    return row


def _of_interpreters(interpreters: Sequence[Interpreter], board_id: str) -> list[str]:
    notes = []
    for interpreter in interpreters:
        if not interpreter.ok:
            notes.append(f"interpreter {interpreter.words}: {interpreter.reason}")
        elif not interpreter.torch:
            notes.append(
                f"no torch ({interpreter.reason}): `{command('setup', board_id, '--write', inventory=True)}`"
                " installs the one that fits"
            )
    return notes


def printable(text: str) -> str:
    """Replace control characters: they could rewrite the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
