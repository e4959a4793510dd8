"""Measure what a search has chosen again: all fine-tuning data, the test set, start weights and seeds of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tunebench.harness.campaign import run as campaign
from tunebench.harness.campaign.session import Request
from tunebench.harness.config.suite import Suite
from tunebench.harness.planning.runs.unfinished import unfinished_run
from tunebench.harness.search.space import Point, Space
from tunebench.reports.studies.search.model import Search


def choice_suite(space: Space, search: Search, *, energy: bool) -> Suite:
    """Return the suite of the choice: the point alone, in as many blocks and from as many bases as the suite has.

    Args:
        space: that was searched.
        search: how it went; the plan keeps it, and so the report.
        energy: whether energy is measured, too.

    Raises:
        ValueError: nothing was chosen.
    """
    chosen = next((trial for trial in search.trials if trial.number == search.chosen), None)
    if chosen is None:
        raise ValueError("nothing was chosen")
    suite = space.suite_at(Point(tuple(chosen.point.items())))
    header = suite.header.model_copy(
        update={"name": f"{suite.name}-found"[:64], "energy": energy or suite.header.energy}
    )
    return replace(suite, header=header, searched=json.loads(json.dumps(search.as_dict())))


def measure_choice(request: Request, console: Console) -> tuple[int, Path | None]:
    """Run the suite of a choice, or go on with its run that was stopped.

    Args:
        request: of :func:`choice_suite`.
        console: where progress goes.

    Returns:
        The exit code of the run, and its folder; None: nothing was recorded.
    """
    stopped = unfinished_run(request.out, request.suite.name)
    same = stopped is not None and stopped.plan_view.suite.search == request.suite.searched
    return campaign.run(replace(request, resume=same), console, tell_feasibility=False)
