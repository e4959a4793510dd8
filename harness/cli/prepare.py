"""``tunebench prepare``: the artefacts of a suite, made on this host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import SuiteOption, stderr_console
from tunebench.harness.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from tunebench.harness.config.suite import Suite

app = typer.Typer(add_completion=False)


@app.command()
def prepare(
    suite: SuiteOption = "quick",
    download: Annotated[
        bool, typer.Option("--download", help="Fetch published data sets that are not there (resumable).")
    ] = False,
) -> None:
    """Make the data and start-weight artefacts that a suite needs, on this host (needs torch for new ones).

    Boards never pretrain, download or convert. Data sets are looked for below TUNEBENCH_DATA, then in
    ~/.cache/tunebench/datasets; with --download they are fetched from where they are published.
    """
    from tunebench.harness.artifacts.gather import data_dir_from_env
    from tunebench.harness.config.suite import load_suite

    for line in _prepare(load_suite(suite), data_dir_from_env(), download, stderr_console()):
        typer.echo(line)


def _prepare(suite: Suite, data_dir: Path | None, download: bool, console: Console) -> list[str]:
    """Make a suite's artefacts; return one line for each task.

    Raises:
        UsageError: data of a task is not there; the message names every task, with its artefacts or the reason.
    """
    from tunebench.harness.artifacts.gather import gather
    from tunebench.harness.campaign.progress import StageLines

    artifacts = gather(suite, data_dir=data_dir, download=download, progress=StageLines(console))
    lines = [
        f"{task}: data {blob.sha256[:12]}, start weights {artifacts.weights[task].sha256[:12]}{_of(suite, task)}"
        for task, blob in artifacts.data.items()
    ]
    if artifacts.unavailable:
        reasons = "\n".join(f"{task}: {reason}" for task, reason in artifacts.unavailable.items())
        raise UsageError("\n".join([*lines, reasons]))
    return lines


def _of(suite: Suite, task: str) -> str:
    """Return how many bases a task's start weights are, where there are several."""
    count = len(suite.bases_of(task))
    return f" and of {count - 1} further bases" if count > 1 else ""
