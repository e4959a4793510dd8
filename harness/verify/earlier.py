"""Check that what a run held before blocks were added to it is still there, unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunebench.harness.verify.discrepancy import Discrepancy
from tunebench.reports.records import RunManifest
from tunebench.reports.results.files import sha256_file
from tunebench.reports.results.layout import REPS, ResultsError
from tunebench.reports.results.reader import RunReader


def earlier_states(reader: RunReader) -> Iterator[Discrepancy]:
    """Compare what the run holds with the checksums of each time that it had ended: records are only ever appended."""
    try:
        states = reader.earlier_states()
    except ResultsError as error:
        yield Discrepancy("unreadable", "earlier", None, str(error))
        return
    for number, (_, manifest) in enumerate(states):
        later = [prefix for prefix, _ in states[number:]]
        yield from _state(reader.path, later, manifest)
    if reader.plan_view.earlier_blocks and not states and not reader.plan.get("anonymised"):
        yield Discrepancy(
            "missing-file",
            "earlier",
            None,
            "missing: blocks were added to the run, and nothing says what it held",
        )


def _state(path: Path, prefixes: Sequence[str], manifest: RunManifest) -> Iterator[Discrepancy]:
    """Check one state; ``prefixes``: of what was set aside then and later, in order."""
    prefix = prefixes[0]
    for name, expected in sorted(manifest.files.items()):
        # Whatever replaced it first had set it aside.
        paths = (path / f"{at}{Path(name).name}" for at in prefixes)
        file = next((copy for copy in paths if copy.is_file()), path / name)
        where = file.relative_to(path).as_posix()
        if not file.resolve().is_relative_to(path.resolve()) or not file.is_file():
            yield Discrepancy("missing-file", where, None, f"missing, though {prefix}run.json lists {name}")
        elif name == REPS:
            if not _begins_with(file, expected):
                yield Discrepancy(
                    "not-appended", where, None,
                    f"does not begin with the records that {prefix}run.json lists: they were changed since",
                )  # fmt: skip
        elif sha256_file(file) != expected:
            yield Discrepancy("checksum", where, None, f"differs from {expected[:12]}... in {prefix}run.json")


def _begins_with(file: Path, expected: str) -> bool:
    """Tell whether a file begins with whole lines of this SHA-256."""
    digest = hashlib.sha256()
    if digest.hexdigest() == expected:
        return True
    with file.open("rb") as lines:
        for line in lines:
            digest.update(line)
            if digest.hexdigest() == expected:
                return True
    return False
