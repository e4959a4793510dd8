"""``tunebench demo``: the main job on this machine, without a board and without configuration."""

from __future__ import annotations

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

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    out: OutOption = RESULTS,
    suite: SuiteOption = "demo",
) -> None:
    """Run the main job on this machine as a board, over a real SSH server on 127.0.0.1, and write the report.

    Five fine-tuning methods on real data; no board, no configuration. Prints the report's path.
    """
    from tunebench.harness.campaign.run import run
    from tunebench.harness.cli.demo_story import closing, next_steps
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
