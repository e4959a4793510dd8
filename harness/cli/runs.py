"""``tunebench runs``: the runs below a results root."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli.options import RESULTS, JsonFlag, OutOption, print_json
from tunebench.harness.errors import UsageError

if TYPE_CHECKING:
    from tunebench.harness.planning.runs.status import RunStatus

app = typer.Typer(add_completion=False)


@app.command()
def runs(
    out: OutOption = RESULTS,
    most: Annotated[int, typer.Option("--most", "-n", min=1, help="So many, the newest first.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List the runs below a results root, the newest first: what ran, what is running, how far it is.

    Only files are read: no board is asked, and a run that is being measured is not disturbed.
    """
    from tunebench.harness.planning.runs.status import in_short, run_folders
    from tunebench.reports.results import ResultsError

    folders = run_folders(out)
    if not folders:
        raise UsageError(f"--out {out}: holds no run; give the folder that runs were written to")
    statuses: list[RunStatus] = []
    for folder in folders[:most]:
        try:
            statuses.append(in_short(folder))
        except ResultsError as error:
            typer.echo(f"tunebench: {error}", err=True)
    if as_json:
        print_json([as_dict(run) for run in statuses])
        return
    for run in statuses:
        typer.echo(f"{run.run_id}  {headline(run)}")
        typer.echo(f"    {run.path}")
    if len(folders) > most:
        typer.echo(f"{len(folders) - most} more; --most {len(folders)} shows them")


def headline(run: RunStatus) -> str:
    """Return a run in one line: suite, state, how much is recorded, where, since when."""
    planned = f" of {run.planned}" if run.planned is not None and run.state != "complete" else ""
    boards = run.board_ids[0] if len(run.board_ids) == 1 else f"{len(run.board_ids)} boards"
    lasted = f", took {clock_of(run.lasted_s)}" if run.lasted_s is not None else ""
    return (
        f"{run.suite or 'suite unknown'}: {run.state}, {run.recorded}{planned} repetitions on {boards},"
        f" begun {utc(run.started_utc)}{lasted}"
    )


def clock_of(seconds: float) -> str:
    """Return seconds as ``1:05`` or ``2:03:04``."""
    from tunebench.harness.campaign.progress import clock

    return clock(seconds)


def utc(text: str | None) -> str:
    """Return a stored time for a person; ``unknown`` where there is none.

    >>> utc("2026-11-29T21:14:05Z")
    '2026-11-29 21:14 UTC'
    """
    if text is None or len(text) < 16:
        return "at an unknown time"
    return f"{text[:10]} {text[11:16]} UTC"


def as_dict(run: RunStatus) -> dict[str, Any]:
    """Return a run's state for ``--json``."""
    value = asdict(run)
    return {**value, "path": str(run.path), "left_s": run.left_s, "lasted_s": run.lasted_s}
