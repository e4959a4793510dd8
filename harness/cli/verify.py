"""``tunebench verify``: a finished run looked through once more."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from tunebench.harness.cli.options import JsonFlag, RunArgument
from tunebench.harness.errors import EXIT_MEASURED, EXIT_OK

app = typer.Typer(add_completion=False)


@app.command()
def verify(
    run: RunArgument,
    as_json: JsonFlag = False,
) -> None:
    """Check a finished run: checksums, schema, plan against records, protocol, clocks; judge it once more.

    Exit codes: 0 nothing is wrong, 1 something is (each with its file and line) or there is no record, 2 there is no run.
    """
    from tunebench.harness.verify import look_through
    from tunebench.reports.results import find_run

    path = find_run(run)
    audit = look_through(path)
    findings = audit.findings
    if as_json:
        value = {
            "run": str(path),
            "ok": not findings,
            "findings": [asdict(finding) for finding in findings],
            "notes": audit.notes,
            "records": audit.records,
        }
        typer.echo(json.dumps(value, indent=2))
    else:
        for finding in findings:
            typer.echo(str(finding))
        for note in audit.notes:
            typer.echo(f"not judged again: {note}")
        looked = f"{audit.records} record{'s' if audit.records != 1 else ''} looked through"
        typer.echo(f"{path}: {looked}, {f'{len(findings)} finding(s)' if findings else 'nothing is wrong'}")
    raise typer.Exit(EXIT_MEASURED if findings else EXIT_OK)
