"""Check a finished run in every respect, and gather what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tunebench.harness.verify import files
from tunebench.harness.verify.discrepancy import Discrepancy
from tunebench.harness.verify.earlier import earlier_states
from tunebench.harness.verify.exit_records import read_kept
from tunebench.harness.verify.looks import looks
from tunebench.harness.verify.order import block_order
from tunebench.harness.verify.plan import plan_against_records
from tunebench.harness.verify.verdicts import not_judged_anew, verdicts
from tunebench.reports.results.layout import ResultsError, RunNotFound
from tunebench.reports.results.reader import RunReader


@dataclass(frozen=True)
class Audited:
    """The result of an audit.

    Attributes:
        findings: what is wrong.
        notes: what could not be checked, and why.
        records: how many were looked through.
    """

    findings: list[Discrepancy]
    notes: list[str] = field(default_factory=list)
    records: int = 0


def audit(path: Path) -> list[Discrepancy]:
    """Return everything that is wrong in a run's directory; empty: nothing.

    Raises:
        RunNotFound: there is no run.
    """
    return look_through(path).findings


def look_through(path: Path) -> Audited:
    """Return everything that is wrong in a run's directory, and what nobody can check any more.

    Raises:
        RunNotFound: there is no run.
    """
    try:
        reader = RunReader(path, check=False)
    except RunNotFound:
        raise
    except ResultsError as error:
        return Audited([Discrepancy("unreadable", ".", None, str(error))])
    lines, findings = files.records(reader.path)
    findings += files.checksums(reader)
    findings += files.counts_and_plan(reader, lines)
    findings += files.side_files(reader, lines)
    findings += files.environments(reader, lines)
    findings += files.windows(reader, lines)
    findings += plan_against_records(reader, lines)
    findings += block_order(lines)
    findings += earlier_states(reader)
    findings += looks(reader)
    for line in lines:
        findings += verdicts(line, read_kept(reader, line))
    if not lines:
        # Silence would read as "nothing is wrong": of a run without records nothing can be said.
        why = "holds no record: nothing was measured, or nothing of it is left, so there is nothing that could be right"
        findings.append(Discrepancy("empty", "reps.jsonl", None, why))
    return Audited(findings, not_judged_anew(lines), len(lines))
