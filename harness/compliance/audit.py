"""All looks at a run, in order."""

from __future__ import annotations

from pathlib import Path

from harness.compliance import files
from harness.compliance.finding import Finding
from harness.compliance.planned import plan_against_records
from harness.compliance.protocol import protocol
from harness.compliance.verdicts import verdicts
from reports.layout import ResultsError, RunNotFound
from reports.reader import RunReader


def audit(path: Path) -> list[Finding]:
    """Everything that is objected to in a run's directory; empty: nothing.

    Raises:
        RunNotFound: there is no run.
    """
    try:
        reader = RunReader(path, check=False)
    except RunNotFound:
        raise
    except ResultsError as error:
        return [Finding("unreadable", ".", None, str(error))]
    lines, found = files.records(reader.path)
    found += files.checksums(reader)
    found += files.manifest(reader, lines)
    found += files.side_files(reader, lines)
    found += files.environments(reader, lines)
    found += files.windows(reader, lines)
    found += plan_against_records(reader, lines)
    found += protocol(lines)
    for one in lines:
        found += verdicts(one)
    return found
