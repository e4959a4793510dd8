"""A PostgreSQL server: one transaction a run, tables in the schema ``tunebench``.

The package psycopg (extra ``postgres``) is needed here and nowhere else. Credentials are the library's own: ``PG...``
variables, ``~/.pgpass``, a service file.
"""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files as package_files
from typing import Any

import duckdb

from tunebench.reports.results.layout import ResultsError, RunNotFound
from tunebench.reports.stores.address import Address
from tunebench.reports.stores.columns import COLUMNS, WHOLE
from tunebench.reports.stores.decision_lines import by_date
from tunebench.reports.stores.errors import StoreLost, first_line
from tunebench.reports.stores.sealed import Head, SealedRun
from tunebench.reports.stores.store import Pushed, joined, order_of, verdict_on

#: Key of the advisory lock under which tables are made and changed: any number that nobody else takes.
_MIGRATION_LOCK = 0x74756E65
_CONNECT_S = 10
#: SQLSTATE classes of a server that goes or is not there: connection exception, operator intervention, resources.
_LOST = ("08", "57P", "53")
#: What the server or its library says to a user whom it does not let in, which is no loss of the server.
_REFUSED = (
    "password",
    "no pg_hba.conf entry",
    "does not exist",
    "definition of service",
    "authentication failed",
)


def migrations() -> list[str]:
    """Return the SQL of each version, from version 1 on."""
    folder = package_files("tunebench.reports.stores") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]


class Store:
    """A server as a store (:class:`tunebench.reports.stores.store.Store`)."""

    def __init__(self, address: Address) -> None:
        self._name = address.text
        self._quoted = shlex.quote(address.text)
        try:
            import psycopg
        except ImportError:
            raise ResultsError(
                f"{self._name}: PostgreSQL's package psycopg is not installed: pip install 'tunebench[postgres]'"
            ) from None
        self._psycopg: Any = psycopg
        with self._reached():
            self._connection: Any = psycopg.connect(
                address.text, autocommit=True, connect_timeout=_CONNECT_S, application_name="tunebench"
            )

    def prepare(self) -> None:
        """Make or update the tables, one host at a time: the others wait for the lock and find it done."""
        newest = len(migrations())
        with self._reached():
            if self._version() < newest:
                with self._connection.transaction():
                    self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
                    self._connection.execute("CREATE SCHEMA IF NOT EXISTS tunebench")
                    self._connection.execute(
                        "CREATE TABLE IF NOT EXISTS tunebench.schema_version"
                        " (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
                    )
                    for number in range(self._version() + 1, newest + 1):
                        self._connection.execute(migrations()[number - 1])
                        self._connection.execute("INSERT INTO tunebench.schema_version VALUES (%s)", [number])
            self._refuse_newer(self._version())

    def digest(self, run_id: str) -> str | None:
        """Return the digest that the server has."""
        with self._reached():
            row = self._connection.execute(
                "SELECT digest FROM tunebench.runs WHERE run_id = %s", [run_id]
            ).fetchone()
        return None if row is None else str(row[0])

    def push(self, run: SealedRun) -> Pushed:
        """Store a run in one transaction; another host that pushes the same run waits for its end."""
        with self._reached(), self._connection.transaction():
            verdict: Pushed = "added"
            if not self._insert_run(run):
                row = self._connection.execute(
                    "SELECT lab, digest, earlier FROM tunebench.runs WHERE run_id = %s FOR UPDATE",
                    [run.run_id],
                ).fetchone()
                if row is None:  # somebody takes it out at this moment
                    raise StoreLost(f"{self._name}: run {run.run_id} was removed meanwhile; push again")
                lab, digest, earlier = row
                verdict = verdict_on(run, lab, digest, earlier, self._name)
                if verdict != "extended":
                    return verdict
                self._connection.execute("DELETE FROM tunebench.runs WHERE run_id = %s", [run.run_id])
                self._insert_run(run)
            self._copy(run)
            self._check(run)
        return verdict

    def push_decisions(self, lines: Sequence[str]) -> int:
        """Add decisions in one transaction, in their order."""
        added = 0
        with self._reached(), self._connection.transaction():
            for line in lines:
                digest = hashlib.sha256(line.encode()).hexdigest()
                added += self._connection.execute(
                    "INSERT INTO tunebench.decisions (line_sha256, line) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    [digest, line],
                ).rowcount
        return added

    def decisions(self) -> list[str]:
        """Return the decisions of all hosts."""
        self._readable()
        with self._reached():
            rows = self._connection.execute("SELECT line FROM tunebench.decisions ORDER BY number").fetchall()
        return by_date(line for (line,) in rows)

    def heads(self) -> list[Head]:
        """Read every run's small files."""
        self._readable()
        with self._reached():
            runs = self._connection.execute("SELECT run_id, path, written_s FROM tunebench.runs").fetchall()
            files: dict[str, dict[str, bytes]] = {run_id: {} for run_id, _, _ in runs}
            for run_id, name, content in self._connection.execute(
                "SELECT run_id, name, content FROM tunebench.files"
            ):
                files.setdefault(run_id, {})[name] = bytes(content)
        if not runs:
            raise RunNotFound(f"{self._name}: holds no run; `tunebench push {self._quoted}` brings some")
        heads = [Head(path, files[run_id], written_s) for run_id, path, written_s in runs]
        return sorted(heads, key=lambda head: order_of(head.path))

    def load(self, database: duckdb.DuckDBPyConnection, table: str) -> None:
        """Make a table of all repetitions: the server writes CSV, DuckDB reads it with the types that it had."""
        self._readable()
        names = ", ".join(f'r."{name}"' for name in COLUMNS)
        query = (
            f"COPY (SELECT {names} FROM tunebench.repetitions r JOIN tunebench.runs u ON u.run_id = r.of_run"
            r""" ORDER BY u.place COLLATE "C", r.of_run COLLATE "C", r.line_no) TO STDOUT (FORMAT csv, NULL '\N')"""
        )
        types = ", ".join(f"'{name}': '{column.kind}'" for name, column in COLUMNS.items())
        with tempfile.NamedTemporaryFile(prefix="tunebench-", suffix=".csv") as file:
            with self._reached(), self._connection.cursor().copy(query) as copy:
                for data in copy:
                    file.write(data)
            file.flush()
            database.execute(
                f"CREATE TABLE {table} AS SELECT * FROM read_csv(?, header=false, auto_detect=false, delim=',',"
                rf""" quote='"', escape='"', nullstr='\N', allow_quoted_nulls=false, columns={{{types}}})""",
                [file.name],
            )

    def lines(self, run_id: str) -> bytes:
        """Return a run's lines."""
        self._readable()
        with self._reached():
            run = self._connection.execute(
                "SELECT torn FROM tunebench.runs WHERE run_id = %s", [run_id]
            ).fetchone()
            if run is None:
                raise RunNotFound(f"{self._name}: holds no run {run_id}")
            rows = self._connection.execute(
                "SELECT record::text, raw FROM tunebench.repetitions WHERE of_run = %s ORDER BY line_no",
                [run_id],
            ).fetchall()
        return joined(
            (bytes(raw) if record is None else record.encode() for record, raw in rows), bytes(run[0])
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _insert_run(self, run: SealedRun) -> bool:
        """Insert the row of a run; return False if its id is there. Waits while another host is inserting it."""
        added: int = self._connection.execute(
            "INSERT INTO tunebench.runs (run_id, lab, digest, earlier, path, place, written_s, torn, repetitions)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                run.run_id, run.lab, run.digest, list(run.earlier), run.head.path, "/".join(order_of(run.head.path)),
                run.head.written_s, run.torn, run.expected,
            ],
        ).rowcount  # fmt: skip
        return added == 1

    def _copy(self, run: SealedRun) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO tunebench.files VALUES (%s, %s, %s)",
                [(run.run_id, name, data) for name, data in run.head.files.items()],
            )
            names = ", ".join(f'"{name}"' for name in ("of_run", "line_no", *COLUMNS, "record", "raw"))
            with cursor.copy(f"COPY tunebench.repetitions ({names}) FROM STDIN") as copy:
                for number, line in enumerate(run.lines, start=1):
                    copy.write_row((run.run_id, number, *line.values, line.record, line.raw))

    def _check(self, run: SealedRun) -> None:
        complete = " AND ".join(f"{name} IS NOT NULL" for name in WHOLE)
        lines, records = self._connection.execute(
            f"SELECT count(*), count(DISTINCT rep_id) FILTER (WHERE {complete}) FROM tunebench.repetitions"
            " WHERE of_run = %s",
            [run.run_id],
        ).fetchone()
        if (lines, records) != (len(run.lines), run.expected):
            raise ResultsError(
                f"{self._name}: run {run.run_id}: {records} repetitions in {lines} lines arrived, its manifest counts"
                f" {run.expected}; rolled back, nothing of it was kept"
            )

    def _version(self) -> int:
        (there,) = self._connection.execute(
            "SELECT to_regclass('tunebench.schema_version') IS NOT NULL"
        ).fetchone()
        if not there:
            return 0
        (version,) = self._connection.execute(
            "SELECT coalesce(max(version), 0) FROM tunebench.schema_version"
        ).fetchone()
        return int(version)

    def _refuse_newer(self, version: int) -> None:
        newest = len(migrations())
        if version > newest:
            raise ResultsError(
                f"{self._name}: its tables are of version {version}, this tunebench knows {newest}: pip install --upgrade"
                " tunebench on this host"
            )

    def _readable(self) -> None:
        """Refuse a server whose tables are not of this version.

        Raises:
            RunNotFound: it has none.
            ResultsError: they are older or newer; the message says what to do.
        """
        with self._reached():
            version = self._version()
        if version == 0:
            raise RunNotFound(
                f"{self._name}: holds no results of tunebench; `tunebench push {self._quoted}` makes its tables"
            )
        if version < len(migrations()):
            raise ResultsError(
                f"{self._name}: its tables are of version {version}, this tunebench reads {len(migrations())}:"
                f" `tunebench push {self._quoted}` brings them up to date"
            )
        self._refuse_newer(version)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Tell a server that is not there, or went away, from a mistake; no message of ours holds a password."""
        try:
            yield
        except (self._psycopg.OperationalError, self._psycopg.InterfaceError) as error:
            state = error.sqlstate or ""
            message = f"{self._name}: PostgreSQL: {first_line(error)}"
            if state and not state.startswith(_LOST):
                raise ResultsError(message) from error
            if any(word in str(error) for word in _REFUSED):
                raise ResultsError(
                    f"{message}. Credentials come from PGUSER and PGPASSWORD, from ~/.pgpass (chmod 600), or from a"
                    " service file (postgres:///?service=NAME)"
                ) from error
            raise StoreLost(
                f"{message}; no run is there by half, push again when the server is back"
            ) from error
        except self._psycopg.Error as error:
            raise ResultsError(f"{self._name}: PostgreSQL: {first_line(error)}") from error
