"""``tunebench try``: methods run once on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import MethodsOption
from tunebench.harness.errors import EXIT_MEASURED, EXIT_OK, EXIT_PARTIAL
from tunebench.harness.hints import command

if TYPE_CHECKING:
    from tunebench.harness.campaign.trial import Trial

app = typer.Typer(add_completion=False)


@app.command(name="try")
def try_(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A suite file, the NAME of one here, or a built-in suite.")
    ],
    methods: MethodsOption = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Of each method, at most [2].")
    ] = None,
) -> None:
    """Run a suite's own methods once on this machine, shortened, and say what came out; nothing is kept.

    No comparison: that takes blocks. Exit codes: 0 all ran, 1 one failed (its last lines are printed), 3 one could
    not run here.
    """
    from tunebench.harness.campaign import trial
    from tunebench.harness.config.suite import load_suite

    name = trial.suite_name(suite)
    loaded = load_suite(name).only_methods(methods)
    typer.echo("trying on this machine ...", err=True)
    with tempfile.TemporaryDirectory(prefix="tunebench-try-") as folder:
        tried = trial.try_out(loaded, epochs or trial.EPOCHS, Path(folder))
    for method in tried:
        typer.echo("\n".join(_lines(method)))
    if all(method.ok for method in tried):
        typer.echo(f"Next: {command('run', '-s', name)}")
        raise typer.Exit(EXIT_OK)
    failed = any(method.record is not None and not method.ok for method in tried)
    raise typer.Exit(EXIT_MEASURED if failed else EXIT_PARTIAL)


def _lines(trial: Trial) -> list[str]:
    """Return what there is to say of one method."""
    record = trial.record
    head = f"{trial.label} ({trial.task}), {trial.epochs} of {trial.of_epochs} epochs: "
    if record is None:
        return [f"{head}not run: {trial.reason}"]
    if record.outcome != "ok":
        return [f"{head}{record.outcome}: {trial.reason}", *(f"    {line}" for line in trial.log)]
    quality = record.quality
    lines = [f"{head}ok"]
    if quality.before is not None and quality.after is not None:
        lines.append(f"  accuracy  {quality.before:.1%} before, {quality.after:.1%} after")
    elif quality.after is not None:
        lines.append(f"  accuracy  {quality.after:.1%} after")
    if quality.loss_first is not None and quality.loss_final is not None:
        lines.append(
            f"  loss      {quality.loss_first:.3g} in the first epoch, {quality.loss_final:.3g} in the last"
        )
    if record.wall_s is not None:
        steps = f", {record.steps} steps, {record.steps / trial.epochs:g} an epoch" if record.steps else ""
        lines.append(f"  window    {record.wall_s:.3g} s{steps}")
    if record.params_trainable is not None:
        lines.append(f"  trains    {record.params_trainable} numbers")
    if record.peak_rss_b is not None:
        lines.append(f"  memory    {record.peak_rss_b / 1e6:.0f} MB at its peak, the interpreter in it")
    return lines
