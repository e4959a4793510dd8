"""``tunebench search``: the best point of a suite's space within a device budget, measured on the board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import (
    RESULTS,
    BoardsOption,
    InventoryOption,
    JsonFlag,
    NoHtmlFlag,
    OutOption,
    SuiteOption,
    print_json,
    request_of,
    stderr_console,
)
from tunebench.harness.errors import (
    EXIT_INFRA,
    EXIT_INTERRUPTED,
    EXIT_MEASURED,
    EXIT_OK,
    EXIT_PARTIAL,
    UsageError,
)

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry, Inventory
    from tunebench.harness.search.halves import Halves
    from tunebench.harness.search.search import Goal
    from tunebench.harness.search.space import Space
    from tunebench.reports.studies.search.model import Search, SearchFacts

app = typer.Typer(add_completion=False)


@app.command()
def search(
    inventory: InventoryOption,
    suite: SuiteOption,
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            metavar="BOUNDS",
            help="What a point may cost at most and must reach, e.g. 'ms=5,mb=20,accuracy>=0.9'.",
        ),
    ],
    aim: Annotated[
        str,
        typer.Option(
            "--aim",
            metavar="QUANTITY",
            help="What the best point within the budget is best in: accuracy, ms, mb, mj.",
        ),
    ] = "accuracy",
    boards: BoardsOption = None,
    board_seconds: Annotated[
        float,
        typer.Option(
            "--board-seconds", metavar="S", min=1, help="For how long the search may keep the board at work."
        ),
    ] = 600.0,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help="Trials; a search that was stopped goes on from it. Default: SUITE.search here.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=1_000_000, help="Of the proposals.")] = 0,
    out: OutOption = RESULTS,
    no_html: NoHtmlFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Search the best point of a suite's [search] space within a budget, measured on one board.

    Each trial is an ordinary run below --keep; its accuracy comes from held-out halves of the fine-tuning data. The
    choice is measured again below --out, from other seeds and on the test set; its report has the front (docs/search.md).

    Exit codes: 0 found, and within the budget when measured again; 1 no point is within it, or the choice is not when
    measured again; 2 a mistake in what was asked; 3 the data or start weights cannot be had here; 4 the board gave up;
    Ctrl-C (130) leaves the trials, and the same command goes on.
    """
    from tunebench.harness.campaign import closing
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.config.suite import load_suite
    from tunebench.harness.search.choice import choice_suite, measure_choice
    from tunebench.harness.search.sampler import check_optuna
    from tunebench.harness.search.search import run_search
    from tunebench.harness.search.space import space_of
    from tunebench.harness.search.trial import Bench, BoardLost, Interrupted
    from tunebench.reports.results import RunReader
    from tunebench.reports.studies.search.facts import facts_of
    from tunebench.reports.summary import summarise

    goal = _goal(budget, aim, board_seconds, seed)
    loaded = load_inventory(inventory)
    space = space_of(load_suite(suite))
    board = _one_board(loaded, boards)
    check_optuna()
    console = stderr_console()

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    halves = _halves(space)
    if halves is None:
        raise typer.Exit(EXIT_PARTIAL)
    request = request_of(loaded, space.suite, boards, out, resume=False)
    bench = Bench(board, loaded.lab.name, halves, goal.needs_energy, tuple(request.command), tell)
    try:
        found = run_search(
            space, goal, bench, keep or Path(f"{space.suite.name}.search"), lambda so_far: tell(_line(so_far))
        )
    except Interrupted:
        tell("interrupted: the same command goes on with this search")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BoardLost as error:
        tell(f"{error}; the same command goes on with this search")
        raise typer.Exit(EXIT_INFRA) from None
    if found.chosen is None:
        _print(facts_of(found), None, EXIT_MEASURED, as_json=as_json)
        raise typer.Exit(EXIT_MEASURED)
    again = request_of(
        loaded, choice_suite(space, found, energy=goal.needs_energy), board.id, out, resume=False
    )
    code, run_dir = measure_choice(again, console)
    if run_dir is None or code == EXIT_INTERRUPTED:
        raise typer.Exit(code)
    facts = summarise(RunReader(run_dir)).search or facts_of(found)
    if code == EXIT_OK and facts.holds is not True:
        code = EXIT_MEASURED
    _print(facts, run_dir, code, as_json=as_json)
    if not no_html:
        report = closing.write_report(run_dir)
        typer.echo(report.line, err=as_json or report.path is None)
        code = EXIT_INFRA if report.path is None and code == EXIT_OK else code
    raise typer.Exit(code)


def _goal(budget: str, aim: str, board_seconds: float, seed: int) -> Goal:
    """Return what is sought.

    Raises:
        UsageError: the budget or the aim is none.
    """
    from tunebench.harness.search.search import Goal
    from tunebench.reports.studies.search.budget import parse_budget, unit_of

    try:
        bounds = parse_budget(budget)
    except ValueError as error:
        raise UsageError(f"--budget: {error}") from None
    try:
        quantity = unit_of(aim).quantity
    except ValueError as error:
        raise UsageError(f"--aim: {error}") from None
    return Goal(bounds, quantity, board_seconds, seed)


def _one_board(inventory: Inventory, boards: str | None) -> BoardEntry:
    """Return the board that is searched on.

    Raises:
        UsageError: there are several.
    """
    chosen = inventory.select(boards)
    if len(chosen) > 1:
        names = ", ".join(board.id for board in chosen)
        raise UsageError(f"a search is for one board: name it with --boards; there are: {names}")
    return chosen[0]


def _halves(space: Space) -> Halves | None:
    """Return the held-out halves; None: the data or start weights cannot be had, and that was told."""
    from tunebench.harness.artifacts.gather import data_dir_from_env
    from tunebench.harness.campaign.progress import StageLines
    from tunebench.harness.search.halves import prepare_halves
    from tunebench.workloads.datasets import DataUnavailable
    from tunebench.workloads.prepare.artefacts import PrepareError

    first = space.suite_at(space.points()[0])
    try:
        return prepare_halves(first, data_dir=data_dir_from_env(), progress=StageLines(stderr_console()))
    except (DataUnavailable, PrepareError) as error:
        typer.echo(f"tunebench: {space.task}: cannot be searched here: {error}", err=True)
        return None


def _line(search: Search) -> str:
    """Return the line on the newest trial: what came out, and how much of the board's time is spent."""
    from tunebench.reports.studies.search.budget import shown

    trial = search.trials[-1]
    values = ", ".join(
        f"{quantity} {shown(quantity, trial.values.get(quantity))}" for quantity in search.quantities
    )
    within = "within the budget" if search.budget.excess(trial.values) == 0 else "not within the budget"
    reason = next(iter(trial.missing.values()), "") if not trial.values else ""
    return (
        f"trial {trial.number}: {trial.label}: {reason or f'{values}; {within}'} "
        f"[{search.board_s:.1f} of {search.board_s_limit:g} board seconds]"
    )


def _print(facts: SearchFacts, run_dir: Path | None, code: int, *, as_json: bool) -> None:
    """Print what was found, for people or for scripts."""
    from tunebench.reports.formatting.json_value import json_value
    from tunebench.reports.sections.search import search_lines

    if as_json:
        run = None if run_dir is None else str(run_dir)
        print_json({"exit_code": code, "run": run, "search": json_value(facts)})
        return
    typer.echo("\n\n".join(search_lines(facts)))
    if run_dir is not None:
        typer.echo(f"Results: {run_dir}")
