"""Write a results directory."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tunebench.reports.records import PLAN_SCHEMA, BoardEnv, LookTaken, Repetition, RunManifest, Skip
from tunebench.reports.results.files import (
    is_safe_name,
    make_folder,
    pack,
    sha256_file,
    sync_folder,
    sync_upwards,
    write_durable,
)
from tunebench.reports.results.layout import (
    EARLIER,
    LOOKS,
    MANIFEST,
    MISSING,
    MISSING_SCHEMA,
    PLAN,
    REPS,
    SIDE_FILES,
    ResultsError,
    RunNotFound,
    When,
    count,
    env_name,
    json_bytes,
    load_object,
    other_files,
)
from tunebench.reports.results.plan_view import PlanView
from tunebench.reports.results.state import Stored, records, scan


#: How often, and how far apart, a run's lock is tried before it is called another process's.
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.05


class RunWriter:
    """The writer of one run. Thread-safe; one process at a time (an flock on ``reps.jsonl``).

    A repetition is durable when :meth:`append` returns; of what is durable only a few facts stay in memory
    (:attr:`stored`), so that a long run of many boards needs little more of it than a short one. Use as a context
    manager, or call :meth:`finish` or :meth:`close`; an unfinished run is resumed with :meth:`open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._lock = threading.Lock()
        self._done: dict[str, Stored] = {}
        self._missing: dict[str, str] = {}
        self._run_id, self._lab, self._plan_sha256 = _names(path)
        self._file = (path / REPS).open("ab", buffering=0)
        if not _locked(self._file):
            self._file.close()
            raise ResultsError(f"{path}: another process is writing this run; wait for it to end")
        sync_folder(path)
        self._drop_torn_tail()
        if not self.complete:
            # What was missing when the run was left is looked for anew.
            (path / MISSING).unlink(missing_ok=True)

    @classmethod
    def create(
        cls, root: Path, lab: str, run_id: str, plan: Mapping[str, object], *, created: datetime | None = None
    ) -> Self:
        """Make the run's directory below ``root`` and write its plan.

        Raises:
            ResultsError: a name is not safe, the run exists already, or the root is not writable.
        """
        for what, name in (("lab", lab), ("run id", run_id)):
            if not is_safe_name(name):
                raise ResultsError(f"{what} {name!r}: use 1-128 letters, digits, '.', '_', '-'")
        path = Path(root) / lab / (created or datetime.now(UTC)).strftime("%Y/%m/%d") / run_id
        try:
            path.mkdir(parents=True)
            # Before the plan is there: a run that can be found can no longer vanish with a folder above it.
            sync_upwards(path)
            (path / "env").mkdir()
            value = {"schema": PLAN_SCHEMA, **plan, "run_id": run_id, "lab": lab}
            write_durable(path / PLAN, json_bytes(value))
        except FileExistsError:
            raise ResultsError(f"{path}: exists already; a run is written once (resume it instead)") from None
        except OSError as error:
            raise ResultsError(f"{path}: cannot be written: {error.strerror}") from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Resume a run; :attr:`done_rep_ids` holds the repetitions already recorded.

        A torn last line (a crash while appending) is cut off and named in :attr:`warnings`.
        """
        path = Path(path)
        if not (path / PLAN).is_file():
            raise RunNotFound(f"{path}: not a run's directory: it has no {PLAN}")
        try:
            return cls(path)
        except OSError as error:
            raise ResultsError(f"{path}: cannot be written: {error.strerror}") from None

    @classmethod
    def extend(cls, path: Path, plan: Mapping[str, object]) -> Self:
        """Open a complete run to add repetitions to it; :meth:`finish` completes it again.

        Nothing that was recorded is touched. What the addition replaces (``run.json``, the plan, what was found on the boards
        afterwards) is kept below ``earlier/``, so that the checksums of then still hold. ``run.json`` goes first: from then
        on the run is an unfinished one, by its old plan or by the new one, whenever the power is cut.

        Args:
            path: the run's directory.
            plan: the new plan; it holds every repetition of the old one.

        Raises:
            ResultsError: the run is not complete, another process writes it, or it cannot be written.
        """
        writer = cls.open(path)
        try:
            writer._set_aside(plan)
        except OSError as error:
            writer.close()
            raise ResultsError(f"{path}: cannot be written: {error.strerror}") from None
        except BaseException:
            writer.close()
            raise
        return writer

    def _set_aside(self, plan: Mapping[str, object]) -> None:
        with self._lock:
            if not self.complete:
                raise ResultsError(
                    f"{self.path}: the run is not complete ({MANIFEST} is missing): resume it first"
                )
            folder = self.path / EARLIER
            make_folder(folder)
            number = next(n for n in range(1, 10_000) if not (folder / f"{n}.{MANIFEST}").exists())
            (self.path / MANIFEST).rename(folder / f"{number}.{MANIFEST}")
            sync_folder(folder)
            sync_folder(self.path)
            replaced = [self.path / PLAN, *sorted((self.path / "env").glob("*.after.json"))]
            for file in replaced:
                write_durable(folder / f"{number}.{file.name}", file.read_bytes())
            value = {"schema": PLAN_SCHEMA, **plan, "run_id": self._run_id, "lab": self._lab}
            write_durable(self.path / PLAN, json_bytes(value))
            self._run_id, self._lab, self._plan_sha256 = _names(self.path)

    def replan(self, plan: Mapping[str, object]) -> None:
        """Replace the plan of a run that is not complete by one that holds every repetition of it.

        Raises:
            ResultsError: the run is complete, or cannot be written.
        """
        value = {"schema": PLAN_SCHEMA, **plan, "run_id": self._run_id, "lab": self._lab}
        with self._lock:
            self._refuse_if_complete()
            try:
                write_durable(self.path / PLAN, json_bytes(value))
            except OSError as error:
                raise ResultsError(f"{self.path / PLAN}: cannot be written: {error.strerror}") from None
            self._run_id, self._lab, self._plan_sha256 = _names(self.path)

    @property
    def plan(self) -> dict[str, object]:
        """Return the plan as written, read back from disk."""
        return load_object(self.path / PLAN, PLAN_SCHEMA)

    @property
    def done_rep_ids(self) -> frozenset[str]:
        """Return the ids of the repetitions that are on disk."""
        with self._lock:
            return frozenset(self._done)

    @property
    def stored(self) -> list[Stored]:
        """Return the facts of the repetitions recorded so far, in order."""
        with self._lock:
            return list(self._done.values())

    def repetitions(self) -> Iterator[Repetition]:
        """Yield the records, read back from disk one by one, in order."""
        return records(self.path / REPS)

    @property
    def complete(self) -> bool:
        """Return whether ``run.json`` is there; nothing can be added then."""
        return (self.path / MANIFEST).exists()

    def append(
        self,
        rep: Repetition,
        *,
        trace: bytes | None = None,
        log: bytes | None = None,
        preds: bytes | None = None,
        meter: bytes | None = None,
        exit_record: bytes | None = None,
    ) -> Repetition:
        """Store one repetition: side files first, then its line, fsynced.

        Args:
            rep: the record; its ``trace``, ``log``, ``preds``, ``meter`` and ``exit`` are set here.
            trace: JSON lines as in :mod:`tunebench.reports.results.timeseries`, not yet compressed.
            log: output of the workload, not yet compressed.
            preds: JSON lines ``[i, label, before, after]``, not yet compressed.
            meter: JSON lines as in :mod:`tunebench.reports.results.timeseries`, not yet compressed.
            exit_record: the board's ``exit.json``, not yet compressed.

        Returns:
            The record as written, with the paths of its side files.

        Raises:
            ResultsError: the repetition is stored already, belongs to another run, or the run is complete.
        """
        if not is_safe_name(rep.rep_id):
            raise ResultsError(f"repetition id {rep.rep_id!r}: use 1-128 letters, digits, '.', '_', '-'")
        if rep.run_id != self._run_id:
            raise ResultsError(f"{self.path}: repetition {rep.rep_id} belongs to run {rep.run_id!r}")
        with self._lock:
            self._refuse_if_complete()
            if rep.rep_id in self._done:
                raise ResultsError(f"{self.path}: repetition {rep.rep_id} is stored already; never edited")
            sides = {"trace": trace, "log": log, "preds": preds, "meter": meter, "exit": exit_record}
            paths = {kind: self._write_side(kind, rep.rep_id, data) for kind, data in sides.items()}
            stored = rep.model_copy(update=paths)
            self._append_line(stored.to_line().encode())
            self._done[stored.rep_id] = Stored.of(stored)
        return stored

    def append_look(self, look: LookTaken) -> None:
        """Store a look that was taken, durably, before anything follows from it."""
        path = self.path / LOOKS
        with self._lock:
            self._refuse_if_complete()
            before = path.read_bytes() if path.exists() else b""
            write_durable(path, before + look.to_line().encode())

    def write_env(self, env: BoardEnv, when: When) -> Path:
        """Store what a probe found on a board before or after the campaign.

        A resumed campaign began when it was begun first: what was found then is kept.
        """
        path = self.path / env_name(env.board_id, when)
        with self._lock:
            self._refuse_if_complete()
            if when == "before" and path.is_file():
                return path
            write_durable(path, env.to_line().encode())
        return path

    def note_missing(self, board_id: str, reason: str) -> None:
        """Store why a board's queue was left open, for whoever looks at the run before it is complete."""
        with self._lock:
            self._refuse_if_complete()
            self._missing[board_id] = reason
            boards = [{"board_id": name, "reason": why} for name, why in self._missing.items()]
            write_durable(self.path / MISSING, json_bytes({"schema": MISSING_SCHEMA, "boards": boards}))

    def finish(
        self,
        *,
        suite: str,
        tunebench: str,
        started_utc: str,
        ended_utc: str,
        boards: Iterable[str],
        blocks: int,
        level: str | None = None,
        command: Iterable[str] = (),
        baselines: Mapping[str, str] | None = None,
        delta: Mapping[str, float] | None = None,
        counts: Mapping[str, int] | None = None,
        skipped: Iterable[Skip] = (),
    ) -> RunManifest:
        """Write ``run.json`` with the checksum of every other file, and close. Nothing can be added then.

        ``counts`` defaults to :func:`count` of what was recorded.
        """
        with self._lock:
            self._refuse_if_complete()
            (self.path / MISSING).unlink(missing_ok=True)
            manifest = RunManifest(
                run_id=self._run_id,
                lab=self._lab,
                suite=suite,
                level=level,
                command=list(command),
                tunebench=tunebench,
                started_utc=started_utc,
                ended_utc=ended_utc,
                boards=list(boards),
                blocks=blocks,
                baselines=dict(baselines or {}),
                delta=dict(delta or {}),
                counts=dict(count(self._done.values()) if counts is None else counts),
                skipped=list(skipped),
                plan_sha256=self._plan_sha256 or sha256_file(self.path / PLAN),
                files={name: sha256_file(self.path / name) for name in other_files(self.path)},
            )
            write_durable(self.path / MANIFEST, manifest.to_line().encode())
            self._file.close()
        return manifest

    def close(self) -> None:
        """Release the run; it stays resumable. Closing twice is harmless."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_if_complete(self) -> None:
        if self.complete:
            raise ResultsError(f"{self.path}: the run is complete ({MANIFEST} is there): it is closed")
        if self._file.closed:
            raise ResultsError(f"{self.path}: the writer is closed; open the run again to add to it")

    def _write_side(self, kind: str, rep_id: str, data: bytes | None) -> str | None:
        if data is None:
            return None
        name = f"{kind}/{rep_id}{SIDE_FILES[kind]}"
        write_durable(self.path / name, pack(data))
        return name

    def _append_line(self, line: bytes) -> None:
        """Append the whole line or nothing: a full disk must not leave half a record before the next record."""
        whole_b = os.fstat(self._file.fileno()).st_size
        try:
            written_b = 0
            while written_b < len(line):
                written_b += self._file.write(line[written_b:])
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(whole_b)
            raise ResultsError(f"{self.path / REPS}: cannot be written: {error.strerror}") from error

    def _drop_torn_tail(self) -> None:
        contents = scan(self.path / REPS)
        if contents.whole_b < contents.size_b and not self.complete:
            self._file.truncate(contents.whole_b)
            os.fsync(self._file.fileno())
            self.warnings.append(
                f"{REPS}: a torn last line of {contents.size_b - contents.whole_b} bytes was cut off"
            )
        self._done = contents.stored
        self.warnings += contents.warnings


def _locked(file: IO[bytes]) -> bool:
    """Lock a run's records; a lock that is held for a moment only (somebody looks whether it is held) is waited for."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_LOCK_PAUSE_S)
        else:
            return True
    return False


def is_being_written(path: Path) -> bool:
    """Tell whether a process has this run open for writing.

    The lock is tried for a moment, shared, so that several may look at once; it says nothing where the file system has
    no locks, or where nothing was written yet.
    """
    try:
        with (path / REPS).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _names(path: Path) -> tuple[str, str, str | None]:
    """Read the run's id, its lab and the SHA-256 of its plan; the plan itself can be large and is not kept in memory.

    Raises:
        ResultsError: the plan is not readable, or names no run or lab.
    """
    plan = PlanView.of(load_object(path / PLAN, PLAN_SCHEMA))
    if plan.run_id is None or plan.lab is None:
        raise ResultsError(f"{path / PLAN}: names no run or no lab")
    return plan.run_id, plan.lab, plan.sha256
