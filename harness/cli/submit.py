"""``tunebench submit``: a run that nobody waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from tunebench.harness.errors import UsageError
from tunebench.harness.hints import command

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def submit(ctx: typer.Context) -> None:
    """Start a run detached and return at once: all options are those of `tunebench run`.

    What is asked is checked before: a mistake in inventory, suite or options ends here. `tunebench collect` tells what
    became of it, waits for it, and ends with its exit code.
    """
    from tunebench.harness.campaign.session import check_writable
    from tunebench.harness.submission.submission import submit as start

    asked = _checked(ctx.args)
    check_writable(asked["out"])
    submission = start(asked["out"], ctx.args)
    typer.echo(submission.id)
    typer.echo(f"its log: {submission.log}", err=True)
    typer.echo(
        f"to wait for it: {command('collect', submission.id, '--out', str(asked['out']), '--wait')}", err=True
    )


def _checked(words: list[str]) -> Mapping[str, Any]:
    """Return the options of a run as they are understood.

    Raises:
        UsageError: an option is given that goes with waiting for the run, or inventory or suite are wrong.
    """
    from tunebench.harness.cli.run import app as run
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.config.suite import load_suite

    if "--json" in words:
        raise UsageError("--json: goes with `tunebench collect`; submit prints the id of the submission")
    with typer.main.get_command(run).make_context("run", list(words)) as context:
        options = dict(context.params)
    load_inventory(options["inventory"]).select(options["boards"])
    load_suite(options["suite"]).only_methods(options["methods"])
    return options
