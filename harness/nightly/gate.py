"""Judge the newest night of a lab's history, and have what was nominated measured again on the boards.

The judgement itself is :mod:`tunebench.reports.history.gating`.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.config.inventory import Inventory
from tunebench.harness.errors import UsageError
from tunebench.reports.history import clock, decisions, index
from tunebench.reports.history.gating import Confirmer, Judgement, judge
from tunebench.reports.history.series import opened
from tunebench.reports.results import RunReader, find_run
from tunebench.reports.results.layout import run_folders
from tunebench.reports.stores.address import Address


def gate(run: Path, store: Path | Address, confirmer: Confirmer | None = None) -> Judgement:
    """Index the store, then judge one run of it.

    Args:
        run: the run's directory, or a results root (its newest run).
        store: root of the results, or a store that hosts share, that the run is compared with.
        confirmer: measures pairs of what is nominated; None: it stays unclear.

    Raises:
        UsageError: the run does not lie below the store.
        ResultsError: the run or the store is not readable.
    """
    folder = judged_run(run)
    reader = RunReader(folder, check=False)
    run_id = str(reader.plan_view.run_id)
    report = index.build(store)
    past_decisions, _ = decisions.read(store)
    damaged = sum("was left out" in warning for warning in reader.warnings)
    with opened(report.path) as database:
        if not database.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
            raise UsageError(f"--run {folder}: not below --store {store}; the gate needs its history there")
        return judge(database, run_id, decisions=past_decisions, confirmer=confirmer, damaged=damaged)


def judged_run(run: Path) -> Path:
    """Return a run's directory itself, else the newest run below a root: one of a day still to come only if all are.

    Raises:
        RunNotFound: the path does not exist or holds no run.
    """
    newest = find_run(run)
    if newest in (Path(run), Path(run).parent) or not clock.to_come(newest):
        return newest
    folders = [folder for folder in run_folders(Path(run)) if len(folder.parts) == len(newest.parts)]
    return next((folder for folder in reversed(folders) if not clock.to_come(folder)), newest)


def confirmed(
    judgement: Judgement,
    run: Path,
    store: Path | Address,
    inventory: Inventory,
    baseline: str,
    *,
    out: Path | None = None,
) -> Judgement:
    """Return the judgement after the nominated series were measured again; unchanged if none is nominated.

    Args:
        judgement: the screen's.
        run: the run's directory.
        store: root of the results, or a store that hosts share.
        inventory: where the boards are.
        baseline: what is pinned.
        out: root below which the pairs are stored; None: the store, where that is a folder.

    Raises:
        UsageError: ``baseline`` is no pinned build, also on nights without a nomination.
    """
    from tunebench.harness.nightly.confirm import CONFIRMATIONS, JudgedNight, confirmer, find_baseline

    root = out if out is not None else store
    if isinstance(root, Address):
        raise UsageError(f"{root.text}: is no folder; name one for the pairs that are measured: --out DIR")
    find_baseline(store, baseline)
    if not any(finding.nominated for finding in judgement.findings):
        return judgement
    reader = RunReader(judged_run(run), check=False)
    night = JudgedNight(reader, store, root / CONFIRMATIONS, inventory, data_dir_from_env())
    return gate(run, store, confirmer(judgement, night, baseline, Console(stderr=True)))
