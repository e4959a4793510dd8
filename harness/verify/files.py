"""Whether every file is what the manifest says, and every record what its schema says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tunebench.harness.verify.discrepancy import Discrepancy, Lined
from tunebench.reports.results.files import sha256_file
from tunebench.reports.results.layout import MANIFEST, REPS, ResultsError, count, other_files, parse_line
from tunebench.reports.results.reader import RunReader

#: A trace's window and the record's are of the same marks.
_SAME_S = 1e-6


def checksums(reader: RunReader) -> Iterator[Discrepancy]:
    """Each file against ``run.json``, and files that it does not list."""
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
        elif (found := sha256_file(path)) != expected:
            yield Discrepancy("checksum", name, None, f"SHA-256 is {found}, {MANIFEST} says {expected}")
    for name in sorted(set(other_files(reader.path)) - set(listed)):
        yield Discrepancy("unlisted-file", name, None, f"not listed in {MANIFEST}: it was added later")


def records(path: Path) -> tuple[list[Lined], list[Discrepancy]]:
    """Every line of ``reps.jsonl``: those that are records, and what is wrong with the others."""
    try:
        data = (path / REPS).read_bytes()
    except OSError as error:
        return [], [Discrepancy("missing-file", REPS, None, f"cannot be read: {error.strerror}")]
    found, wrong = [], []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line and number > data.count(b"\n"):
            break
        try:
            if number > data.count(b"\n"):
                raise ResultsError("torn: the line has no end")
            found.append(Lined(number, parse_line(line)))
        except ResultsError as error:
            wrong.append(Discrepancy("schema", REPS, number, str(error)))
    return found, wrong


def manifest(reader: RunReader, lines: list[Lined]) -> Iterator[Discrepancy]:
    """What ``run.json`` says of the records and of the plan."""
    told = reader.manifest
    if told is None:
        return
    counts = count(one.rep for one in lines)
    if {name: n for name, n in told.counts.items() if n} != {name: n for name, n in counts.items() if n}:
        yield Discrepancy("counts", MANIFEST, None, f"counts {told.counts}, the records make {counts}")
    for name, mine in (("run_id", told.run_id), ("lab", told.lab), ("sha256", told.plan_sha256)):
        if name in reader.plan and reader.plan[name] != mine:
            yield Discrepancy(
                "plan-mismatch", MANIFEST, None, f"{name} is {mine!r}, plan.json says {reader.plan[name]!r}"
            )


def side_files(reader: RunReader, lines: list[Lined]) -> Iterator[Discrepancy]:
    """Whether what a record names can be read, and a trace holds the window that the record has."""
    for one in lines:
        readers: tuple[tuple[str | None, Callable[[], object]], ...] = (
            (one.rep.trace, lambda one=one: reader.trace(one.rep)),  # type: ignore[misc]
            (one.rep.log, lambda one=one: reader.log(one.rep)),  # type: ignore[misc]
            (one.rep.preds, lambda one=one: reader.preds(one.rep)),  # type: ignore[misc]
            (one.rep.meter, lambda one=one: reader.meter(one.rep)),  # type: ignore[misc]
            (one.rep.exit, lambda one=one: reader.exit_record(one.rep)),  # type: ignore[misc]
        )
        for name, read in readers:
            try:
                read()
            except (ResultsError, OSError) as error:
                yield one.finding("side-file", f"{name}: {error}")


def environments(reader: RunReader, lines: list[Lined]) -> Iterator[Discrepancy]:
    """What was found on each board before it was measured."""
    for board_id in dict.fromkeys(one.rep.board_id for one in lines):
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


def windows(reader: RunReader, lines: list[Lined]) -> Iterator[Discrepancy]:
    """A duration is that of the marks in its trace."""
    for one in lines:
        if one.rep.trace is None or one.rep.wall_s is None or one.rep.sustained is not None:
            continue
        try:
            trace = reader.trace(one.rep)
        except (ResultsError, OSError):
            continue  # told by side_files
        if trace is None or trace.window_ns is None:
            continue
        seconds = (trace.window_ns[1] - trace.window_ns[0]) / 1e9
        if abs(seconds - one.rep.wall_s) > _SAME_S:
            yield one.finding(
                "window", f"wall_s is {one.rep.wall_s}, the marks in {one.rep.trace} are {seconds} s apart"
            )
