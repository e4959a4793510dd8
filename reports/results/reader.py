"""Read a results directory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tunebench.reports.records import (
    ENV_SCHEMA,
    PLAN_SCHEMA,
    RUN_SCHEMA,
    BoardEnv,
    LookTaken,
    Repetition,
    RunManifest,
    Skip,
)
from tunebench.reports.results.drift import changed_boards, judged
from tunebench.reports.results.files import sha256_file, unpack
from tunebench.reports.results.layout import (
    EARLIER,
    LOOKS,
    MANIFEST,
    MISSING,
    MISSING_SCHEMA,
    PLAN,
    REPS,
    ChecksumError,
    ResultsError,
    RunNotFound,
    When,
    env_name,
    first_fault,
    load_object,
    other_files,
    parse_lines,
)
from tunebench.reports.results.net_energy import with_net
from tunebench.reports.results.plan_view import PlanView
from tunebench.reports.results.timeseries import MeterSeries, Trace, read_meter, read_trace

T = TypeVar("T")


def _class(value: Any) -> int | None:
    return None if value is None else int(value)


def missing_boards(path: Path) -> list[Skip]:
    """Return the boards whose queue was left open, as the run's directory says; what cannot be read is left out."""
    try:
        boards = load_object(path / MISSING, MISSING_SCHEMA).get("boards")
    except ResultsError:
        return []
    skips = []
    for board in boards if isinstance(boards, list) else []:
        with contextlib.suppress(ValidationError):
            skips.append(Skip.model_validate(board))
    return skips


class RunReader:
    """A run's results, complete or not, also while they are being written.

    Attributes:
        path: the run's directory.
        plan: the plan as written.
        manifest: None while the run is not complete.
        repetitions: every readable record, in the order in which they were stored; degraded where the board's
            environment changed during the campaign (:mod:`tunebench.reports.results.drift`).
        warnings: what could not be read (a torn or damaged line, a missing file), each naming its place.
    """

    def __init__(self, path: Path, *, check: bool = True) -> None:
        """Read a run's directory.

        Args:
            path: the directory that holds ``plan.json``.
            check: refuse a plan or records that differ from the checksums of a complete run.

        Raises:
            RunNotFound: no run here.
            ChecksumError: a file was changed after the run was completed.
            ResultsError: plan or manifest are unreadable or of a newer major version.
        """
        self.path = Path(path)
        self.warnings: list[str] = []
        self._check = check
        if not (self.path / PLAN).is_file():
            raise RunNotFound(f"{self.path}: not a run's directory: it has no {PLAN}")
        self.plan = load_object(self.path / PLAN, PLAN_SCHEMA)
        # The manifest is read before the records: if it is there, they are complete.
        self.manifest = self._read_manifest()
        self.repetitions = with_net(self._with_drift(self._read_repetitions()))

    @cached_property
    def plan_view(self) -> PlanView:
        """Return the plan as typed values."""
        return PlanView.of(self.plan)

    @property
    def complete(self) -> bool:
        """Return whether the run was finished."""
        return self.manifest is not None

    @property
    def missing(self) -> list[Skip]:
        """Return the boards whose queue an unfinished run has left open, each with the reason; empty if complete."""
        if self.complete:
            return []
        return missing_boards(self.path)

    @cached_property
    def earlier_manifests(self) -> list[RunManifest]:
        """Return the manifests that the run had before blocks were added to it, the oldest first."""
        return [manifest for _, manifest in self.earlier_states()]

    def earlier_states(self) -> list[tuple[str, RunManifest]]:
        """Return (prefix, manifest) of each state before blocks were added: what it replaced is ``earlier/<prefix>...``.

        Raises:
            ResultsError: one of them is not readable.
        """
        numbered = [
            (int(path.name.split(".")[0]), path)
            for path in (self.path / EARLIER).glob(f"*.{MANIFEST}")
            if path.name.split(".")[0].isdigit()
        ]
        states = []
        for number, path in sorted(numbered):
            try:
                manifest = RunManifest.model_validate(load_object(path, RUN_SCHEMA))
            except ValidationError as error:
                raise ResultsError(f"{path}: {first_fault(error)}") from None
            states.append((f"{EARLIER}/{number}.", manifest))
        return states

    @cached_property
    def looks(self) -> list[LookTaken]:
        """Return the looks that were taken, in order; none in a run that does not stop when it is decided."""
        try:
            lines = (self.path / LOOKS).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        looks = []
        for number, line in enumerate(lines, start=1):
            try:
                looks.append(LookTaken.model_validate_json(line))
            except ValidationError as error:
                self.warnings.append(f"{LOOKS}: line {number} was left out: {first_fault(error)}")
        return looks

    def env(self, board_id: str, when: When = "before") -> BoardEnv | None:
        """Return what the probe read on a board, or None if it was not stored.

        Raises:
            ResultsError: the file is not readable as a probe.
        """
        path = self.path / env_name(board_id, when)
        if not path.is_file():
            return None
        try:
            return BoardEnv.model_validate(load_object(path, ENV_SCHEMA))
        except ValidationError as error:
            raise ResultsError(f"{path}: {first_fault(error)}") from None

    def trace(self, rep: Repetition) -> Trace | None:
        """Return the telemetry of a repetition, or None if there is none.

        Raises:
            ResultsError: the file is missing, damaged or was changed after the run was completed.
        """
        return self._read_series(rep.trace, read_trace)

    def meter(self, rep: Repetition) -> MeterSeries | None:
        """Return an external meter's series of a repetition, or None if there was no meter.

        Raises:
            ResultsError: the file is missing, damaged or was changed after the run was completed.
        """
        return self._read_series(rep.meter, read_meter)

    def exit_record(self, rep: Repetition) -> str | None:
        """Return the board's exit record as it arrived, unchecked, or None if it was not stored."""
        data = self._read_side(rep.exit)
        return None if data is None else data.decode("utf-8", "replace")

    def log(self, rep: Repetition) -> str | None:
        """Return the output of the workload, or None; bytes that are not UTF-8 are replaced visibly."""
        data = self._read_side(rep.log)
        return None if data is None else data.decode("utf-8", "replace")

    def preds(self, rep: Repetition) -> list[tuple[int, int, int | None, int | None]] | None:
        """Return (item, label, predicted before, predicted after) of each test item, or None.

        A workload of one's own may have predicted nothing before or after.
        """
        data = self._read_side(rep.preds)
        if data is None:
            return None
        try:
            rows = [json.loads(line) for line in data.decode().splitlines()]
            return [(int(i), int(label), _class(before), _class(after)) for i, label, before, after in rows]
        except (ValueError, TypeError) as error:
            raise ResultsError(f"{self.path / str(rep.preds)}: {error}") from None

    def verify(self) -> list[str]:
        """Compare every file with its checksum in ``run.json``; return one sentence for each difference."""
        if self.manifest is None:
            return [f"{MANIFEST}: missing: the run is not complete and has no checksums"]
        problems = []
        for name, expected in sorted(self.manifest.files.items()):
            try:
                self._compare(name, expected)
            except ResultsError as error:
                problems.append(str(error))
        extra = sorted(set(other_files(self.path)) - set(self.manifest.files))
        return problems + [f"{name}: not listed in {MANIFEST}" for name in extra]

    def _read_manifest(self) -> RunManifest | None:
        path = self.path / MANIFEST
        if not path.exists():
            return None
        try:
            manifest = RunManifest.model_validate(load_object(path, RUN_SCHEMA))
        except ValidationError as error:
            raise ResultsError(f"{path}: {first_fault(error)}") from None
        if self._check:
            for name in (PLAN, REPS):
                if name in manifest.files:
                    self._compare(name, manifest.files[name])
        return manifest

    def _read_repetitions(self) -> list[Repetition]:
        try:
            data = (self.path / REPS).read_bytes()
        except FileNotFoundError:
            self.warnings.append(f"{REPS}: missing; no repetition was stored")
            return []
        repetitions, warnings = parse_lines(data)
        self.warnings += warnings
        return repetitions

    def _with_drift(self, repetitions: list[Repetition]) -> list[Repetition]:
        """Degrade the records of boards that changed between the probes before and after the campaign."""
        try:
            changed = changed_boards((rep.board_id for rep in repetitions), self.env)
        except ResultsError as error:
            self.warnings.append(f"not compared: what was found before and after: {error}")
            return repetitions
        return judged(repetitions, changed)

    def _read_series(self, name: str | None, parse: Callable[[str], T]) -> T | None:
        data = self._read_side(name)
        if data is None:
            return None
        try:
            return parse(data.decode("utf-8", "replace"))
        except ValueError as error:
            raise ResultsError(f"{self.path / str(name)}: {error}") from None

    def _read_side(self, name: str | None) -> bytes | None:
        if name is None:
            return None
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise ResultsError(f"{name}: lies outside the run's directory {self.path}")
        if self._check and self.manifest is not None and name in self.manifest.files:
            self._compare(name, self.manifest.files[name])
        try:
            return unpack(path.read_bytes())
        except FileNotFoundError:
            raise ResultsError(f"{path}: missing, though the record names it") from None
        except ValueError as error:
            raise ResultsError(f"{path}: {error}") from None

    def _compare(self, name: str, expected: str) -> None:
        path = self.path / name
        if not path.is_file():
            raise ChecksumError(f"{path}: missing, though {MANIFEST} lists it")
        sha256 = sha256_file(path)
        if sha256 != expected:
            raise ChecksumError(
                f"{path}: SHA-256 {sha256[:12]}... differs from {expected[:12]}... in {MANIFEST}: "
                "the file was changed or damaged after the run"
            )
