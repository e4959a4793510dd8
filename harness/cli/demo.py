"""``tunebench demo``: the main job on this machine, without a board and without configuration."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tunebench.harness.cli.options import (
    RESULTS,
    OutOption,
    SuiteOption,
    comparison_text,
    request_of,
    stderr_console,
)

if TYPE_CHECKING:
    from tunebench.harness.config.suite import Suite
    from tunebench.reports.analysis.row import MethodResult, SpeedUp

app = typer.Typer(add_completion=False)

#: The method whose story the demo tells, and the one it is compared with.
_METHOD, _BASELINE = "skip2-lora", "lora-all"


@app.command()
def demo(
    out: OutOption = RESULTS,
    suite: SuiteOption = "demo",
) -> None:
    """Run the main job on this machine as a board, over a real SSH server on 127.0.0.1, and write the report.

    Five fine-tuning methods on real data; no board, no configuration. Prints the report's path.
    """
    from tunebench.harness.campaign.run import run
    from tunebench.harness.config.inventory import loopback_inventory
    from tunebench.harness.config.suite import load_suite
    from tunebench.reports.render import files

    console = stderr_console()
    chosen, missing = _that_compile(load_suite(suite))
    if missing:
        console.print(
            f"No native engine on this machine: {missing}. The demo runs its part on PyTorch alone.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    code, run_dir = run(request_of(loopback_inventory(), chosen, None, out, False), console)
    if run_dir is not None:
        html, _ = files.report(run_dir, None, None, None)
        typer.echo(comparison_text(run_dir))
        for line in [*closing(run_dir, missing), *next_steps(run_dir)]:
            typer.echo(line)
        typer.echo(f"Report: {html}")
    raise typer.Exit(code)


def _that_compile(suite: Suite) -> tuple[Suite, str | None]:
    """Return a suite without the workloads that need compiled kernels if nothing compiles them here, and why.

    A suite that has no others is left as it is: the campaign says why it cannot run.
    """
    from dataclasses import replace

    from tunebench.harness.artifacts.native import why_no_kernels_here

    others = tuple(workload for workload in suite.workloads if not workload.needs_library)
    if len(others) in (0, len(suite.workloads)):
        return suite, None
    reason = why_no_kernels_here()
    if reason is None:
        return suite, None
    tasks = {workload.task for workload in others}
    baselines = {task: label for task, label in suite.baselines.items() if task in tasks}
    return replace(suite, workloads=others, baselines=baselines), reason


def closing(run_dir: Path, missing: str | None = None) -> list[str]:
    """Return what the demo showed, as lines.

    Args:
        run_dir: the run.
        missing: why the native engine's part was left out; None: it was not.
    """
    from tunebench.reports.results import RunReader
    from tunebench.reports.summary import summarise

    rows = summarise(RunReader(run_dir)).rows
    lines = ["", "What this run showed"]
    lines += [f"- {sentence}" for sentence in _sentences(rows)]
    if missing is not None:
        lines.append(f"- Nothing on the native engine: {missing}.")
    return lines


def _sentences(rows: Sequence[MethodResult]) -> Iterator[str]:
    from tunebench.reports.formatting.units import factor

    native = [row for row in rows if row.engine == "native"]
    for row in native:
        if row.label == _METHOD and row.speed_up is not None:
            yield f"{row.task}: {row.label} {_speed(row, row.speed_up)}{_accuracy(row)}."
    factors = {
        row.engine: factor(row.speed_up.factor)
        for row in rows
        if (row.label, row.baseline) == (_METHOD, _BASELINE) and row.speed_up is not None
    }
    if {"native", "torch"} <= set(factors):
        yield (
            f"The engine matters: {_METHOD} against {_BASELINE}, same data and steps, is {factors['native']} on the "
            f"native engine and {factors['torch']} in PyTorch, whose own cost a step falls on every method alike."
        )
    for row in rows:
        if row.label == "lorae" and row.speed_up is not None:
            yield f"{row.task}: lorae {_speed(row, row.speed_up)}{_accuracy(row)}."
    yield from _first_to_quality(native or rows)


def _speed(row: MethodResult, speed_up: SpeedUp) -> str:
    """Return how fast a method ran, with the verdict."""
    from tunebench.reports.formatting.units import factor

    span = f"[{factor(speed_up.low)}, {factor(speed_up.high)}]"
    how = f"{speed_up.verdict}, {speed_up.n} block{'s' if speed_up.n != 1 else ''}"
    return f"ran {factor(speed_up.factor)} {span} as fast as {row.baseline} ({how})"


def _accuracy(row: MethodResult) -> str:
    from tunebench.reports.analysis.verdict_words import effect

    verdict = row.judged("accuracy")
    return "" if verdict is None else f", accuracy {effect(verdict)} ({verdict.verdict})"


def _first_to_quality(rows: Sequence[MethodResult]) -> Iterator[str]:
    """Say who reached the baseline's accuracy first where that is not who takes the least time a run."""
    from tunebench.reports.analysis.row import ToTarget
    from tunebench.reports.formatting.units import seconds

    for task in dict.fromkeys(row.task for row in rows):
        of_task = [row for row in rows if row.task == task and not row.aa_control]
        reached = [
            (row.to_quality.time_s.median, row.to_quality.time_s.n, row)
            for row in of_task
            if isinstance(row.to_quality, ToTarget) and row.to_quality.time_s.median is not None
        ]
        walls = [(row.wall_s.median, row.label) for row in of_task if row.wall_s is not None]
        if not reached or not walls:
            continue
        time_s, n, first = min(reached, key=lambda item: item[0] or 0.0)
        if first.label != min(walls)[1]:
            yield (
                f"{task}: {first.label} was the first to reach the accuracy at which {first.baseline} ends "
                f"({seconds(time_s or 0.0)}, n = {n}): on so small a set a few epochs of it are enough. What costs least "
                "an epoch need not be what is done first."
            )


def next_steps(run_dir: Path) -> list[str]:
    """Return how to go on, each a command that works as it stands."""
    from tunebench.harness.cli.registry import COMMANDS

    name = _command()
    run = shlex.quote(os.path.relpath(run_dir) if run_dir.is_relative_to(Path.cwd()) else str(run_dir))
    steps = [
        (f"{name} report {run} --format md", "the comparison for a pull request"),
        (f"{name} verify {run}", "everything checked once more, from what was kept"),
        (f"{name} suites", "what else can be measured"),
    ]
    if "init" in COMMANDS:
        steps.append((f"{name} init", "your own boards: finds them and writes lab.toml"))
    else:
        steps.append((f"{name} boards --help", "your own boards, from a lab.toml as in the README"))
    width = max(len(command) for command, _ in steps)
    return ["", "Next", *(f"  {command:{width}}   # {what}" for command, what in steps), ""]


def _command() -> str:
    """Return how this program was called: its name if that finds it, else its path."""
    called = Path(sys.argv[0])
    on_path = shutil.which("tunebench")
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m tunebench"
    if on_path is not None and Path(on_path).resolve() == called.resolve() and not _is_hidden(on_path):
        return "tunebench"
    absolute = called.resolve() if called.exists() else called
    return shlex.quote(os.path.relpath(absolute) if absolute.is_relative_to(Path.cwd()) else str(absolute))


def _is_hidden(path: str) -> bool:
    """Tell whether a program is on the path only inside tox: a shell outside does not find it there."""
    return ".tox" in Path(path).parts
