"""``tunebench merge``: several labs' results in one root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli.options import stderr_console

app = typer.Typer(add_completion=False)


@app.command()
def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results roots, of other labs too.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The root to add their runs to.")],
) -> None:
    """Bring several labs' complete runs into one results root; equal ones are left, unequal ones refused."""
    from tunebench.reports.results import export

    console = stderr_console()
    added = export.merge(
        sources, out, progress=lambda message: console.print(message, markup=False, soft_wrap=True)
    )
    typer.echo(f"{len(added)} run(s) added to {out}")
