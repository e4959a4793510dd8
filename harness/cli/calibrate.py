"""``tunebench calibrate``: how noisy this lab is, and what its gate and its comparisons can see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import RESULTS, JsonFlag, StoreOption
from tunebench.harness.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from tunebench.reports.history.calibration import CalibrationJson, SeriesJson

app = typer.Typer(add_completion=False)


@app.command()
def calibrate(
    store: StoreOption = str(RESULTS),
    drill: Annotated[
        float | None,
        typer.Option(
            "--drill", metavar="CHANGE", help="Slow every newest night down, e.g. 0.05, and see who notices."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Estimate this lab's noise: false alarms a month, the smallest change its gate and comparisons can see.

    With --drill the newest stored value of every series is made worse (in memory; no file changes) and held
    against its past: how many the screen would have nominated.
    """
    if drill is not None and not 0 < drill < 10:
        raise UsageError(f"--drill {drill:g}: a relative slow-down between 0 and 10, e.g. 0.05 for 5 %")
    from tunebench.reports.history import calibration
    from tunebench.reports.stores.address import place_of

    value = calibration.as_json_value(calibration.calibrate(place_of(store), drill))
    if as_json:
        typer.echo(json.dumps(value, indent=2))
        return
    from rich.console import Console

    console = Console()
    console.print(_series_table(value["series"]))
    for line in _lines(value):
        console.print(line, markup=False, soft_wrap=True)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _series_table(rows: list[SeriesJson]) -> Table:
    from rich.table import Table

    from tunebench.reports.history.screen import POWER

    table = Table(title="noise by series (time)", title_justify="left")
    for column in (
        "series",
        "nights",
        "within a night",
        "night to night",
        f"seen at {POWER:.0%}",
        "nominated",
    ):
        table.add_column(column, overflow="fold")
    for row in rows:
        known = "> +50%" if row["reason"] is None else "not known"
        smallest = f"+{row['smallest']:.0%}" if row["smallest"] is not None else known
        nominated = f"{row['nominated']} of {row['judged']}" if row["judged"] else "learning"
        table.add_row(
            row["name"],
            str(row["nights"]),
            _percent(row["repetition"]),
            _percent(row["night"]),
            smallest,
            nominated,
        )
    return table


def _lines(value: CalibrationJson) -> list[str]:
    from tunebench.reports.history.noise import COMPARED_BLOCKS, MIN_BLOCKS

    lines = []
    if value["false_alarms_a_month"] is None:
        lines.append(f"False alarms: not known: {value['reason']}")
    else:
        lines.append(
            f"False alarms: the screen nominates {value['nominations_a_month']:.1f} values a month"
            f" (95%: at most {value['nominations_a_month_at_most']:.0f}); confirmed by pairs,"
            f" at most {value['false_alarms_a_month']:.2f} a month turn red by chance"
        )
    unknown: dict[str, int] = {}
    for series in value["series"]:
        if series["reason"] is not None:
            unknown[series["reason"]] = unknown.get(series["reason"], 0) + 1
    lines += [f"Smallest change: not known for {number} series: {why}" for why, number in unknown.items()]
    for row in value["aa"]:
        if row["half_width"] is None or row["spread"] is None:
            lines.append(
                f"A/A on {row['board_id']}, {row['task']}: {row['n']} block(s), {MIN_BLOCKS} are needed to tell how far"
                " one varies"
            )
            continue
        lines.append(
            f"A/A on {row['board_id']}, {row['task']}: one block varies by {row['spread']:.1%} (bias {row['bias']:+.2%},"
            f" {row['n']} blocks); {COMPARED_BLOCKS} blocks tell apart about {row['half_width']:.1%}"
        )
    if not value["aa"]:
        lines.append("A/A: no control in these results; suites with `aa = true` measure one")
    drill = value["drill"]
    if drill is not None:
        missed = f"; missed: {', '.join(drill['missed'][:10])}" if drill["missed"] else ""
        judged = len(value["series"]) - drill["learning"]
        lines.append(
            f"Drill of {drill['change']:+.0%}: {drill['caught']} of {judged} nominated"
            f" ({drill['learning']} learning){missed}"
        )
    return lines
