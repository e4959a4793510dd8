"""A real PostgreSQL server as a store: overlapping writers, killed writers, a server that stops, other versions."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reports.stores.conftest import nights
from tests.reports.stores.postgres_server import PostgresServer
from tunebench.reports.history.simulated import seal
from tunebench.reports.results import ResultsError, RunReader
from tunebench.reports.results.layout import RunNotFound
from tunebench.reports.stores import postgres as module
from tunebench.reports.stores.address import address_of
from tunebench.reports.stores.errors import StoreLost
from tunebench.reports.stores.pushing import push
from tunebench.reports.stores.store import opened

#: Stands still in the middle of a run's transaction, when its rows are copied, until a file is there.
PAUSED = """
import sys, time
from pathlib import Path
from tunebench.reports.stores import postgres

check, marks = postgres.Store._check, Path(sys.argv.pop())

def paused(self, run):
    if run.run_id.endswith("2"):
        (marks / "copied").touch()
        for _ in range(600):
            if (marks / "go").exists():
                break
            time.sleep(0.05)
    check(self, run)

postgres.Store._check = paused
from tunebench.harness.cli.app import main
main()
"""


def _counts(server: PostgresServer) -> tuple[int, int, int]:
    """Runs, lines and different repetitions on the server."""
    ((runs,),) = server.sql("SELECT count(*) FROM tunebench.runs")
    ((lines, different),) = server.sql(
        "SELECT count(*), count(DISTINCT (of_run, rep_id)) FROM tunebench.repetitions"
    )
    return runs, lines, different


def _push(address: str, folders: list[Path]) -> None:
    push(folders, address_of(address))


@pytest.mark.slow
def test_four_overlapping_writers_leave_every_run_once_and_a_repeat_changes_nothing(postgres, tmp_path):
    folders = nights(tmp_path / "results", 12)
    orders = [folders, folders[::-1], folders[6:] + folders[:6], folders[::2] + folders[1::2]]
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_push, args=(postgres.address, order)) for order in orders]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert _counts(postgres) == (12, 216, 216)
    assert push(folders, address_of(postgres.address)).runs == {"there": 12}
    assert _counts(postgres) == (12, 216, 216)


@pytest.fixture
def paused_writer(
    postgres: PostgresServer, runs: list[Path], tmp_path: Path
) -> Callable[[], subprocess.Popen[str]]:
    """Start a writer that stands still in the middle of its third run."""

    def start() -> subprocess.Popen[str]:
        root = runs[0].parents[4]
        writer = subprocess.Popen(
            [sys.executable, "-c", PAUSED, "push", postgres.address, str(root), str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(600):
            if (tmp_path / "copied").exists():
                return writer
            time.sleep(0.1)
        writer.kill()
        raise AssertionError(writer.communicate(timeout=10))

    return start


@pytest.mark.slow
def test_a_writer_killed_in_mid_transaction_leaves_whole_runs_and_a_repeat_brings_the_others(
    postgres, runs, paused_writer
):
    writer = paused_writer()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait(30)
    writer.stdout.close()
    writer.stderr.close()
    assert _counts(postgres) == (2, 36, 36)
    assert push(runs, address_of(postgres.address)).runs == {"there": 2, "added": 2}
    assert _counts(postgres) == (4, 72, 72)


@pytest.mark.slow
def test_a_server_that_stops_at_once_ends_the_push_with_4_and_loses_no_whole_run(
    postgres, runs, paused_writer, tmp_path
):
    writer = paused_writer()
    postgres.stop_at_once()
    (tmp_path / "go").touch()
    _, stderr = writer.communicate(timeout=60)
    assert writer.returncode == 4, stderr
    assert "push again when the server is back" in stderr and "Traceback" not in stderr
    with pytest.raises(StoreLost, match="PostgreSQL: "), opened(address_of(postgres.address)):
        pass
    postgres.start()
    assert _counts(postgres) == (2, 36, 36)
    assert push(runs, address_of(postgres.address)).runs == {"there": 2, "added": 2}
    assert _counts(postgres) == (4, 72, 72)


@pytest.mark.slow
def test_rows_that_do_not_match_the_manifest_are_rolled_back(postgres, runs, monkeypatch):
    copy = module.Store._copy

    def short(self, run):
        copy(self, run)
        self._connection.execute("DELETE FROM tunebench.repetitions WHERE line_no = 5")

    monkeypatch.setattr(module.Store, "_copy", short)
    report = push(runs[:1], address_of(postgres.address))
    assert "17 repetitions in 17 lines arrived, its manifest counts 18; rolled back" in report.refused[0]
    assert _counts(postgres) == (0, 0, 0)


@pytest.mark.slow
def test_lines_and_decisions_come_back_and_a_changed_digest_is_refused(postgres, runs):
    address, root = address_of(postgres.address), runs[0].parents[4]
    reps = runs[0] / "reps.jsonl"
    hostile = json.loads(reps.read_text().splitlines()[0]) | {
        "rep_id": 'tab\there \\N nul\x00 quo"te, \ud800 ü'
    }
    reps.write_bytes(b'{"torn\n\xff\xfe\n\n' + json.dumps(hostile).encode() + b"\n" + reps.read_bytes())
    seal(runs[0])
    late, early = '{"t_utc": "2026-02-01T00:00:00Z"}', '{"t_utc": "2026-01-01T00:00:00Z"}'
    (root / "decisions.jsonl").write_text(f"{late}\n{early}\n")
    assert push([root], address).decisions == 2
    assert push([root], address).decisions == 0
    with opened(address) as store:
        assert store.lines(runs[0].name) == reps.read_bytes()
        assert store.decisions() == [early, late]
        assert [head.path.rpartition("/")[2] for head in store.heads()] == [run.name for run in runs]
    manifest = json.loads((runs[1] / "run.json").read_text())
    (runs[1] / "run.json").write_text(json.dumps({**manifest, "tunebench": "9"}))
    assert f"has another run {runs[1].name}" in push([root], address).refused[0]
    assert RunReader(runs[1]).complete


@pytest.mark.slow
def test_an_older_schema_is_brought_up_to_date_by_a_push_and_a_newer_one_refused(postgres, runs, monkeypatch):
    address, newest = address_of(postgres.address), module.migrations()
    with opened(address) as store, pytest.raises(RunNotFound, match="tunebench push 'postgres:///"):
        store.heads()
    monkeypatch.setattr(module, "migrations", lambda: newest[:1])
    push(runs[:2], address)
    monkeypatch.undo()
    with (
        opened(address) as store,
        pytest.raises(ResultsError, match="version 1, this tunebench reads 2: `tunebe"),
    ):
        store.heads()
    assert push(runs, address).runs == {"there": 2, "added": 2}
    assert postgres.sql("SELECT version FROM tunebench.schema_version ORDER BY 1") == [(1,), (2,)]
    postgres.sql("INSERT INTO tunebench.schema_version VALUES (3)")
    for use in (lambda store: store.heads(), lambda store: store.prepare()):
        with (
            opened(address) as store,
            pytest.raises(ResultsError, match="version 3, this tunebench knows 2: pip"),
        ):
            use(store)


def test_without_psycopg_one_sentence_has_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with (
        pytest.raises(ResultsError, match=r"pip install 'tunebench\[postgres\]'"),
        opened(address_of("postgres://lab/bench")),
    ):
        pass


def test_the_packages_of_the_extras_are_imported_only_where_they_are_used():
    program = (
        "import sys; from tunebench.reports.history import index; from tunebench.reports.exports import registry;"
        "from tunebench.reports.stores import pushing; print({'psycopg', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"
