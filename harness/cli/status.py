"""``tunebench status``: how far a run is, from another terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import RESULTS, JsonFlag, OutOption, print_json
from tunebench.harness.cli.runs import as_dict, clock_of, headline
from tunebench.harness.errors import UsageError

if TYPE_CHECKING:
    from tunebench.harness.planning.runs.status import BoardStatus, RunStatus

app = typer.Typer(add_completion=False)


@app.command()
def status(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run's directory; default: all that are running below --out, else the newest.",
            autocompletion=completion.runs,
        ),
    ] = None,
    out: OutOption = RESULTS,
    as_json: JsonFlag = False,
) -> None:
    """Say how far a run is, board by board: what runs now, how long it will take, what is missing and why.

    From another terminal, also while it is measured: only files are read, and no board is asked.
    """
    from tunebench.harness.planning.runs.status import in_full

    statuses = [in_full(folder) for folder in folders_of(run, out)]
    if as_json:
        print_json([as_dict(run_status) for run_status in statuses])
        return
    typer.echo("\n\n".join("\n".join(lines(run_status)) for run_status in statuses))


def folders_of(run: Path | None, out: Path) -> list[Path]:
    """Return the directories of the runs that are meant."""
    from tunebench.harness.planning.runs.status import run_folders
    from tunebench.reports.results import find_run, is_being_written
    from tunebench.reports.results.layout import MANIFEST

    if run is not None:
        return [find_run(run)]
    folders = run_folders(out)
    if not folders:
        raise UsageError(f"--out {out}: holds no run; give the folder that runs were written to, or a RUN")
    running = [path for path in folders if not (path / MANIFEST).exists() and is_being_written(path)]
    return running or folders[:1]


def lines(run: RunStatus) -> list[str]:
    """Return a run's state as text for a person."""
    left = f"; about {clock_of(run.left_s)} left" if run.left_s is not None else ""
    shown = [f"{run.run_id}: {headline(run)}{left}"]
    width = max((len(board.board_id) for board in run.boards), default=0)
    shown += [f"  {board.board_id:{width}}  {_of_board(board)}" for board in run.boards]
    if run.state == "running" and run.quiet_s is not None:
        shown.append(f"last record: {clock_of(run.quiet_s)} ago")
    shown.append(f"results: {run.path}")
    if run.state == "not complete":
        shown.append(
            "nobody measures it now" + (f"; to continue it: {run.continuing}" if run.continuing else "")
        )
    return shown


def _of_board(board: BoardStatus) -> str:
    parts = board.progress
    if board.missing is None and board.now is not None and board.left_s is not None:
        parts.append(f"about {clock_of(board.left_s)} left")
    return "; ".join(parts)
