"""What the CLI's commands do, without the parsing; the pytest plugin shares the campaign with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from tunebench.harness.artifacts.gather import gather
from tunebench.harness.campaign.progress import StageLines, clock
from tunebench.harness.campaign.session import Request, dry_run
from tunebench.harness.config.suite import Suite
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.durations import estimate
from tunebench.reports.results import RunReader


def run_json(run_dir: Path | None, code: int) -> dict[str, Any]:
    """What ``run --json`` prints."""
    if run_dir is None:
        return {"run": None, "exit_code": code}
    return {"run": str(run_dir), "exit_code": code, "summary": _summary(RunReader(run_dir))}


def text_table(run_dir: Path) -> str:
    """The comparison as plain text."""
    from tunebench.reports.render.text import table

    return table(_summary(RunReader(run_dir)))


def _summary(reader: RunReader) -> dict[str, Any]:
    """The run's summary; scipy and pandas take a second to load and are loaded only where numbers are made."""
    from tunebench.reports.summary import summarise

    return summarise(reader)


def plan(request: Request) -> dict[str, Any]:
    """What ``plan --json`` prints."""
    made, durations = dry_run(request)
    boards = []
    for board in made.boards:
        queue = made.of_board(board.id)
        guess = estimate(queue, durations)
        boards.append(
            {
                "board_id": board.id,
                "kind": board.kind,
                "repetitions": len(queue),
                "eta_s": guess.total_s,
                "without_history": guess.n_unknown,
            }
        )
    etas: list[float | None] = [estimate(made.of_board(board.id), durations).total_s for board in made.boards]
    known = [eta for eta in etas if eta is not None]
    return {
        "suite": made.suite.name,
        "blocks": made.suite.header.blocks,
        "boards": boards,
        # Boards run in parallel: the slowest one decides.
        "eta_s": max(known) if known and len(known) == len(etas) else None,
        "skipped": [skip.model_dump() for skip in made.skipped],
        "repetitions": [one.as_dict() for one in made.repetitions],
    }


def plan_text(summary: Mapping[str, Any]) -> str:
    """The dry run for a person."""
    lines = [f"suite {summary['suite']}: {summary['blocks']} block(s)"]
    for board in summary["boards"]:
        eta = (
            "ETA unknown: no earlier run of this board"
            if board["eta_s"] is None
            else f"ETA {clock(board['eta_s'])}"
        )
        partly = (
            f" ({board['without_history']} repetitions without history)" if board["without_history"] else ""
        )
        known = partly if board["eta_s"] is not None else ""
        lines.append(
            f"  {board['board_id']} ({board['kind']}): {board['repetitions']} repetitions, {eta}{known}"
        )
        rows: dict[tuple[str, str], dict[str, int]] = {}
        for one in summary["repetitions"]:
            if one["board_id"] == board["board_id"]:
                counts = rows.setdefault((one["task"], one["label"]), {})
                counts[one["role"]] = counts.get(one["role"], 0) + 1
        for (task, label), counts in rows.items():
            lines.append(
                f"    {task:24} {label:20} " + ", ".join(f"{n} {role}" for role, n in counts.items())
            )
    for skip in summary["skipped"]:
        lines.append(f"  skip {skip['board_id']}: {skip['task']} {skip['label']}: {skip['reason']}")
    if summary["eta_s"] is not None and len(summary["boards"]) > 1:
        lines.append(f"  all boards in parallel: {clock(summary['eta_s'])}")
    return "\n".join(lines)


def prepare(suite: Suite, data_dir: Path | None, download: bool, console: Console) -> list[str]:
    """Make a suite's artefacts; one line a task."""
    cargo = gather(suite, data_dir=data_dir, download=download, progress=StageLines(console))
    lines = [
        f"{task}: data {blob.sha256[:12]}, start weights {cargo.weights[task].sha256[:12]}"
        for task, blob in cargo.data.items()
    ]
    if cargo.unavailable:
        reasons = "\n".join(f"{task}: {reason}" for task, reason in cargo.unavailable.items())
        raise UsageError("\n".join([*lines, reasons]))
    return lines
