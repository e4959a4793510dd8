"""``tunebench tune-rates``: learning rates by protocol 2, on development bases and folds of the fine-tuning pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import JsonFlag, output_file, print_json, stderr_console
from tunebench.harness.errors import EXIT_INFRA, EXIT_MEASURED, EXIT_OK, EXIT_PARTIAL, UsageError

if TYPE_CHECKING:
    from tunebench.harness.study.scores import Run
    from tunebench.harness.study.search import Searched, Settings, TaskSearch

app = typer.Typer(add_completion=False)

_TRACKS = ("main", "paper")


@app.command(name="tune-rates")
def tune_rates(
    suite: Annotated[
        str,
        typer.Argument(
            metavar="SUITE", help="A suite file or a built-in suite.", autocompletion=completion.suites
        ),
    ],
    task: Annotated[
        list[str] | None, typer.Option("--task", metavar="TASK", help="Only this task; repeatable.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", metavar="LABEL", help="Only this method; repeatable.")
    ] = None,
    track: Annotated[
        str, typer.Option("--track", help="main: AdamW, cosine, warm-up, clipping; paper: plain SGD.")
    ] = "main",
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="FILE",
            help="Scores of single runs; a search that was stopped goes on from it. Default: SUITE.rates.json here.",
            parser=output_file,
        ),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Of the fine-tuning pool.")] = 2,
    bases: Annotated[int, typer.Option("--bases", min=2, help="Development bases, from 100 on.")] = 2,
    steps: Annotated[
        bool,
        typer.Option("--steps", help="Double the epochs at the chosen rates until that adds < 0.3 points."),
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=64, help="Runs at once, each in a process of its own.")
    ] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Search every method's learning rate without the suite's test set, and print the lines for the suite.

    Every method is run at the same rates, on start weights that no suite measures on, on folds of the fine-tuning pool
    cut by writer or time. The smallest rate within one standard error of the best is taken; a rate at which a run
    collapses is out (docs/protocol.md). Runs on this machine by the suite's engine, one after another or --jobs at once.

    Exit codes: 0 every method has a rate, 1 one has none by the rule, 2 a mistake in what was asked, 3 a task could not
    be searched here (data or torch missing), 4 none could; Ctrl-C (130) leaves the scores, and the same command goes on.
    """
    from tunebench.harness.artifacts.gather import data_dir_from_env
    from tunebench.harness.campaign.progress import StageLines
    from tunebench.harness.config.suite import load_suite
    from tunebench.harness.study.scores import ScoresFile
    from tunebench.harness.study.search import Settings, candidates, search

    if track not in _TRACKS:
        raise UsageError(f"--track {track!r}: one of {', '.join(_TRACKS)}")
    loaded = load_suite(suite)
    chosen = candidates(loaded, task or (), method or (), track)
    settings = Settings(track, folds, bases, steps, jobs)
    scores = ScoresFile(keep or Path(f"{loaded.name}.rates.json"))
    scores.write()
    console = stderr_console()

    def print_run(run: Run, done: int, known: int, left_s: float) -> None:
        console.print(_line(run, done, known, left_s), markup=False, highlight=False, soft_wrap=True)

    tasks: list[TaskSearch] = []
    for searched in search(
        chosen,
        settings,
        scores,
        after_run=print_run,
        data_dir=data_dir_from_env(),
        progress=StageLines(console),
    ):
        tasks.append(searched)
        if not as_json:
            typer.echo("\n".join(_text(searched, settings)))
    if as_json:
        print_json(
            {**_head(loaded.name, settings, scores.path), "tasks": [_json(item, settings) for item in tasks]}
        )
    raise typer.Exit(_code(tasks))


def _code(tasks: list[TaskSearch]) -> int:
    missing = sum(item.missing is not None for item in tasks)
    if missing == len(tasks):
        return EXIT_INFRA
    if any(item.missing is None and not item.stands for item in tasks):
        return EXIT_MEASURED
    return EXIT_PARTIAL if missing else EXIT_OK


def _line(run: Run, done: int, known: int, left_s: float) -> str:
    """Return the line on one run: what came out, and how long the runs that are known to be needed will take."""
    from tunebench.harness.campaign.progress import clock

    score = "diverged" if run.score is None else f"{100 * run.score:.2f}"
    place = f"base {run.base} fold {run.fold + 1} of {run.folds}"
    left = f", about {clock(left_s)} left" if done < known else ""
    return (
        f"[{done}/{known}] {run.task} {run.label} lr {run.lr:g} {place}: {score} ({run.seconds:.1f} s{left})"
    )


def _text(searched: TaskSearch, settings: Settings) -> Iterator[str]:
    """Return a task's table, what limits it, and the lines for the suite."""
    from tunebench.harness.study.suite_lines import suite_lines

    bases = ", ".join(map(str, settings.development_bases))
    if searched.missing is not None:
        yield f"{searched.task}: not searched: {searched.missing}"
        return
    runs = len(searched.rates) * settings.folds * settings.bases
    yield (
        f"{searched.task}, {settings.track} track: {runs} runs a method, on bases {bases} and {settings.folds} folds of"
        " the fine-tuning pool; means in %"
    )
    width = max(len(item.workload.label) for item in searched.methods)
    yield f"  {'rate':{width}} " + " ".join(f"{rate:>9.4g}" for rate in searched.rates)
    for item in searched.methods:
        yield f"  {item.workload.label:{width}} " + " ".join(_cell(item, rate) for rate in searched.rates)
    yield "  * chosen: the smallest within one standard error of the best (+); x: a run collapsed or diverged"
    for item in searched.methods:
        if not item.choice.stands:
            yield f"  {item.workload.label}: no rate by the rule: {item.choice.reason}"
    if settings.steps:
        reached = (
            f"a plateau at {searched.epochs} epochs" if searched.epochs else "no plateau for every method yet"
        )
        yield f"  steps: {reached} (doubling adds less than 0.3 points for the slowest method)"
    lines = suite_lines(searched, settings.track)
    if lines:
        yield ""
        yield f"# rates by protocol 2 (docs/protocol.md), {settings.track} track, bases {bases}"
        yield from (lines, "")


def _cell(item: Searched, rate: float) -> str:
    scores = [score for score in item.scores[rate].values() if score is not None]
    mean = f"{100 * sum(scores) / len(scores):.2f}" if len(scores) == len(item.scores[rate]) else "-"
    mark = "x" if rate in item.choice.out else "*" if rate == item.choice.rate else ""
    plus = "+" if rate == item.choice.best else ""
    return f"{mean + mark + plus:>9}"


def _head(name: str, settings: Settings, keep: Path) -> dict[str, Any]:
    from tunebench.harness.study import protocol

    return {
        "suite": name,
        "protocol": protocol.VERSION,
        "track": settings.track,
        "training": dict(protocol.TRACKS[settings.track]),
        "bases": list(settings.development_bases),
        "folds": settings.folds,
        "keep": str(keep),
    }


def _json(searched: TaskSearch, settings: Settings) -> dict[str, Any]:
    from tunebench.harness.study.suite_lines import suite_lines

    return {
        "task": searched.task,
        "missing": searched.missing,
        "rates": list(searched.rates),
        "runs_per_method": len(searched.rates) * settings.folds * settings.bases,
        "epochs": searched.epochs,
        "methods": [_method_json(item) for item in searched.methods],
        "suite_lines": suite_lines(searched, settings.track) if searched.missing is None else None,
    }


def _method_json(item: Searched) -> Mapping[str, Any]:
    choice = item.choice
    return {
        "label": item.workload.label,
        "method": item.workload.method,
        "rate": choice.rate if choice.stands else None,
        "reason": None if choice.stands else choice.reason,
        "mean": choice.mean,
        "best": choice.best,
        "best_mean": choice.best_mean,
        "standard_error": choice.error,
        "collapsed": list(choice.out),
        "scores": [
            {"rate": rate, "base": base, "fold": fold, "score": score}
            for rate, cells in item.scores.items()
            for (base, fold), score in _places(cells)
        ],
        "by_epochs": {str(epochs): mean for epochs, mean in item.by_epochs.items()},
    }


def _places(cells: Mapping[Any, float | None]) -> Iterator[tuple[tuple[int, int], float | None]]:
    for place, score in cells.items():
        yield (place[0], place[1]), score
