"""``tunebench verify``: a finished run looked through once more."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.errors import EXIT_MEASURED, EXIT_OK
from tunebench.harness.verify import look_through
from tunebench.reports.results import find_run


def verify(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's directory, or a results root (newest run).")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Check a finished run: checksums, schema, plan against records, protocol, clocks; judge it once more.

    Exit codes: 0 nothing is wrong, 1 something is (each with its file and line), 2 there is no run.
    """
    path = find_run(run)
    looked = look_through(path)
    found = looked.findings
    if as_json:
        value = {
            "run": str(path),
            "ok": not found,
            "findings": [asdict(one) for one in found],
            "notes": looked.notes,
        }
        typer.echo(json.dumps(value, indent=2))
    else:
        for one in found:
            typer.echo(str(one))
        for note in looked.notes:
            typer.echo(f"not judged again: {note}")
        typer.echo(f"{path}: {f'{len(found)} finding(s)' if found else 'nothing is wrong'}")
    raise typer.Exit(EXIT_MEASURED if found else EXIT_OK)
