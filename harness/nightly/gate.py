"""``tunebench index``, ``gate``, ``accept``, ``quarantine``: a lab's history, and the verdict on its newest night.

The judgement itself is :mod:`tunebench.reports.history.gating`; here stand the commands and what they print.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from rich.console import Console

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.config.inventory import Inventory
from tunebench.harness.errors import UsageError
from tunebench.reports.history import decisions, index
from tunebench.reports.history.gating import Confirmer, Judgement, judge
from tunebench.reports.history.series import opened
from tunebench.reports.results import RunReader, find_run


def gate(run: Path, store: Path, confirmer: Confirmer | None = None) -> Judgement:
    """Index the store, then judge one run of it.

    Raises:
        UsageError: the run does not lie below the store.
        ResultsError: the run or the store is not readable.
    """
    folder = find_run(run)
    reader = RunReader(folder, check=False)
    run_id = str(reader.plan.get("run_id"))
    report = _refresh(store)
    made, _ = decisions.read(store)
    damaged = sum("was left out" in warning for warning in reader.warnings)
    with opened(report.path) as database:
        if not database.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
            raise UsageError(f"--run {folder}: not below --store {store}; the gate needs its history there")
        return judge(database, run_id, decisions=made, confirmer=confirmer, damaged=damaged)


def confirmed(judgement: Judgement, run: Path, store: Path, inventory: Inventory, baseline: str) -> Judgement:
    """The judgement again, with what was nominated measured on the boards; unchanged if nothing was."""
    from tunebench.harness.nightly.confirm import Night, confirmer, find_baseline

    find_baseline(store, baseline)  # a wrong one is told on quiet nights too
    if not any(one.screening and one.screening.state == "suspect" for one in judgement.findings):
        return judgement
    night = Night(RunReader(find_run(run), check=False), store, inventory, data_dir_from_env())
    answer = confirmer(judgement, night, baseline, Console(stderr=True))
    return gate(run, store, answer)


def _refresh(store: Path) -> index.IndexReport:
    return index.build(store)


def _decide(store: Path, kind: decisions.Kind, reason: str, **fields: str) -> Path:
    if not reason.strip():
        raise UsageError("--reason: say why; it is kept and shown in reports")
    try:
        who = getpass.getuser()
    except (KeyError, OSError):
        who = str(os.getuid())
    made = decisions.Decision(t_utc=decisions.now_utc(), who=who, kind=kind, reason=reason.strip(), **fields)
    return decisions.append(store, made)
