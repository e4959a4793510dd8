"""Check every file against the manifest, and every record against its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tunebench.harness.verify.discrepancy import Discrepancy, RecordLine
from tunebench.reports.records import Repetition
from tunebench.reports.results.files import sha256_file
from tunebench.reports.results.layout import MANIFEST, REPS, ResultsError, count, other_files, parse_line
from tunebench.reports.results.reader import RunReader

#: A trace's window and the record's are of the same marks.
_SAME_S = 1e-6


def checksums(reader: RunReader) -> Iterator[Discrepancy]:
    """Compare each file with ``run.json``, and name files that it does not list."""
    if reader.manifest is None:
        yield Discrepancy(
            "incomplete", MANIFEST, None, "missing: the run is not complete and has no checksums"
        )
        return
    listed = reader.manifest.files
    for name, expected in sorted(listed.items()):
        path = reader.path / name
        if not path.resolve().is_relative_to(reader.path.resolve()):
            yield Discrepancy("outside", name, None, f"{MANIFEST} lists a file outside the run's directory")
        elif not path.is_file():
            yield Discrepancy("missing-file", name, None, f"missing, though {MANIFEST} lists it")
        elif (sha256 := sha256_file(path)) != expected:
            yield Discrepancy("checksum", name, None, f"SHA-256 is {sha256}, {MANIFEST} says {expected}")
    for name in sorted(set(other_files(reader.path)) - set(listed)):
        yield Discrepancy("unlisted-file", name, None, f"not listed in {MANIFEST}: it was added later")


def records(path: Path) -> tuple[list[RecordLine], list[Discrepancy]]:
    """Read every line of ``reps.jsonl``: those that are records, and what is wrong with the others."""
    try:
        data = (path / REPS).read_bytes()
    except OSError as error:
        return [], [Discrepancy("missing-file", REPS, None, f"cannot be read: {error.strerror}")]
    lines, wrong = [], []
    for number, text in enumerate(data.split(b"\n"), start=1):
        if not text and number > data.count(b"\n"):
            break
        try:
            if number > data.count(b"\n"):
                raise ResultsError("torn: the line has no end")
            lines.append(RecordLine(number, parse_line(text)))
        except ResultsError as error:
            wrong.append(Discrepancy("schema", REPS, number, str(error)))
    return lines, wrong


def counts_and_plan(reader: RunReader, lines: list[RecordLine]) -> Iterator[Discrepancy]:
    """Compare what ``run.json`` says of the records and of the plan with these."""
    manifest = reader.manifest
    if manifest is None:
        return
    counts = count(line.record for line in lines)
    if {name: n for name, n in manifest.counts.items() if n} != {name: n for name, n in counts.items() if n}:
        yield Discrepancy("counts", MANIFEST, None, f"counts {manifest.counts}, the records make {counts}")
    values = {"run_id": manifest.run_id, "lab": manifest.lab, "sha256": manifest.plan_sha256}
    for name, value in values.items():
        if name in reader.plan and reader.plan[name] != value:
            yield Discrepancy(
                "plan-mismatch", MANIFEST, None, f"{name} is {value!r}, plan.json says {reader.plan[name]!r}"
            )


def side_files(reader: RunReader, lines: list[RecordLine]) -> Iterator[Discrepancy]:
    """Read every side file that a record names."""
    for line in lines:
        record = line.record
        readers: tuple[tuple[str | None, Callable[[Repetition], object]], ...] = (
            (record.trace, reader.trace),
            (record.log, reader.log),
            (record.preds, reader.preds),
            (record.meter, reader.meter),
            (record.exit, reader.exit_record),
        )
        for name, read in readers:
            try:
                read(record)
            except (ResultsError, OSError) as error:
                yield line.discrepancy("side-file", f"{name}: {error}")


def environments(reader: RunReader, lines: list[RecordLine]) -> Iterator[Discrepancy]:
    """Check that each board was probed before it was measured, and that its probes can be read."""
    for board_id in dict.fromkeys(line.record.board_id for line in lines):
        for when in ("before", "after"):
            try:
                env = reader.env(board_id, "before" if when == "before" else "after")
            except ResultsError as error:
                yield Discrepancy("schema", f"env/{board_id}.{when}.json", None, str(error))
                continue
            if env is None and when == "before":
                yield Discrepancy(
                    "no-environment",
                    f"env/{board_id}.before.json",
                    None,
                    "missing: nobody knows what was measured on",
                )


def windows(reader: RunReader, lines: list[RecordLine]) -> Iterator[Discrepancy]:
    """Compare each duration with the marks in its trace."""
    for line in lines:
        told_s = _window_s(line.record)
        if line.record.trace is None or told_s is None or line.record.sustained is not None:
            continue
        try:
            trace = reader.trace(line.record)
        except (ResultsError, OSError):
            continue  # side_files names it
        if trace is None or trace.window_ns is None:
            continue
        seconds = (trace.window_ns[1] - trace.window_ns[0]) / 1e9
        if abs(seconds - told_s) > _SAME_S:
            yield line.discrepancy(
                "window",
                f"wall_s is {told_s}, the marks in {line.record.trace} are {seconds} s apart",
            )


def _window_s(record: Repetition) -> float | None:
    """Return how long the record says the window was; of a runtime's timed row ``wall_s`` is one call."""
    if record.inference is not None and record.role == "timed":
        return record.seen.window_s if record.seen is not None else None
    return record.wall_s
