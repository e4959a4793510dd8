"""``tunebench plan``: a dry run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from tunebench.harness.cli.options import (
    RESULTS,
    BlocksOption,
    BoardsOption,
    InventoryOption,
    JsonFlag,
    MaxBlocksOption,
    MethodsOption,
    OutOption,
    SuiteOption,
    UntilDecidedOption,
    print_json,
    request_of,
)

if TYPE_CHECKING:
    from tunebench.harness.campaign.session import Request

app = typer.Typer(add_completion=False)


@app.command()
def plan(
    inventory: InventoryOption,
    suite: SuiteOption = "quick",
    boards: BoardsOption = None,
    methods: MethodsOption = None,
    out: OutOption = RESULTS,
    blocks: BlocksOption = None,
    until_decided: UntilDecidedOption = False,
    max_blocks: MaxBlocksOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Dry run: what would run where, what would be skipped and why, and how long it will take.

    No board is contacted. The ETA comes from earlier runs below --out; without any, none is claimed.
    """
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.config.suite import load_suite, sized

    loaded = load_inventory(inventory)
    chosen = sized(
        load_suite(suite).only_methods(methods),
        blocks=blocks,
        until_decided=until_decided,
        max_blocks=max_blocks,
    )
    request = request_of(loaded, chosen, boards, out, False)
    summary = plan_json(request)
    if as_json:
        print_json(summary)
    else:
        typer.echo(plan_text(summary))


def plan_json(request: Request) -> dict[str, Any]:
    """Return what ``plan --json`` prints."""
    from tunebench.harness.campaign.session import dry_run
    from tunebench.harness.planning.durations import estimate
    from tunebench.harness.planning.feasibility import feasibility, feasibility_lines

    plan, durations = dry_run(request)
    verdicts = feasibility(plan, durations)
    boards = []
    for board in plan.boards:
        queue = plan.of_board(board.id)
        eta = estimate(queue, durations)
        boards.append(
            {
                "board_id": board.id,
                "kind": board.kind,
                "repetitions": len(queue),
                "eta_s": eta.total_s,
                "without_history": eta.n_unknown,
            }
        )
    etas: list[float | None] = [estimate(plan.of_board(board.id), durations).total_s for board in plan.boards]
    known = [eta for eta in etas if eta is not None]
    return {
        "suite": plan.suite.name,
        "blocks": plan.suite.header.blocks,
        "boards": boards,
        # Boards run in parallel: the slowest one decides.
        "eta_s": max(known) if known and len(known) == len(etas) else None,
        "looks": [{"blocks": look.blocks, "alpha": look.alpha} for look in plan.suite.looks],
        "verdicts": [task.as_dict() for task in verdicts],
        "verdicts_text": feasibility_lines(verdicts),
        "skipped": [skip.model_dump() for skip in plan.skipped],
        "repetitions": [repetition.as_dict() for repetition in plan.repetitions],
        "workloads": [
            {
                "task": workload.task,
                "label": workload.label,
                "method": workload.method,
                "params": dict(workload.params),
            }
            for workload in plan.suite.workloads
        ],
    }


def plan_text(summary: Mapping[str, Any]) -> str:
    """Return the dry run as text for a person."""
    from tunebench.harness.campaign.progress import clock
    from tunebench.reports.formatting.training_words import training_words

    trained = {(row["task"], row["label"]): training_words(row["params"]) for row in summary["workloads"]}
    lines = [f"suite {summary['suite']}: {summary['blocks']} block(s)"]
    if summary["looks"]:
        at = ", ".join(str(look["blocks"]) for look in summary["looks"])
        lines = [
            f"suite {summary['suite']}: until decided, at most {summary['blocks']} blocks; looks after {at} blocks"
        ]
    lines += [f"  {line}" for line in summary["verdicts_text"]]
    for board in summary["boards"]:
        eta = (
            "ETA unknown: no earlier run of this board"
            if board["eta_s"] is None
            else f"ETA {'at most ' if summary['looks'] else ''}{clock(board['eta_s'])}"
        )
        partly = (
            f" ({board['without_history']} repetitions without history)" if board["without_history"] else ""
        )
        known = partly if board["eta_s"] is not None else ""
        lines.append(
            f"  {board['board_id']} ({board['kind']}): {board['repetitions']} repetitions, {eta}{known}"
        )
        rows: dict[tuple[str, str], dict[str, int]] = {}
        for repetition in summary["repetitions"]:
            if repetition["board_id"] == board["board_id"]:
                counts = rows.setdefault((repetition["task"], repetition["label"]), {})
                counts[repetition["role"]] = counts.get(repetition["role"], 0) + 1
        for (task, label), counts in rows.items():
            lines.append(
                f"    {task:24} {label:20} "
                + ", ".join(f"{n} {role}" for role, n in counts.items())
                + (f"; {trained[task, label]}" if trained.get((task, label)) else "")
            )
    for skip in summary["skipped"]:
        lines.append(f"  skip {skip['board_id']}: {skip['task']} {skip['label']}: {skip['reason']}")
    if summary["eta_s"] is not None and len(summary["boards"]) > 1:
        lines.append(f"  all boards in parallel: {clock(summary['eta_s'])}")
    return "\n".join(lines)
