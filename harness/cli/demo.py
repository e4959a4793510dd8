"""``tunebench demo``: the main job on this machine, without a board and without configuration."""

from __future__ import annotations

import typer

from tunebench.harness.cli.options import (
    RESULTS,
    OutOption,
    SuiteOption,
    comparison_text,
    request_of,
    stderr_console,
)

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
    from tunebench.harness.config.inventory import loopback_inventory
    from tunebench.harness.config.suite import load_suite
    from tunebench.reports.render import files

    request = request_of(loopback_inventory(), load_suite(suite), None, out, False)
    code, run_dir = run(request, stderr_console())
    if run_dir is not None:
        html, _ = files.report(run_dir, None, None, None)
        typer.echo(comparison_text(run_dir))
        typer.echo(f"Report: {html}")
    raise typer.Exit(code)
