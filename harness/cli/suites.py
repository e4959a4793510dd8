"""``tunebench suites``: the built-in suites."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import RESULTS, JsonFlag, OutOption, print_json
from tunebench.harness.hints import command as hint

if TYPE_CHECKING:
    from tunebench.harness.planning.runs.status import RunStatus

#: So many of the newest runs are looked at for how long a suite took.
_MOST_RUNS = 100
_INDENT = "    "

app = typer.Typer(add_completion=False)


@app.command()
def suites(out: OutOption = RESULTS, as_json: JsonFlag = False) -> None:
    """List the built-in suites: what each is for, how much it measures, how long it took.

    How long: of its newest complete run below --out; else as the suite itself says, with the machine that it was on.
    """
    from tunebench.harness.config.suite import built_in_suites

    took = _last_runs(out)
    descriptions = [_of_suite(name, took.get(name)) for name in built_in_suites()]
    if as_json:
        print_json(descriptions)
        return
    width = shutil.get_terminal_size().columns
    for suite in descriptions:
        tasks = ", ".join(suite["tasks"])
        blocks = f"{suite['blocks']} block{'s' if suite['blocks'] != 1 else ''}"
        typer.echo(_wrapped(f"{suite['name']}: {blocks}, {suite['rows']} rows: {tasks}", "", width))
        typer.echo(_wrapped(suite["description"], _INDENT, width))
        typer.echo(_wrapped(_duration_words(suite), _INDENT, width))


def _wrapped(text: str, indent: str, width: int) -> str:
    return textwrap.fill(
        text,
        max(40, width),
        initial_indent=indent,
        subsequent_indent=indent or _INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _of_suite(name: str, last: RunStatus | None) -> dict[str, Any]:
    from tunebench.harness.config.suite import load_suite

    suite = load_suite(name)
    return {
        "name": name,
        "description": completion.description(completion.suite_file(name)),
        "blocks": suite.header.blocks,
        "rows": len(suite.workloads),
        "tasks": list(suite.baselines),
        "lasts": suite.header.lasts,
        "last_run": None
        if last is None
        else {"seconds": last.lasted_s, "boards": list(last.board_ids), "ended_utc": last.ended_utc},
    }


def _duration_words(suite: Mapping[str, Any]) -> str:
    from tunebench.harness.cli.runs import clock_of, utc

    last = suite["last_run"]
    if last is not None:
        boards = ", ".join(last["boards"][:3]) + (", ..." if len(last["boards"]) > 3 else "")
        return f"took {clock_of(last['seconds'])} on {boards} ({utc(last['ended_utc'])[:10]})"
    if suite["lasts"]:
        return f"takes {suite['lasts']}"
    return f"not run here yet; once its methods have been: {hint('plan', '-s', suite['name'])}"


def _last_runs(out: Path) -> dict[str, RunStatus]:
    """Return the newest complete run of each suite below a results root."""
    from tunebench.harness.planning.runs.status import in_short, run_folders
    from tunebench.reports.results import ResultsError

    newest: dict[str, RunStatus] = {}
    for folder in run_folders(out)[:_MOST_RUNS] if out.is_dir() else []:
        try:
            run = in_short(folder)
        except ResultsError:
            continue
        if run.suite is not None and run.lasted_s is not None:
            newest.setdefault(run.suite, run)
    return newest
