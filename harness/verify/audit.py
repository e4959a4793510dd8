"""All looks at a run, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tunebench.harness.verify import files
from tunebench.harness.verify.discrepancy import Discrepancy
from tunebench.harness.verify.exit_records import kept
from tunebench.harness.verify.order import protocol
from tunebench.harness.verify.plan import plan_against_records
from tunebench.harness.verify.verdicts import not_judged_anew, verdicts
from tunebench.reports.results.layout import ResultsError, RunNotFound
from tunebench.reports.results.reader import RunReader


@dataclass(frozen=True)
class Audited:
    """What came of looking.

    Attributes:
        findings: what is objected to.
        notes: what could not be looked at, and why.
    """

    findings: list[Discrepancy]
    notes: list[str] = field(default_factory=list)


def audit(path: Path) -> list[Discrepancy]:
    """Everything that is objected to in a run's directory; empty: nothing.

    Raises:
        RunNotFound: there is no run.
    """
    return look_through(path).findings


def look_through(path: Path) -> Audited:
    """Everything that is objected to in a run's directory, and what nobody can look at any more.

    Raises:
        RunNotFound: there is no run.
    """
    try:
        reader = RunReader(path, check=False)
    except RunNotFound:
        raise
    except ResultsError as error:
        return Audited([Discrepancy("unreadable", ".", None, str(error))])
    lines, found = files.records(reader.path)
    found += files.checksums(reader)
    found += files.manifest(reader, lines)
    found += files.side_files(reader, lines)
    found += files.environments(reader, lines)
    found += files.windows(reader, lines)
    found += plan_against_records(reader, lines)
    found += protocol(lines)
    for one in lines:
        found += verdicts(one, kept(reader, one))
    return Audited(found, not_judged_anew(lines))
