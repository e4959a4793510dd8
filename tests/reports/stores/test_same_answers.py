"""Folders, Parquet and PostgreSQL give one answer: index, gate, trend, calibrate, compare."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from tests.reports.campaigns import ORIN, PI5, Campaign
from tests.reports.stores.postgres_server import PostgresServer
from tunebench.harness.cli import compare
from tunebench.harness.cli import gate as gate_cli
from tunebench.harness.nightly.gate import gate
from tunebench.reports.history import decisions, index
from tunebench.reports.history.gate_text import as_json_value
from tunebench.reports.history.simulated import SimulatedLab, seal
from tunebench.reports.render import files
from tunebench.reports.stores.address import Address, address_of
from tunebench.reports.stores.columns import COLUMNS
from tunebench.reports.stores.pushing import push

KINDS = ["parquet", pytest.param("postgres", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen nights of a lab, the last of them slower, a change of firmware, a decision, and a real campaign's run."""
    root = tmp_path_factory.mktemp("lab") / "results"
    lab = SimulatedLab(boards=2, cells=2, repetitions=3, bad_nights=0.0)
    slow = {lab.series[1].key: 0.4}
    firmware = {"board-01": {"hardware": {"model": "simulated"}, "firmware": {"version": "2"}}}
    for night in range(14):
        kinds = firmware if night > 4 else None
        seal(lab.write_night(root, night, slower=slow if night == 13 else None, fingerprints=kinds))
    Campaign(boards=[PI5, ORIN], blocks=2).write(root)
    quarantine = decisions.Decision(
        t_utc="2026-01-08T00:00:00Z", who="ann", kind="quarantine", reason="fan", board_id="board-01"
    )
    decisions.append(root, quarantine)
    return root


@pytest.fixture(params=KINDS, scope="module")
def store(root: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Address:
    """The same runs in a store."""
    if request.param == "parquet":
        address = f"parquet://{tmp_path_factory.mktemp('share')}/results"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        server.sql("DROP SCHEMA IF EXISTS tunebench CASCADE")
        address = server.address
    report = push([root], address_of(address))
    assert (report.runs["added"], report.refused, report.decisions) == (15, [], 1)
    return address_of(address)


def _tables(report: index.IndexReport) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(report.path), read_only=True) as database:
        return {
            name: [
                *database.execute(f"DESCRIBE {name}").fetchall(),
                *database.execute(f"SELECT * FROM {name}").fetchall(),
            ]
            for name in ("runs", "boards", "repetitions")
        }


def _night(root: Path) -> Path:
    return root / "simulated" / "2026" / "01" / "14" / "20260114T020000Z-00000d"


def test_the_index_is_the_same_to_the_last_value_and_in_the_same_order(root, store, tmp_path):
    of_folders, of_store = index.build(root, tmp_path / "f.duckdb"), index.build(store, tmp_path / "s.duckdb")
    assert _tables(of_store) == _tables(of_folders)
    numbers = ("runs", "repetitions", "damaged")
    assert [getattr(of_store, name) for name in numbers] == [getattr(of_folders, name) for name in numbers]


def test_columns_of_a_store_are_the_indexs(root, tmp_path):
    with duckdb.connect(str(index.build(root, tmp_path / "f.duckdb").path), read_only=True) as database:
        columns = database.execute("DESCRIBE repetitions").fetchall()
    assert [(row[0], row[1]) for row in columns] == [(name, column.kind) for name, column in COLUMNS.items()]


def test_the_gates_verdict_is_the_same(root, store):
    of_folders = as_json_value(gate(_night(root), root))
    assert {finding["verdict"] for finding in of_folders["findings"]} == {"UNCLEAR", "QUARANTINED"}
    assert as_json_value(gate(_night(root), store)) == of_folders


def test_the_gate_takes_tonights_run_out_of_the_store_itself(root, store):
    runner = CliRunner()
    words = ["--run", f"{store}#{_night(root).name}", "--store"]
    of_store = runner.invoke(gate_cli.app, [*words, str(store), "--json"])
    of_folders = runner.invoke(gate_cli.app, ["--run", str(_night(root)), "--store", str(root), "--json"])
    assert of_store.exit_code == of_folders.exit_code == 3
    assert of_store.stdout == of_folders.stdout


def test_the_trend_of_a_report_is_the_same_with_what_changed_since_the_run_before(root, store, tmp_path):
    night = root / "simulated" / "2026" / "01" / "06" / "20260106T020000Z-000005"
    pages = []
    for number, place in enumerate((root, store)):
        html, _ = files.report(night, tmp_path / f"{number}.html", None, None, store=place)
        pages.append(html.read_text(encoding="utf-8"))
    assert "firmware.version" in pages[0], "the firmware changed that night"
    assert pages[0] == pages[1]


def test_a_comparison_is_the_same_and_a_run_that_is_not_there_is_named(root, store):
    runner = CliRunner()
    nights = [_night(root), _night(root).parents[1] / "13" / "20260113T020000Z-00000c"]
    of_store = runner.invoke(compare.app, [f"{store}#{night.name}" for night in nights])
    assert of_store.stdout == runner.invoke(compare.app, list(map(str, nights))).stdout
    assert of_store.exit_code == 0
    done = runner.invoke(compare.app, [f"{store}#nosuch", str(nights[0])])
    assert "holds no run nosuch; its newest are: 2026" in str(done.exception)
    same = runner.invoke(compare.app, [f"{store}#{nights[0].name}", str(nights[0])])
    assert "is the same run as" in str(same.exception)


def test_a_decision_is_written_into_the_store(root, store):
    before, _ = decisions.read(store)
    release = decisions.Decision(
        t_utc="2026-01-09T00:00:00Z", who="bob", kind="release", reason="ok", board_id="no-such-board"
    )
    decisions.append(store, release)
    assert decisions.read(store)[0] == [*before, release]
