"""``tunebench collect``: what became of a run that was submitted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebench.harness.cli.options import RESULTS, JsonFlag, OutOption, print_json
from tunebench.harness.errors import EXIT_INFRA, EXIT_NOT_YET, UsageError

if TYPE_CHECKING:
    from tunebench.harness.submission.submission import Submission

app = typer.Typer(add_completion=False)
_LOOK_S = 1.0


@app.command()
def collect(
    submission: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="As submit printed it; default: the newest below --out."),
    ] = None,
    out: OutOption = RESULTS,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    wait_s: Annotated[
        float | None,
        typer.Option("--wait-s", metavar="S", min=0, help="Wait for its end, but no longer than this."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what became of a run that was submitted, and end with its exit code; 75: it still runs.

    Only files are read: it can be asked on any machine that sees the results, as often as you like.
    """
    from tunebench.harness.submission.submission import read

    folder = _folder(submission, out)
    record = read(folder)
    give_up_s = time.monotonic() + (wait_s if wait_s is not None else float("inf") if wait else 0.0)
    while record.state == "running" and time.monotonic() < give_up_s:
        time.sleep(min(_LOOK_S, max(0.0, give_up_s - time.monotonic())))
        record = read(folder)
    code = _code(record)
    if as_json:
        print_json(_as_dict(record))
    else:
        typer.echo(_text(record))
    raise typer.Exit(code)


def _folder(submission: str | None, out: Path) -> Path:
    from tunebench.harness.submission.submission import submissions

    there = submissions(out)
    if submission is None and there:
        return there[0].parent
    named = next((path.parent for path in there if path.parent.name == submission), None)
    if named is None:
        known = ", ".join(path.parent.name for path in there[:5]) or "none"
        raise UsageError(f"--out {out}: no submission {submission or 'at all'}; there are: {known}")
    return named


def _code(record: Submission) -> int:
    if record.state == "running":
        return EXIT_NOT_YET
    return record.code if record.code is not None else EXIT_INFRA


def _text(record: Submission) -> str:
    lines = [f"{record.id}: {record.state}, submitted {record.since_utc}"]
    if record.state == "ended":
        lines[0] += f", exit code {record.code}" if record.code is not None else ", ended by a signal"
        lines += [
            f"{label}: {record.printed[key]}"
            for label, key in (("Results", "run"), ("Report", "report"))
            if record.printed.get(key)
        ]
    if record.state == "killed" or (record.state == "ended" and record.code is None):
        lines.append(
            "its process is gone; to go on with what it has measured, submit the same again with --resume"
        )
    lines.append(f"its log: {record.log}")
    return "\n".join(lines)


def _as_dict(record: Submission) -> dict[str, Any]:
    return {
        "schema": "tunebench.collect/1",
        "id": record.id,
        "state": record.state,
        "since_utc": record.since_utc,
        "exit_code": record.code,
        "words": list(record.words),
        "unit": record.held_by,
        "log": str(record.log),
        "run": record.printed or None,
    }
