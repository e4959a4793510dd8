"""``tunebench quarantine``: a board whose nights are left out of the gate."""

from __future__ import annotations

from typing import Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import RESULTS, ReasonOption, StoreOption
from tunebench.harness.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def quarantine(
    board: Annotated[
        str, typer.Argument(metavar="BOARD", help="A board's id.", autocompletion=completion.board)
    ],
    reason: ReasonOption,
    store: StoreOption = str(RESULTS),
    release: Annotated[bool, typer.Option("--release", help="End the quarantine.")] = False,
) -> None:
    """Leave a board's nights out of the gate from now on, until it is released."""
    from tunebench.harness.nightly.decide import decide
    from tunebench.reports.history import index
    from tunebench.reports.history.series import all_series, opened
    from tunebench.reports.stores.address import place_of

    place = place_of(store)
    with opened(index.build(place).path) as database:
        known = sorted({series.board_id for series in all_series(database)})
    if board not in known:
        raise UsageError(f"board {board!r} is not in {store}; the results have: {', '.join(known)}")
    path = decide(place, "release" if release else "quarantine", reason, board_id=board)
    typer.echo(f"{'Released' if release else 'Quarantined'} {board} in {path}")
