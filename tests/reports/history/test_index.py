"""The index: a cache of what the files say, whatever state they are in."""

from __future__ import annotations

import json

import duckdb
import pytest

from tunebench.reports.history import decisions, index
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.series import all_series, nights, opened, usable
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.results import ResultsError, RunNotFound, RunReader, layout


@pytest.fixture
def lab():
    return SimulatedLab(boards=2, cells=2, repetitions=5, bad_nights=0.0)


@pytest.fixture
def store(tmp_path, lab):
    for night in range(4):
        lab.write_night(tmp_path, night)
    return tmp_path


def nights_of_first(store, lab, **kwargs):
    report = index.build(store)
    with opened(report.path) as database:
        return nights(database, lab.series[0].key, **kwargs)


def test_the_simulated_runs_are_read_by_the_same_reader_as_real_ones(store):
    folder = layout.run_folders(store)[0]
    reader = RunReader(folder)
    assert reader.warnings == []
    assert len(reader.repetitions) == 20


def test_the_index_holds_every_repetition_of_every_run(store):
    report = index.build(store)
    assert (report.runs, report.repetitions, report.damaged, report.warnings) == (4, 80, 0, [])


def test_a_night_is_the_median_of_its_valid_repetitions(store, lab):
    history = nights_of_first(store, lab)
    reader = RunReader(layout.run_folders(store)[0])
    values = sorted(rep.wall_s for rep in reader.repetitions if rep.series_key == lab.series[0].key)
    assert history[0].value == pytest.approx(values[2])
    assert (history[0].low, history[0].high, history[0].n, history[0].segment) == (values[0], values[4], 5, 0)
    assert [night.t_utc for night in history] == sorted(night.t_utc for night in history)


def test_deleting_the_index_loses_nothing(store):
    first = index.build(store)
    first.path.unlink()
    assert index.build(store).repetitions == first.repetitions


def test_torn_and_foreign_lines_are_counted_and_left_out(store):
    file = layout.run_folders(store)[0] / "reps.jsonl"
    text = file.read_text()
    file.write_text("rubbish\n" + text + '{"rep_id": "torn", "run_')
    report = index.build(store)
    assert (report.repetitions, report.damaged) == (80, 2)


def test_an_unreadable_plan_leaves_out_its_run_and_says_so(store):
    folder = layout.run_folders(store)[1]
    (folder / "plan.json").write_text("{")
    report = index.build(store)
    assert "plan.json: not readable" in report.warnings[0]


def test_an_unreadable_environment_is_named(store):
    file = next((layout.run_folders(store)[0] / "env").glob("*.json"))
    file.write_text("[]")
    assert file.name in index.build(store).warnings[0]


def test_invalid_repetitions_do_not_count(store, lab):
    folder = layout.run_folders(store)[0]
    lines = [json.loads(line) for line in (folder / "reps.jsonl").read_text().splitlines()]
    for line in lines[:3]:
        line["verdict"] = "invalid"
    (folder / "reps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first = nights_of_first(store, lab)[0]
    assert (first.value, first.n, first.n_all) == (None, 2, 5)


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(RunNotFound, match=r"holds no run \(looked for plan\.json"):
        index.build(tmp_path)


def test_no_index_foreign_files_and_other_versions_say_what_to_do(tmp_path, store):
    with pytest.raises(ResultsError, match="build one with `tunebench index"), opened(tmp_path / "none"):
        pass
    (tmp_path / "x.duckdb").write_bytes(b"no database at all" * 100)
    with pytest.raises(ResultsError, match="delete it and build it anew"), opened(tmp_path / "x.duckdb"):
        pass
    report = index.build(store)
    with duckdb.connect(str(report.path)) as database:
        database.execute("UPDATE meta SET version = 99")
    with pytest.raises(ResultsError, match="another version"), opened(report.path):
        pass


# -- segments ---------------------------------------------------------------------------------


def hardware(model="a", firmware="1", kernel="6.1"):
    return {
        "hardware": {"model": model, "ram_b": 1},
        "firmware": {"version": firmware},
        "os": {"kernel": kernel},
    }


@pytest.mark.parametrize(
    ("change", "opens"),
    [
        ({"model": "b"}, "hardware changed"),
        ({"firmware": "2"}, "firmware changed"),
        ({"model": "b", "firmware": "2"}, "hardware and firmware changed"),
    ],
)
def test_a_change_of_hardware_or_firmware_opens_a_segment(tmp_path, lab, change, opens):
    boards = {series.board_id for series in lab.series}
    lab.write_night(tmp_path, 0, fingerprints=dict.fromkeys(boards, hardware()))
    lab.write_night(tmp_path, 1, fingerprints=dict.fromkeys(boards, hardware(**change)))
    lab.write_night(tmp_path, 2, fingerprints=dict.fromkeys(boards, hardware(**change)))
    history = nights_of_first(tmp_path, lab)
    assert [(night.segment, night.opened_by) for night in history] == [(0, None), (1, opens), (1, None)]


def test_a_new_kernel_is_marked_and_opens_nothing(tmp_path, lab):
    boards = {series.board_id for series in lab.series}
    lab.write_night(tmp_path, 0, fingerprints=dict.fromkeys(boards, hardware()))
    lab.write_night(tmp_path, 1, fingerprints=dict.fromkeys(boards, hardware(kernel="6.6")))
    last = nights_of_first(tmp_path, lab)[-1]
    assert (last.segment, last.marks) == (0, ("operating system changed",))


def test_memory_that_the_kernel_reserves_is_not_the_boards_identity(tmp_path, lab):
    boards = {series.board_id for series in lab.series}
    more = hardware()
    more["hardware"]["ram_b"] = 2
    lab.write_night(tmp_path, 0, fingerprints=dict.fromkeys(boards, hardware()))
    lab.write_night(tmp_path, 1, fingerprints=dict.fromkeys(boards, more))
    assert nights_of_first(tmp_path, lab)[-1].segment == 0


def test_an_accepted_change_opens_a_segment_of_its_series_only(store, lab):
    made = Decision(t_utc="2026-01-02T12:00:00Z", who="ann", kind="accept", reason="new kernels",
                    series_key=lab.series[0].key)  # fmt: skip
    report = index.build(store)
    with opened(report.path) as database:
        ours = nights(database, lab.series[0].key, decisions=[made])
        other = nights(database, lab.series[1].key, decisions=[made])
    assert [night.segment for night in ours] == [0, 0, 1, 1]
    assert ours[2].opened_by == "the change was accepted"
    assert {night.segment for night in other} == {0}


def test_usable_nights_are_of_the_same_segment_and_before_the_run(store, lab):
    made = [
        Decision(
            t_utc="2026-01-02T12:00:00Z", who="ann", kind="accept", reason="x", series_key=lab.series[0].key
        ),
        Decision(
            t_utc="2026-01-04T00:00:00Z", who="ann", kind="quarantine", reason="fan", board_id="board-00"
        ),
    ]
    history = nights_of_first(store, lab, decisions=made)
    assert [night.run_id for night in usable(history)] == [history[2].run_id]
    assert history[3].excluded == "board in quarantine: fan"
    assert usable(history, before_run=history[2].run_id) == []


def test_a_series_has_its_board_task_label_and_role_and_a_name_of_them(store, lab):
    with opened(index.build(store).path) as database:
        series = all_series(database)[0]
    assert (series.board_id, series.task, series.label, series.role) == (
        "board-00",
        "simulated/mlp",
        "ft-all",
        "timed",
    )
    assert series.name == "board-00 / simulated/mlp / ft-all"


# -- decisions --------------------------------------------------------------------------------


def decision(**fields):
    return Decision(
        **({"t_utc": decisions.now_utc(), "who": "ann", "kind": "note", "reason": "why"} | fields)
    )


def test_decisions_are_kept_in_order_and_survive_a_torn_line(tmp_path):
    decisions.append(tmp_path, decision(reason="one"))
    with (tmp_path / "decisions.jsonl").open("a") as file:
        file.write('{"schema": "tunebench.deci')
    decisions.append(tmp_path, decision(reason="two"))
    made, warnings = decisions.read(tmp_path)
    assert [decision.reason for decision in made] == ["one", "two"]
    assert "line 2 was left out" in warnings[0]


@pytest.mark.parametrize(
    "line", ["[]", '{"schema": "other/1"}', '{"schema": "tunebench.decision/1", "kind": "?"}']
)
def test_lines_that_are_no_decision_are_named(tmp_path, line):
    (tmp_path / "decisions.jsonl").write_text(line + "\n")
    made, warnings = decisions.read(tmp_path)
    assert made == []
    assert "line 1 was left out" in warnings[0]


def test_no_decisions_are_no_warning(tmp_path):
    assert decisions.read(tmp_path) == ([], [])


def test_a_quarantine_ends_with_its_release():
    made = [
        decision(kind="quarantine", board_id="b", t_utc="2026-01-01T00:00:00Z"),
        decision(kind="release", board_id="b", t_utc="2026-01-05T00:00:00Z"),
    ]
    assert decisions.quarantined(made, "b", "2026-01-03T00:00:00Z") == made[0]
    assert decisions.quarantined(made, "b", "2026-01-06T00:00:00Z") is None
    assert decisions.quarantined(made, "other", "2026-01-03T00:00:00Z") is None
