"""``tunebench meter read|power-cycle BOARD``: a board's external meter, by itself."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli.options import BoardArgument, InventoryOption, JsonFlag
from tunebench.harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry
    from tunebench.targets.meters import MeterTrace, Wait

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="A board's external meter: try it, or cut the board's power with it.",
)


@app.command()
def read(
    board: BoardArgument,
    inventory: InventoryOption,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3600, help="How long to read.")] = 5.0,
    as_json: JsonFlag = False,
) -> None:
    """Read a board's meter for some seconds: what it is, its power, its rate and gaps, what went wrong."""
    from tunebench.targets.meters import MeterError, open_meter, turn_at

    entry = _entry(inventory, board)
    keys = _meter(entry)
    try:
        with turn_at(keys, _patient(entry)), open_meter(keys.spec()) as meter:
            meter.start()
            time.sleep(seconds)
            trace = meter.stop()
    except MeterError as error:
        raise HarnessError(f"board {board!r}: {error}") from None
    answer = answer_of(trace)
    typer.echo(json.dumps(answer, indent=2, allow_nan=False) if as_json else _text(trace, answer))


@app.command(name="power-cycle")
def power_cycle(
    board: BoardArgument,
    inventory: InventoryOption,
    off_s: Annotated[float, typer.Option("--off-s", min=0.5, max=600, help="How long it stays off.")] = 5.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Cut a board's power and give it back, both verified. What runs on it is lost; its card may suffer."""
    from tunebench.targets.meters import MeterError, open_meter, turn_at

    entry = _entry(inventory, board)
    keys = _meter(entry)
    if not yes:
        typer.confirm(f"Cut the power of {board}?", abort=True)
    try:
        # Not while a campaign reads it: what it measures would be lost.
        with turn_at(keys, _patient(entry)), open_meter(keys.spec()) as meter:
            meter.power_cycle(off_s)
    except MeterError as error:
        raise HarnessError(f"board {board!r}: {error}") from None
    typer.echo(f"{board}: off for {off_s:g} s, on again")


def answer_of(trace: MeterTrace) -> dict[str, Any]:
    """Return what a meter read, for scripts; null where it read nothing."""
    powers_w = [value for value in trace.power_w if value is not None]
    counts_j = [value for value in trace.energy_j or [] if value is not None]
    return {
        "schema": "tunebench.meter-read/1",
        "meter": vars(trace.info),
        "n": trace.n,
        "failed": len(trace.power_w) - trace.n,
        "rate_hz": trace.rate_hz,
        "max_gap_s": trace.max_gap_s,
        "t_bound_s": trace.t_bound_s,
        "mean_w": fmean(powers_w) if powers_w else None,
        "min_w": min(powers_w, default=None),
        "max_w": max(powers_w, default=None),
        "counted_j": counts_j[-1] - counts_j[0] if len(counts_j) > 1 else None,
        "errors": trace.errors,
    }


def _text(trace: MeterTrace, answer: dict[str, Any]) -> str:
    from tunebench.harness.board.meter import meter_text

    lines = [meter_text(trace.info)]
    if answer["mean_w"] is None:
        lines.append("no reading")
    else:
        span = f"{answer['min_w']:.3f} to {answer['max_w']:.3f}"
        lines.append(f"{answer['mean_w']:.3f} W on average ({span}) in {answer['n']} readings")
    if answer["max_gap_s"] is not None:
        lines.append(f"{answer['rate_hz']:.2f} readings a second, largest gap {answer['max_gap_s']:.3f} s")
    if answer["counted_j"] is not None:
        lines.append(f"its own counter went up by {answer['counted_j']:.1f} J")
    return "\n".join(lines + [f"failed: {error}" for error in trace.errors[:10]])


def _entry(inventory: Path, board: str) -> BoardEntry:
    from tunebench.harness.config.inventory import load_inventory

    entries = load_inventory(inventory).boards
    entry = next((entry for entry in entries if entry.id == board), None)
    if entry is None:
        raise UsageError(
            f"no board {board!r} in {inventory}; there are: {', '.join(entry.id for entry in entries)}"
        )
    return entry


def _patient(entry: BoardEntry) -> Wait:
    from tunebench.targets.meters import Wait

    return Wait(entry.patience_s, lambda message: typer.echo(f"{entry.id}: {message}", err=True))


def _meter(entry: BoardEntry) -> Any:
    if entry.meter is None:
        raise UsageError(f"board {entry.id!r} has no meter: give it a table [board.meter] (docs/meters.md)")
    return entry.meter
