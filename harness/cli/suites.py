"""``tunebench suites``: the built-in suites."""

from __future__ import annotations

import typer

app = typer.Typer(add_completion=False)


@app.command()
def suites() -> None:
    """List the built-in suites."""
    from tunebench.harness.config.suite import built_in_suites, load_suite

    for name in built_in_suites():
        suite = load_suite(name)
        tasks = ", ".join(suite.baselines)
        typer.echo(f"{name:10} {suite.header.blocks} block(s), {len(suite.workloads)} rows: {tasks}")
