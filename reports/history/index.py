"""Build the index of all runs below a results root: one DuckDB file that can be deleted at any time.

The records are read by DuckDB itself, whole runs at a time: a year of a lab (175,000 repetitions in 365 files)
takes seconds. Damaged lines are counted and left out, as every reader of ours does. The file is written under
another name and renamed, so that a reader never sees half of it; DuckDB lets one process write or many read,
which is why this is an index and not the store.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import duckdb

from tunebench.reports.history import clock
from tunebench.reports.results.layout import MANIFEST, PLAN, REPS, run_folders
from tunebench.reports.results.plan_view import PlanView
from tunebench.reports.stores.address import Address
from tunebench.reports.stores.sealed import Head
from tunebench.reports.stores.store import Store, opened

INDEX = "index.duckdb"
#: Raised when the tables change; an index of another version is rebuilt, never migrated.
INDEX_VERSION = 3

_MAX_LINE_B = 16 << 20
#: JSON path in a record -> column. What is not here is read from the files when it is needed.
_COLUMNS = {
    "rep_id": "VARCHAR", "run_id": "VARCHAR", "block": "BIGINT", "attempt": "BIGINT", "role": "VARCHAR",
    "lab": "VARCHAR", "board_id": "VARCHAR", "board_kind": "VARCHAR", "board_model": "VARCHAR",
    "emulated": "BOOLEAN", "power_mode": "VARCHAR", "task": "VARCHAR", "method": "VARCHAR", "label": "VARCHAR",
    "aa_control": "BOOLEAN", "engine": "VARCHAR", "engine_build": "VARCHAR", "device": "VARCHAR",
    "threads": "BIGINT", "dtype": "VARCHAR", "seed": "BIGINT", "series_key": "VARCHAR", "bench_version": "BIGINT",
    "t_start_utc": "VARCHAR", "wall_s": "DOUBLE", "peak_rss_b": "DOUBLE", "outcome": "VARCHAR", "verdict": "VARCHAR",
    "energy": "STRUCT(j_per_finetuning DOUBLE, scope VARCHAR, source VARCHAR)",
    "quality": 'STRUCT("after" DOUBLE)',
    "pmu": "STRUCT(instructions_per_finetuning DOUBLE)",
    "prov": "STRUCT(payload_sha256 VARCHAR, env_sha256 VARCHAR, tunebench VARCHAR)",
}  # fmt: skip


@dataclass(frozen=True)
class IndexReport:
    """The files and lines that an index was made from.

    Attributes:
        path: the DuckDB file.
        runs: run directories below the root.
        repetitions: records indexed.
        damaged: lines that are no record (torn or corrupt), left out.
        warnings: a sentence for each run that could not be read.
    """

    path: Path
    runs: int
    repetitions: int
    damaged: int
    warnings: list[str] = field(default_factory=list)


def build(
    root: Path | Address, path: Path | None = None, *, progress: Callable[[str], None] = lambda _: None
) -> IndexReport:
    """Index every run below ``root``, or of a store that hosts share: what is asked of the index has one answer then.

    Args:
        root: a results root, or a store's address.
        path: the DuckDB file; default ``root/index.duckdb``. An older one is replaced. Of a store, and below a root that
            cannot be written (a read-only disk), it lies in a temporary folder as long as this process lives.
        progress: told what is being done.

    Raises:
        RunNotFound: no run below ``root``.
        ResultsError: the store is of another version, or what it needs is not installed.
        StoreLost: the store cannot be reached.
    """
    if isinstance(root, Address):
        with opened(root) as store:
            return _build(_Stored(root, store), path or _temporary() / INDEX, progress)
    root = Path(root)
    return _build(
        _Folders(root), path or (root if os.access(root, os.W_OK) else _temporary()) / INDEX, progress
    )


class _Source(Protocol):
    """Runs to be indexed."""

    @property
    def name(self) -> str:
        """Return what their paths stand below, for messages."""
        ...

    def heads(self) -> Iterable[Head]:
        """Return every run without its repetitions, oldest first."""
        ...

    def load(self, database: duckdb.DuckDBPyConnection) -> None:
        """Make the table ``raw``: a row a line, in order; what is no record has nulls."""
        ...


def _build(source: _Source, path: Path, progress: Callable[[str], None]) -> IndexReport:
    progress(f"indexing {source.name}")
    rows, boards, warnings = _read_heads(source)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with duckdb.connect(str(part)) as database:
        database.execute("CREATE TABLE meta(version INTEGER)")
        database.execute("INSERT INTO meta VALUES (?)", [INDEX_VERSION])
        _fill(database, "runs", _RUNS, rows)
        _fill(database, "boards", _BOARDS, boards)
        source.load(database)
        repetitions, damaged = _keep_records(database)
    part.replace(path)
    progress(f"{repetitions} repetitions in {path}")
    return IndexReport(path, len(rows), repetitions, damaged, warnings)


class _Folders:
    """Runs' directories below a results root."""

    def __init__(self, root: Path) -> None:
        self._root, self._runs = root, run_folders(root)
        self.name = str(root)

    def heads(self) -> Iterator[Head]:
        """Read what the index needs of each run."""
        for folder in self._runs:
            probes = [f"env/{file.name}" for file in sorted((folder / "env").glob("*.before.json"))]
            files = {name: _bytes(folder / name) for name in (PLAN, MANIFEST, *probes)}
            present = {name: data for name, data in files.items() if data is not None}
            written_s = clock.newest_written_s([folder / name for name in (PLAN, MANIFEST, REPS)])
            yield Head(str(folder.relative_to(self._root)), present, written_s)

    def load(self, database: duckdb.DuckDBPyConnection) -> None:
        """Let DuckDB read the records."""
        _load_lines(database, [run / REPS for run in self._runs])


class _Stored:
    """Runs of a store."""

    def __init__(self, address: Address, store: Store) -> None:
        self.name, self._store = str(address), store

    def heads(self) -> Iterable[Head]:
        """Read the small files of each run."""
        return self._store.heads()

    def load(self, database: duckdb.DuckDBPyConnection) -> None:
        """Let the store load its rows."""
        self._store.load(database, "raw")


def _bytes(path: Path) -> bytes | None:
    """Return a file's content; None if it is not there, empty if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="tunebench-index-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


_RUNS = (
    "run_id VARCHAR, path VARCHAR, lab VARCHAR, suite VARCHAR, level VARCHAR, started_utc VARCHAR, "
    "ended_utc VARCHAR, complete BOOLEAN, order_utc VARCHAR, doubt VARCHAR, disagrees VARCHAR, written_s DOUBLE"
)
_BOARDS = (
    "run_id VARCHAR, board_id VARCHAR, hardware VARCHAR, firmware VARCHAR, os VARCHAR, python VARCHAR, "
    "env VARCHAR"
)


class _Run(NamedTuple):
    """A row of the table ``runs``; ``order_utc`` and what follows: see :mod:`tunebench.reports.history.clock`."""

    run_id: str
    path: str
    lab: str | None
    suite: str | None
    level: str | None
    started_utc: str | None
    ended_utc: str | None
    complete: bool
    order_utc: str
    doubt: str | None
    disagrees: str | None
    written_s: float | None


class _Board(NamedTuple):
    """A row of the table ``boards``: a hash of each tier; ``env``: of all of them together, as the probe made it."""

    run_id: str
    board_id: str
    hardware: str | None
    firmware: str | None
    os: str | None
    python: str | None
    env: object


def _fill(
    database: duckdb.DuckDBPyConnection, table: str, columns: str, rows: Sequence[Sequence[object]]
) -> None:
    database.execute(f"CREATE TABLE {table}({columns})")
    if rows:
        # Column by column in one statement: thousands of rows inserted one by one take seconds.
        names = [column.split()[0] for column in columns.split(", ")]
        kinds = [column.split()[1] for column in columns.split(", ")]
        marks = ", ".join(f"unnest(?::{kind}[]) AS {name}" for name, kind in zip(names, kinds, strict=True))
        database.execute(
            f"INSERT INTO {table} SELECT {marks}", [list(column) for column in zip(*rows, strict=True)]
        )


def _load_lines(database: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Load all lines of directories into the table ``raw``."""
    names = [str(file) for file in files if file.is_file()]
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in _COLUMNS.items())
    plain = ", ".join(
        f'"{name}"' for name, kind in _COLUMNS.items() if not kind.startswith("STRUCT") and name != "run_id"
    )
    source = (
        f"read_json(?, format='newline_delimited', columns={{{columns}}}, ignore_errors=true,"
        f" maximum_object_size={_MAX_LINE_B})"
    )
    if not names:
        # An index without records still has its table.
        names, source = (
            [],
            f"(SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in _COLUMNS.items())} LIMIT 0)",
        )
    database.execute(
        f"CREATE TABLE raw AS SELECT run_id, {plain}, energy.j_per_finetuning AS energy_j,"
        ' energy.scope AS energy_scope, energy.source AS energy_source, quality."after" AS accuracy,'
        " pmu.instructions_per_finetuning AS instructions,"
        f" prov.payload_sha256 AS payload_sha256, prov.env_sha256 AS env_sha256 FROM {source}",
        [names] if names else [],
    )


def _keep_records(database: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Keep the records of ``raw``; return their number, and that of lines that are not records."""
    complete = "rep_id IS NOT NULL AND run_id IS NOT NULL AND series_key IS NOT NULL AND outcome IS NOT NULL"
    database.execute(f"CREATE TABLE repetitions AS SELECT * FROM raw WHERE {complete}")
    damaged = _count(database, f"SELECT count(*) FROM raw WHERE NOT ({complete})")
    database.execute("DROP TABLE raw")
    return _count(database, "SELECT count(*) FROM repetitions"), damaged


def _count(database: duckdb.DuckDBPyConnection, query: str) -> int:
    row = database.execute(query).fetchone()
    return int(row[0]) if row else 0


def _read_heads(source: _Source) -> tuple[list[_Run], list[_Board], list[str]]:
    """Read plans, manifests and probes; return rows of both tables, and a warning for each file that is not readable."""
    rows: list[_Run] = []
    boards: list[_Board] = []
    warnings: list[str] = []
    for head in source.heads():
        run = _run(head)
        folder = f"{source.name}/{head.path}" if head.path != "." else source.name
        if run is None:
            warnings.append(f"{folder}/{PLAN}: not readable; the run was left out of the index")
            continue
        rows.append(run)
        warnings += [f"{folder}: {what}" for what in (run.doubt, run.disagrees) if what is not None]
        for name, data in head.files.items():
            if not (name.startswith("env/") and name.endswith(".before.json")):
                continue
            board = _board(run.run_id, data)
            if board is None:
                warnings.append(f"{folder}/{name}: not readable; the board's segment is not known")
            else:
                boards.append(board)
    ahead = clock.told_of_days_to_come({run.path: run.order_utc for run in rows})
    return rows, boards, [*warnings, *([ahead] if ahead else [])]


def _run(head: Head) -> _Run | None:
    value = _object(head.files.get(PLAN))
    if value is None:
        return None
    run_id, plan, manifest = value.get("run_id"), PlanView.of(value), _object(head.files.get(MANIFEST))
    if not isinstance(run_id, str):
        return None
    started_utc = (manifest or {}).get("started_utc") or plan.started_utc
    ended_utc = (manifest or {}).get("ended_utc")
    order_utc, doubt = clock.place(run_id, started_utc, head.written_s)
    return _Run(
        run_id=run_id,
        path=head.path,
        lab=plan.lab,
        suite=plan.suite.name,
        level=plan.suite.level,
        started_utc=started_utc if isinstance(started_utc, str) else None,
        ended_utc=ended_utc if isinstance(ended_utc, str) else None,
        complete=bool(manifest),
        order_utc=order_utc,
        doubt=doubt,
        disagrees=clock.disagreement(run_id, started_utc),
        written_s=head.written_s,
    )


def _board(run_id: str, data: bytes) -> _Board | None:
    env = _object(data)
    board_id = env.get("board_id") if env else None
    if env is None or not isinstance(board_id, str):
        return None
    fingerprint = env.get("fingerprint")
    hashes = tier_hashes(fingerprint if isinstance(fingerprint, dict) else {})
    tiers = (hashes["hardware"], hashes["firmware"], hashes["os"], hashes["python"])
    return _Board(run_id, board_id, *tiers, env.get("env_sha256"))


def _object(data: bytes | None) -> Mapping[str, object] | None:
    """Return the JSON object in a file's content; None if it holds none."""
    try:
        value = json.loads(data or b"")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


#: What may differ between two boots of one board: the kernel reserves more or less memory, cores go offline.
_VOLATILE = {"hardware": ("ram_b", "cores_online")}


def tier_hashes(fingerprint: Mapping[str, object] | None) -> dict[str, str | None]:
    """Return a short hash of each tier of a fingerprint; None for a tier that was not probed.

    >>> hashes = tier_hashes({"hardware": {"model": "Pi 5", "ram_b": 1}})
    >>> hashes == tier_hashes({"hardware": {"model": "Pi 5", "ram_b": 2}}), hashes["firmware"]
    (True, None)
    """
    hashes: dict[str, str | None] = {}
    for tier in ("hardware", "firmware", "os", "python"):
        values = (fingerprint or {}).get(tier)
        if not isinstance(values, Mapping):
            hashes[tier] = None
            continue
        lasting = {name: value for name, value in values.items() if name not in _VOLATILE.get(tier, ())}
        text = json.dumps(lasting, sort_keys=True, default=str)
        hashes[tier] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return hashes
