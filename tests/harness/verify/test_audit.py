"""``tunebench verify``: every change in a finished run is found, with its file and line."""

import json

import pytest
from typer.testing import CliRunner

from tests.reports.campaigns import Campaign
from tunebench.harness.cli.app import app
from tunebench.harness.verify import audit
from tunebench.reports.results.files import sha256_file


@pytest.fixture
def demo_run(tmp_path):
    """A finished run of the suite demo, as the real writer stores it."""
    return Campaign().write(tmp_path / "results")


@pytest.fixture
def change(demo_run):
    """Change one record (or the plan, or the manifest) and make the checksums anew, as a careful forger would."""

    def apply(edit, name="reps.jsonl"):
        path = demo_run / name
        if name == "reps.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            edit(rows)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            value = json.loads(path.read_text())
            edit(value)
            path.write_text(json.dumps(value))
        manifest = json.loads((demo_run / "run.json").read_text())
        manifest["files"] = {name: sha256_file(demo_run / name) for name in manifest["files"]}
        (demo_run / "run.json").write_text(json.dumps(manifest))
        return {(discrepancy.code, discrepancy.file, discrepancy.line) for discrepancy in audit(demo_run)}

    return apply


def test_a_run_as_it_was_written_has_no_findings(demo_run):
    assert audit(demo_run) == []


def test_the_command_says_so_and_ends_with_0(demo_run):
    done = CliRunner().invoke(app, ["verify", str(demo_run)])
    assert done.exit_code == 0
    assert "nothing is wrong" in done.output


def test_one_flipped_byte_is_named_by_its_file_and_ends_with_1(demo_run):
    path = next((demo_run / "log").iterdir())
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = CliRunner().invoke(app, ["verify", str(demo_run), "--json"])
    value = json.loads(done.output)
    assert done.exit_code == 1
    assert not value["ok"]
    assert {(discrepancy["code"], discrepancy["file"]) for discrepancy in value["findings"]} >= {
        ("checksum", f"log/{path.name}")
    }


def test_no_run_is_a_mistake_in_what_was_asked(tmp_path):
    assert "no run" in str(CliRunner().invoke(app, ["verify", str(tmp_path)]).exception)


def test_files_that_vanished_or_came_later_are_found(demo_run):
    next((demo_run / "trace").iterdir()).unlink()
    (demo_run / "notes.txt").write_text("x")
    assert {"missing-file", "unlisted-file", "side-file"} <= {
        discrepancy.code for discrepancy in audit(demo_run)
    }


def test_an_unfinished_run_is_no_finished_run(demo_run):
    (demo_run / "run.json").unlink()
    assert "incomplete" in {discrepancy.code for discrepancy in audit(demo_run)}


def test_a_line_that_is_no_record_is_named(change):
    assert ("schema", "reps.jsonl", 3) in change(lambda rows: rows[2].pop("outcome"))


def test_a_repetition_left_out_is_missed(change):
    assert {("not-measured", "plan.json", None), ("counts", "run.json", None)} <= change(
        lambda rows: rows.pop(4)
    )


def test_a_repetition_recorded_twice_is_found(change):
    assert ("doubled", "reps.jsonl", 5) in change(lambda rows: rows.insert(4, rows[3]))


def test_a_record_that_nobody_planned_is_found(change):
    assert ("not-planned", "reps.jsonl", 1) in change(lambda rows: rows[0].update(rep_id="other"))


def test_blocks_that_were_not_interleaved_are_found(change):
    def by_method(rows):
        rows.sort(key=lambda row: (row["role"], row["label"], row["block"]))

    assert "order" in {code for code, _, _ in change(by_method)}


def test_the_same_order_in_every_block_is_no_random_order(change):
    def in_one_order(rows):
        timed = [row for row in rows if row["role"] == "timed"]
        timed.sort(key=lambda row: (row["block"], row["label"]))
        for row in timed:
            row["slot"] = sorted({row["label"] for row in timed}).index(row["label"])
        rows[:] = timed

    assert "not-random" in {code for code, _, _ in change(in_one_order)}


def test_a_comparison_without_its_control_is_found(change):
    assert "no-control" in {
        code for code, _, _ in change(lambda rows: [row.update(aa_control=False) for row in rows])
    }


def test_two_seeds_in_a_block_are_found(change):
    assert ("seed", "reps.jsonl", 2) in change(lambda rows: rows[1].update(seed=99))


@pytest.mark.parametrize(
    ("forgery", "fields", "code"),
    [
        ("a failure called valid", {"outcome": "oom"}, "verdict"),
        ("a clock bound over 1%", {"clock_offset": {"offset_s": 0, "bound_s": 9.0}}, "verdict"),
        ("a negative clock bound", {"clock_offset": {"offset_s": 0, "bound_s": -1.0}}, "clock"),
        ("a reason taken out", {"reasons": []}, "verdict"),
        ("another duration than the marks say", {"wall_s": 0.5}, "window"),
        ("no window at all", {"wall_s": None}, "verdict"),
        ("a sampler that slept", {"sampler": {"period_s": 0.2, "n": 30, "max_gap_s": 7.0}}, "verdict"),
    ],
)
def test_a_better_verdict_than_the_record_bears_is_found(change, forgery, fields, code):
    assert (code, "reps.jsonl", 2) in change(lambda rows: rows[1].update(fields)), forgery


@pytest.mark.parametrize("finish", [True, False])
def test_of_a_run_without_records_nobody_says_that_nothing_is_wrong(tmp_path, finish):
    path = Campaign(methods=[], finish=finish).write(tmp_path / "results")
    done = CliRunner().invoke(app, ["verify", str(path)])
    assert done.exit_code == 1
    assert "nothing is wrong" not in done.output
    assert "holds no record" in done.output
    value = json.loads(CliRunner().invoke(app, ["verify", str(path), "--json"]).output)
    assert (value["ok"], value["records"]) == (False, 0)
    assert "empty" in {finding["code"] for finding in value["findings"]}


def test_a_run_that_is_right_says_how_much_was_looked_through(demo_run):
    done = CliRunner().invoke(app, ["verify", str(demo_run)])
    assert "19 records looked through, nothing is wrong" in done.output
