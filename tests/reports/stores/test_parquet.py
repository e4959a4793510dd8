"""A folder of Parquet files as a store: whole runs, each once, whoever pushes them and how often."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from tunebench.harness.cli import push as cli
from tunebench.reports.history.simulated import SimulatedLab, seal
from tunebench.reports.results import ResultsError
from tunebench.reports.results.layout import RunNotFound
from tunebench.reports.stores.address import address_of
from tunebench.reports.stores.pushing import push
from tunebench.reports.stores.store import opened


@pytest.fixture
def share(tmp_path: Path):
    """The address of a store that does not exist yet."""
    return address_of(f"parquet://{tmp_path}/share")


def _files(address) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(address.folder.rglob("*")) if path.is_file()}


def test_a_pushed_run_can_be_read_by_any_tool_and_repeating_it_changes_nothing(runs, share):
    report = push([runs[0].parents[4]], share)
    assert (report.runs["added"], report.repetitions) == (4, 4 * 18)
    before = _files(share)
    assert push([runs[0].parents[4]], share).runs == {"there": 4}
    assert _files(share) == before
    with duckdb.connect() as database:
        query = f"SELECT count(*), count(DISTINCT rep_id || run_id) FROM '{share.folder}/*/*.parquet' WHERE file IS NULL"
        assert database.execute(query).fetchone() == (72, 72)


def test_lines_come_back_byte_for_byte_also_those_that_are_no_records(runs, share):
    reps = runs[0] / "reps.jsonl"
    reps.write_bytes(b'{"torn\n\xff\xfe\n[1]\n{"a": NaN}\n' + reps.read_bytes())
    seal(runs[0])
    push([runs[0]], share)
    with opened(share) as store:
        assert store.lines(runs[0].name) == reps.read_bytes()


def test_a_changed_digest_of_the_same_run_is_refused_and_the_stored_one_stays(runs, share):
    push(runs, share)
    before = _files(share)
    lines = (runs[1] / "reps.jsonl").read_text().splitlines()
    record = json.loads(lines[0]) | {"wall_s": 1.0}
    (runs[1] / "reps.jsonl").write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")
    seal(runs[1])
    report = push(runs, share)
    (reason,) = report.refused
    assert f"has another run {runs[1].name}" in reason and "neither was changed" in reason
    assert f"`tunebench verify {runs[1]}`" in reason
    assert report.runs["there"] == 3
    assert _files(share) == before


def test_two_labs_with_one_run_id_are_told_apart(runs, share, tmp_path):
    push(runs, share)
    other = SimulatedLab(boards=1, cells=1, lab="elsewhere").write_night(tmp_path / "other", 0)
    seal(other)
    assert "of lab 'simulated', this one is of 'elsewhere'" in push([other], share).refused[0]


def test_a_damaged_or_unsealed_run_is_refused_and_an_unfinished_one_left_out(runs, share):
    (runs[0] / "run.json").unlink()
    (runs[1] / "plan.json").write_text("{}")
    manifest = json.loads((runs[2] / "run.json").read_text())
    (runs[2] / "run.json").write_text(json.dumps({**manifest, "files": {}}))
    manifest = json.loads((runs[3] / "run.json").read_text())
    (runs[3] / "run.json").write_text(json.dumps({**manifest, "counts": {"valid": 19}}))
    report = push(runs, share)
    assert report.runs == {"unfinished": 1}
    assert [
        word for word, reason in zip(["damaged", "no checksum of plan.json", "counts 19"], report.refused, strict=True)
        if word in reason
    ] == ["damaged", "no checksum of plan.json", "counts 19"]  # fmt: skip
    assert not list(share.folder.rglob("*.parquet"))


def test_blocks_that_were_added_replace_the_run_and_the_older_state_does_not_come_back(runs, share, tmp_path):
    older = shutil.copytree(runs[0], tmp_path / "older" / runs[0].name)
    push([older], share)
    (runs[0] / "earlier").mkdir()
    shutil.copy(runs[0] / "run.json", runs[0] / "earlier" / "1.run.json")
    reps = runs[0] / "reps.jsonl"
    record = json.loads(reps.read_text().splitlines()[0]) | {"rep_id": "added", "block": 3}
    reps.write_text(reps.read_text() + json.dumps(record) + "\n")
    seal(runs[0])
    assert push([runs[0]], share).runs == {"extended": 1}
    assert push([older], share).runs == {"older": 1}
    with opened(share) as store:
        assert store.lines(runs[0].name) == reps.read_bytes()


def test_what_a_killed_writer_left_is_no_run(runs, share):
    push(runs[:1], share)
    (share.folder / "dt=2026-01" / f".{runs[1].name}.parquet.0badcafe.part").write_bytes(b"half")
    assert push(runs, share).runs == {"there": 1, "added": 3}


@pytest.mark.parametrize(
    ("version", "right"), [("2", "pip install --upgrade tunebench"), ("0", "push its run again")]
)
def test_a_file_of_another_version_is_refused_with_what_to_do(runs, share, version, right):
    push(runs, share)
    file = next(share.folder.rglob("*.parquet"))
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE t AS FROM '{file}'")
        database.execute(f"COPY t TO '{file}' (FORMAT parquet, KV_METADATA {{tunebench_store: '{version}'}})")
    with opened(share) as store, pytest.raises(ResultsError, match=right):
        store.heads()


def test_a_file_that_is_not_ours_or_is_damaged_is_named(runs, share):
    push(runs, share)
    file = share.folder / "dt=2026-01" / "x.parquet"
    file.write_bytes(b"PAR1 no")
    with opened(share) as store, pytest.raises(ResultsError, match="not readable as Parquet"):
        store.heads()
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet)")
    with opened(share) as store, pytest.raises(ResultsError, match="was not written by tunebench"):
        store.heads()


def test_an_empty_or_missing_store_says_how_it_is_filled(share):
    with opened(share) as store, pytest.raises(RunNotFound, match="tunebench push parquet:///"):
        store.heads()


def test_decisions_go_with_the_results_root_each_once_and_in_order_of_their_dates(runs, share):
    root = runs[0].parents[4]
    late, early = '{"t_utc": "2026-02-01T00:00:00Z"}', '{"t_utc": "2026-01-01T00:00:00Z"}'
    (root / "decisions.jsonl").write_text(f"{late}\n")
    assert push([root], share).decisions == 1
    (root / "decisions.jsonl").write_text(f"{late}\n{early}\n")
    assert push([root], share).decisions == 1
    with opened(share) as store:
        assert store.decisions() == [early, late]


def test_the_command_says_what_became_of_each_run_and_ends_with_2_where_one_was_refused(runs, share):
    runner = CliRunner()
    done = runner.invoke(cli.app, [str(share), str(runs[0].parents[4])])
    assert (done.exit_code, done.stdout) == (0, f"Store: {share} (4 run(s) added, 72 repetitions)\n")
    done = runner.invoke(cli.app, [str(share), str(runs[0].parents[4]), "--json"])
    assert json.loads(done.stdout)["there"] == 4
    other = shutil.copytree(runs[1].parents[4], share.folder.parent / "other")
    for plan in other.rglob("plan.json"):
        plan.write_text("{}")
        (plan.parent / "run.json").write_text((plan.parent / "run.json").read_text() + " ")
    done = runner.invoke(cli.app, [str(share), str(other)])
    assert done.exit_code == 2
    assert "plan.json: was changed or damaged after the run" in done.stderr
