"""``tunebench accept``: a change of a series that is meant to be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import RESULTS, ReasonOption, StoreOption
from tunebench.harness.errors import UsageError

if TYPE_CHECKING:
    from tunebench.reports.history.series import Series
    from tunebench.reports.stores.address import Address

app = typer.Typer(add_completion=False)


@app.command()
def accept(
    series: Annotated[
        str,
        typer.Argument(metavar="SERIES", help="Series key (or its beginning), or 'board / task / label'."),
    ],
    reason: ReasonOption,
    store: StoreOption = str(RESULTS),
) -> None:
    """Accept a change: the series starts a new segment, older nights are no yardstick any more."""
    from tunebench.harness.nightly.decide import decide
    from tunebench.reports.stores.address import place_of

    place = place_of(store)
    chosen = find_series(place, series)
    path = decide(place, "accept", reason, series_key=chosen.series_key, board_id=chosen.board_id)
    typer.echo(f"Accepted {chosen.name} ({chosen.series_key[:12]}) in {path}")


def find_series(store: Path | Address, wanted: str) -> Series:
    """Return the one series that a key, the beginning of a key, or a name stands for.

    Raises:
        UsageError: none or several fit; the message names those that are near.
    """
    from tunebench.reports.history import index
    from tunebench.reports.history.series import all_series, opened

    with opened(index.build(store).path) as database:
        roles = (all_series(database, role=role) for role in ("energy", "timed"))
        # A series may have energy repetitions alone; one that has both is one.
        known = list({series.series_key: series for role in roles for series in role}.values())
    name = "".join(wanted.split())
    matches = [
        series
        for series in known
        if series.series_key.startswith(wanted) or "".join(series.name.split()) == name
    ]
    if len(matches) == 1:
        return matches[0]
    near = [series for series in known if any(part in series.name for part in wanted.split("/"))]
    shown = matches or near or known
    names = "; ".join(f"{series.name} ({series.series_key[:12]})" for series in shown[:8])
    more = f"; and {len(shown) - 8} more" if len(shown) > 8 else ""
    what = "is ambiguous" if matches else "is not known"
    raise UsageError(
        f"series {wanted!r} {what} in {store}; {'it fits' if matches else 'it has'}: {names}{more}"
    )
