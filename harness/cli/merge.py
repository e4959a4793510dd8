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
    different_machines: Annotated[
        bool,
        typer.Option(
            "--different-machines",
            help="Also where two machines have one lab and board id; their nights share one history.",
        ),
    ] = False,
) -> None:
    """Bring several labs' complete runs into one results root; equal ones are left, unequal ones refused.

    Refused is also a board that is another machine than the one which has its lab and id already. Exit codes: 0 done,
    2 refused.
    """
    from tunebench.reports.results import export

    console = stderr_console()
    added = export.merge(
        sources,
        out,
        different_machines=different_machines,
        progress=lambda message: console.print(message, markup=False, soft_wrap=True),
    )
    typer.echo(f"{len(added)} run(s) added to {out}")
