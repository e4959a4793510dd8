"""Print the slowest tests of some runs of pytest: ``python scripts/slowest.py FILE.xml ...`` (JUnit files).

A test's time includes its fixtures'. A session's fixture counts for the test that asked for it first.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

SHOWN = 20


def lines(paths: Sequence[Path]) -> list[str]:
    """Return a line for each run of pytest and one for each of its slowest tests, the longest first."""
    times: list[tuple[float, str, str]] = []
    runs = []
    for path in paths:
        cases = list(ET.parse(path).getroot().iter("testcase"))  # noqa: S314 - pytest's own file
        times += [(float(case.get("time", 0)), path.stem, _name(case)) for case in cases]
        seconds = sum(float(case.get("time", 0)) for case in cases)
        runs.append(f"{seconds:8.1f} s in {len(cases):5} tests of {path.stem}")
    slowest = sorted(times, reverse=True)[:SHOWN]
    return [
        *runs,
        f"the {len(slowest)} slowest:",
        *(f"{time_s:8.1f} s  {run:9} {name}" for time_s, run, name in slowest),
    ]


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines([Path(name) for name in sys.argv[1:]])) + "\n")
