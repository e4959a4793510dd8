"""A sealed run as it goes into a store: its small files, and its repetitions line by line.

Traces, logs, predictions and exit records stay in the run's directory: they are nine tenths of its bytes, and no trend,
no gate and no comparison reads them.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tunebench.reports.records import RUN_SCHEMA, RunManifest
from tunebench.reports.results.files import sha256_file
from tunebench.reports.results.layout import (
    EARLIER,
    MANIFEST,
    PLAN,
    REPS,
    SIDE_FILES,
    ResultsError,
    first_fault,
    load_object,
)
from tunebench.reports.stores.columns import Line, line_of


@dataclass(frozen=True)
class Head:
    """A run without its repetitions, from a directory or from a store.

    Attributes:
        path: of the run below its results root; its last four parts put runs in order.
        files: name -> content of its small files; ``run.json`` is missing while it is not complete.
        written_s: when its newest file was written, in seconds since 1970.
    """

    path: str
    files: Mapping[str, bytes]
    written_s: float | None


@dataclass(frozen=True)
class SealedRun:
    """A complete run, checked against its manifest.

    Attributes:
        digest: SHA-256 of ``run.json``, which lists the SHA-256 of every other file.
        earlier: digests that the run had before blocks were added to it.
        expected: how many records its manifest counts.
        torn: what stands behind the last line's end; usually nothing.
    """

    folder: Path
    run_id: str
    lab: str
    month: str
    digest: str
    earlier: tuple[str, ...]
    expected: int
    head: Head
    lines: Sequence[Line]
    torn: bytes = b""

    @property
    def records(self) -> int:
        """Return how many different repetitions its lines hold."""
        return len({line.values[1] for line in self.lines if line.is_record})


def is_sealed(folder: Path) -> bool:
    """Return whether a run is complete."""
    return (folder / MANIFEST).is_file()


def digest_of(folder: Path) -> tuple[str, str]:
    """Return a complete run's id and digest, from its manifest alone.

    Raises:
        ResultsError: the manifest is not readable.
    """
    run_id = load_object(folder / MANIFEST, RUN_SCHEMA).get("run_id")
    return str(run_id), hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def sealed_run(folder: Path) -> SealedRun:
    """Read a complete run for a store.

    Raises:
        ResultsError: it is not complete, a file that goes into the store is not what the manifest says, or the records
            are not as many as it counts.
    """
    if not is_sealed(folder):
        raise ResultsError(f"{folder}: not complete, so not pushed; `tunebench run --resume` ends it")
    data = (folder / MANIFEST).read_bytes()
    try:
        manifest = RunManifest.model_validate(load_object(folder / MANIFEST, RUN_SCHEMA))
    except ValidationError as error:
        raise ResultsError(f"{folder / MANIFEST}: {first_fault(error)}") from None
    missing = [name for name in (PLAN, REPS) if name not in manifest.files]
    if missing:
        raise ResultsError(
            f"{folder / MANIFEST}: lists no checksum of {missing[0]}: not a sealed run, not pushed"
        )
    small = [name for name in sorted(manifest.files) if name.partition("/")[0] not in SIDE_FILES]
    files = {name: _checked(folder, name, manifest.files[name]) for name in small}
    reps = files.pop(REPS)
    *parts, torn = reps.split(b"\n")
    written_s = max((folder / name).stat().st_mtime for name in (PLAN, MANIFEST, REPS))
    month = re.match(r"\d{4}-\d{2}", manifest.started_utc)
    run = SealedRun(
        folder=folder,
        run_id=manifest.run_id,
        lab=manifest.lab,
        month=month[0] if month is not None else "unknown",
        digest=hashlib.sha256(data).hexdigest(),
        earlier=tuple(
            hashlib.sha256(content).hexdigest()
            for name, content in sorted(files.items())
            if name.startswith(f"{EARLIER}/") and name.endswith(f".{MANIFEST}")
        ),
        expected=sum(manifest.counts.values()),
        head=Head("/".join(folder.resolve().parts[-5:]), {MANIFEST: data, **files}, written_s),
        lines=[line_of(part) for part in parts],
        torn=torn,
    )
    if run.records != run.expected:
        raise ResultsError(
            f"{folder}: {REPS} holds {run.records} repetitions, {MANIFEST} counts {run.expected}: not pushed;"
            f" `tunebench verify {shlex.quote(str(folder))}` says what is wrong"
        )
    return run


def _checked(folder: Path, name: str, expected: str) -> bytes:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ResultsError(f"{path}: missing, though {MANIFEST} lists it: not pushed")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise ResultsError(
            f"{path}: was changed or damaged after the run (SHA-256 {sha256_file(path)[:12]}..., {MANIFEST} says"
            f" {expected[:12]}...): not pushed"
        )
    return data


def lay(folder: Path, head: Head, lines: bytes) -> Path:
    """Write a run that was read from a store into a folder, as it was; return its directory there."""
    target = folder.joinpath(*[part for part in head.path.split("/") if part not in ("", ".", "..")])
    for name, data in {**head.files, REPS: lines}.items():
        path = target / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ResultsError(
                f"{name}: a stored file that lies outside its run; the store was not written by tunebench"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return target
