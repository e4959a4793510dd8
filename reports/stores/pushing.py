"""Push sealed runs, and the decisions beside them, into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunebench.reports.results.layout import PLAN, ResultsError, run_folders
from tunebench.reports.stores.address import Address
from tunebench.reports.stores.sealed import digest_of, is_sealed, sealed_run
from tunebench.reports.stores.store import opened

_DECISIONS = "decisions.jsonl"


@dataclass
class PushReport:
    """What became of the runs that were to be pushed.

    Attributes:
        runs: how many were ``added``, ``there``, ``extended``, ``older``, and ``unfinished`` (left out).
        repetitions: of those that were added or extended.
        refused: a sentence for each run that was refused.
    """

    runs: Counter[str] = field(default_factory=Counter)
    repetitions: int = 0
    decisions: int = 0
    refused: list[str] = field(default_factory=list)


def push(
    sources: Sequence[Path], address: Address, *, progress: Callable[[str], None] = lambda _: None
) -> PushReport:
    """Push every complete run of some runs' directories and results roots; one that is refused stops no other.

    Args:
        sources: runs and roots; a root's decisions go with it.

    Raises:
        RunNotFound: one of them holds no run; nothing was pushed.
        ResultsError: the store cannot take any run.
        StoreLost: it cannot be reached, or went away; what was pushed until then is there.
    """
    folders = [folder for source in sources for folder in run_folders(source)]
    report = PushReport()
    with opened(address) as store:
        store.prepare()
        for folder in dict.fromkeys(folders):
            if not is_sealed(folder):
                report.runs["unfinished"] += 1
                progress(f"{folder}: not complete, left out")
                continue
            try:
                run_id, digest = digest_of(folder)
                if store.digest(run_id) == digest:
                    report.runs["there"] += 1  # a push of every night reads no run twice
                    continue
                run = sealed_run(folder)
                verdict = store.push(run)
            except ResultsError as error:
                report.refused.append(str(error))
                continue
            report.runs[verdict] += 1
            if verdict in ("added", "extended"):
                report.repetitions += run.expected
                progress(f"{folder}: {verdict} ({run.expected} repetitions)")
        for source in sources:
            if not (source / PLAN).is_file():
                report.decisions += store.push_decisions(_decisions(source))
    return report


def _decisions(root: Path) -> list[str]:
    try:
        text = (root / _DECISIONS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()]
