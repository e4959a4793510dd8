"""A folder of Parquet files on a share: one file a run, written beside its place and linked into it.

``DIR/dt=2026-11/<run_id>.parquet`` holds a run's repetitions, a row each with typed columns and the record itself, and
its small files (column ``file``, with their content), so that a run is there whole or not at all. Decisions are lines of
``DIR/decisions.jsonl``, as in a results root. Any tool that reads Parquet reads it: ``WHERE file IS NULL`` leaves
repetitions.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from tunebench.reports.results.files import file_name, make_folder, sync_folder
from tunebench.reports.results.layout import ResultsError, RunNotFound
from tunebench.reports.stores.address import Address
from tunebench.reports.stores.columns import COLUMNS, STORE_VERSION, WHOLE
from tunebench.reports.stores.decision_lines import by_date
from tunebench.reports.stores.errors import StoreLost, first_line
from tunebench.reports.stores.sealed import Head, SealedRun
from tunebench.reports.stores.store import Pushed, joined, order_of, verdict_on

DECISIONS = "decisions.jsonl"
#: Rows that are no files of a run: what a store says of it, and what stood behind its last line.
_FACTS, _TORN = ".tunebench", ".torn"
_VERSION = "tunebench_store"
_TYPES = {
    "file": "VARCHAR",
    "content": "BLOB",
    "line_no": "BIGINT",
    **{name: column.kind for name, column in COLUMNS.items()},
    "record": "VARCHAR",
    "raw": "BLOB",
}


class Store:
    """A folder as a store (:class:`tunebench.reports.stores.store.Store`)."""

    def __init__(self, address: Address) -> None:
        self._folder, self._name, self._quoted = address.folder, address.text, shlex.quote(address.text)
        # One for all: to open one takes longer than to write a run.
        self._database = duckdb.connect()

    def prepare(self) -> None:
        """Make the folder, and refuse one whose files are of a newer version."""
        with self._reached():
            make_folder(self._folder)
            if not os.access(self._folder, os.W_OK):
                raise ResultsError(f"{self._name}: cannot be written by this user; give another folder")
            files = self._files()
        for file in files[-1:]:
            self._check_version([file])

    def digest(self, run_id: str) -> str | None:
        """Return what a run's file says."""
        with self._reached():
            file = self._file_of(run_id)
            return None if file is None else self._facts(file)[1]

    def push(self, run: SealedRun) -> Pushed:
        """Write a run's file beside its place, count its rows there, and link it into place."""
        with self._reached():
            there = self._file_of(run.run_id)
            verdict = None if there is None else verdict_on(run, *self._facts(there), self._name)
            if verdict in ("there", "older"):
                return verdict
            target = there or self._folder / f"dt={run.month}" / f"{file_name(run.run_id)}.parquet"
            make_folder(target.parent)
            part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
            try:
                self._write(run, part)
                if verdict == "extended":
                    part.replace(target)
                else:
                    # A link fails where a name is taken: of two hosts that push one run, one is second.
                    os.link(part, target)
            except FileExistsError:
                return verdict_on(run, *self._facts(target), self._name)
            finally:
                part.unlink(missing_ok=True)
            sync_folder(target.parent)
        return verdict or "added"

    def push_decisions(self, lines: Sequence[str]) -> int:
        """Add what is not there to ``DIR/decisions.jsonl``; writers exclude one another by a lock on it."""
        if not lines:
            return 0
        with self._reached(), (self._folder / DECISIONS).open("ab+") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            file.seek(0)
            data = file.read()
            there = set(data.decode("utf-8", "replace").splitlines())
            added = [line for line in lines if line not in there]
            closed = b"\n" if data and not data.endswith(b"\n") else b""
            if added:
                file.write(closed + "".join(f"{line}\n" for line in added).encode())
                file.flush()
                os.fsync(file.fileno())
        sync_folder(self._folder)
        return len(added)

    def decisions(self) -> list[str]:
        """Return the lines of ``DIR/decisions.jsonl``."""
        try:
            text = (self._folder / DECISIONS).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return by_date(text.splitlines())

    def heads(self) -> list[Head]:
        """Read every run's small files."""
        files = self._present()
        rows = self._query("SELECT filename, file, content FROM {} WHERE file IS NOT NULL", files)
        contents: dict[str, dict[str, bytes]] = {}
        for filename, name, content in rows:
            contents.setdefault(filename, {})[name] = content
        return [_head(contents[str(file)]) for file in files]

    def load(self, database: duckdb.DuckDBPyConnection, table: str) -> None:
        """Make a table of all repetitions; DuckDB reads the files itself."""
        files = [str(file) for file in self._present()]
        columns = ", ".join(f'"{name}"' for name in COLUMNS)
        source = "read_parquet(?, filename=true, hive_partitioning=false)"
        database.execute(
            f"CREATE TABLE {table} AS SELECT {columns} FROM {source} WHERE file IS NULL", [files]
        )

    def lines(self, run_id: str) -> bytes:
        """Return a run's lines."""
        file = self._file_of(run_id)
        if file is None:
            raise RunNotFound(f"{self._name}: holds no run {run_id}")
        rows = self._query("SELECT record, raw, file, content FROM {} ORDER BY line_no", [file])
        torn = b"".join(content for _, _, name, content in rows if name == _TORN)
        return joined(
            (raw if record is None else record.encode() for record, raw, name, _ in rows if name is None),
            torn,
        )

    def close(self) -> None:
        """Let DuckDB's memory go; no file is held open."""
        self._database.close()

    def _write(self, run: SealedRun, path: Path) -> None:
        facts = {
            "run_id": run.run_id, "lab": run.lab, "digest": run.digest, "earlier": run.earlier, "path": run.head.path,
            "written_s": run.head.written_s,
        }  # fmt: skip
        files = {
            _FACTS: json.dumps(facts).encode(),
            **run.head.files,
            **({_TORN: run.torn} if run.torn else {}),
        }
        nothing = [None] * len(COLUMNS)
        rows: list[Sequence[object]] = [
            [name, data, None, *nothing, None, None] for name, data in files.items()
        ]
        rows += [
            [None, None, number, *line.values, line.record, line.raw]
            for number, line in enumerate(run.lines, start=1)
        ]
        marks = ", ".join(f'unnest(?::{kind}[]) AS "{name}"' for name, kind in _TYPES.items())
        self._database.execute(
            f"CREATE OR REPLACE TABLE written AS SELECT {marks}",
            [list(column) for column in zip(*rows, strict=True)],
        )
        options = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_VERSION}: '{STORE_VERSION}'}}"
        self._database.execute(f"COPY written TO '{_quoted(path)}' ({options})")
        complete = " AND ".join(f"{name} IS NOT NULL" for name in WHOLE)
        ((lines, records),) = self._query(
            f"SELECT count(line_no), count(DISTINCT rep_id) FILTER (WHERE {complete}) FROM {{}}", [path]
        )
        if (lines, records) != (len(run.lines), run.expected):
            raise ResultsError(
                f"{self._name}: run {run.run_id}: {records} repetitions in {lines} lines arrived, its manifest counts"
                f" {run.expected}; nothing of it was kept"
            )
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("dt=*/*.parquet"))

    def _present(self) -> list[Path]:
        """Return all files, oldest run first.

        Raises:
            RunNotFound: there is none.
            ResultsError: one is of a newer version.
        """
        with self._reached():
            if not self._folder.is_dir():
                raise RunNotFound(f"{self._name}: no such folder; `tunebench push {self._quoted}` makes it")
            files = self._files()
            if not files:
                raise RunNotFound(f"{self._name}: holds no run; `tunebench push {self._quoted}` brings some")
            self._check_version(files)
            rows = self._query(f"SELECT filename, content FROM {{}} WHERE file = '{_FACTS}'", files)
        paths = {filename: json.loads(content)["path"] for filename, content in rows}
        return sorted(files, key=lambda file: order_of(paths[str(file)]))

    def _check_version(self, files: Sequence[Path]) -> None:
        with self._read():
            rows = self._database.execute(
                "SELECT file_name, decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = ?",
                [[str(file) for file in files], _VERSION],
            ).fetchall()
        versions = dict(rows)
        for file in files:
            version = versions.get(str(file))
            if version is None:
                raise ResultsError(
                    f"{file}: was not written by tunebench; keep other Parquet files out of {self._name}"
                )
            if version != str(STORE_VERSION):
                newer = not version.isdecimal() or int(version) > STORE_VERSION
                right = (
                    "pip install --upgrade tunebench" if newer else "delete the file and push its run again"
                )
                raise ResultsError(
                    f"{file}: is of version {version} of the store, this tunebench reads {STORE_VERSION}: {right}"
                )

    def _file_of(self, run_id: str) -> Path | None:
        return next(iter(sorted(self._folder.glob(f"dt=*/{glob.escape(file_name(run_id))}.parquet"))), None)

    def _facts(self, file: Path) -> tuple[str, str, Sequence[str]]:
        """Return lab, digest and earlier digests of a stored run."""
        self._check_version([file])
        ((content,),) = self._query(f"SELECT content FROM {{}} WHERE file = '{_FACTS}'", [file])
        facts = json.loads(content)
        return facts["lab"], facts["digest"], facts["earlier"]

    def _query(self, query: str, files: Sequence[Path]) -> list[tuple[Any, ...]]:
        source = "read_parquet(?, filename=true, hive_partitioning=false)"
        with self._read():
            return self._database.execute(query.format(source), [[str(file) for file in files]]).fetchall()

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise ResultsError(
                f"{self._name}: a file in it is not readable as Parquet of tunebench ({first_line(error)}); delete it and"
                " push its run again"
            ) from error

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Tell a share that is full, gone or not ours from a mistake."""
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EROFS):
                raise ResultsError(f"{self._name}: {reason}: {error.filename or self._folder}") from error
            raise StoreLost(f"{self._name}: {reason}; nothing half-written is there, push again") from error


def _head(contents: dict[str, bytes]) -> Head:
    facts = json.loads(contents[_FACTS])
    files = {name: data for name, data in contents.items() if name not in (_FACTS, _TORN)}
    return Head(facts["path"], files, facts["written_s"])


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
