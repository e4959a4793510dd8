"""What there is to see of a run that another process writes: read from its folder alone, and only what is new."""

from __future__ import annotations

import json
import math
import os

import pytest

from tests.harness.watch.conftest import TIMES_S
from tests.reports.campaigns import Campaign as Stored
from tunebench.harness.watch import view as views
from tunebench.harness.watch.view import SCHEMA, Watch
from tunebench.reports.records import Conditions
from tunebench.reports.results import ResultsError, RunReader
from tunebench.reports.summary import summarise


def test_a_run_is_seen_board_by_board_as_it_is_written(written):
    run = written("pi", "orin")
    watch = Watch(run.path)
    first = watch.look()
    assert (first.state, first.recorded, first.planned, first.left_s) == ("running", 0, 12, None)
    assert [board.now for board in first.boards] == ["digits/mlp ft-all block 0"] * 2
    hot = Conditions(temp_start_c=41.0, temp_max_c=71.0, temp_end_c=63.0)
    run.add("pi", "ft-all", 0, 2.0, conditions=hot)
    run.add("pi", "lora", 0, 1.0, conditions=Conditions(temp_end_c=58.0))
    second = watch.look()
    pi, orin = second.boards
    assert (pi.done, pi.planned, pi.now) == (2, 6, "digits/mlp ft-all block 1")
    assert (pi.temp_c, pi.temp_max_c) == (58.0, 71.0)
    assert pi.left_s == 40.0, "four to go at ten seconds each"
    assert second.left_s is None, "nothing is known of the other board yet"
    assert pi.last[0].startswith("digits/mlp lora block 0: 1.000 s") and pi.last[0].endswith("[valid]")
    assert (orin.done, orin.temp_c, orin.last) == (0, None, ())
    assert watch.lines == [f"pi: {line}" for line in reversed(pi.last)]
    assert watch.look() == second and watch.lines == [], "nothing new, nothing told"


def test_speed_ups_form_pair_by_pair_with_the_estimator_of_the_report(written):
    run = written("pi")
    watch = Watch(run.path)
    seen = []
    for block, (base_s, lora_s) in enumerate(TIMES_S):
        run.add("pi", "ft-all", block, base_s)
        assert [speed.pairs for speed in watch.look().speed_ups] == [block] * min(block, 1)
        run.add("pi", "lora", block, lora_s)
        (speed,) = watch.look().speed_ups
        seen.append((speed.pairs, round(speed.factor, 3)))
    # Hodges-Lehmann of the logs of 2, 4 and 2.5: the median of all means of two, here of 2 and 4 with itself aside.
    walsh = sorted((a + b) / 2 for i, a in enumerate(logs()) for b in logs()[i:])
    expected = math.exp((walsh[2] + walsh[3]) / 2)
    assert seen == [(1, 2.0), (2, round(math.sqrt(8), 3)), (3, round(expected, 3))]
    assert (speed.label, speed.baseline, speed.task) == ("lora", "ft-all", "digits/mlp")


def logs() -> list[float]:
    return [math.log(base_s / lora_s) for base_s, lora_s in TIMES_S]


def test_of_a_finished_run_the_estimates_are_those_of_its_report(tmp_path):
    path = Stored(blocks=6).write(tmp_path)
    view = Watch(path).look()
    assert view.state == "complete" and view.left_s is None
    told = {row.label: row.speed_up.factor for row in summarise(RunReader(path)).rows if row.speed_up}
    seen = {speed.label: speed.factor for speed in view.speed_ups}
    assert seen == pytest.approx({label: told[label] for label in seen}, rel=1e-9)
    assert len(seen) == 4


def test_what_does_not_count_makes_no_speed_up(written):
    run = written("pi")
    run.add("pi", "ft-all", 0, 2.0)
    run.add("pi", "lora", 0, 1.0, verdict="invalid")
    run.add("pi", "lora", 1, 1.0, outcome="deadline", outcome_reason="too slow", verdict="invalid")
    view = Watch(run.path).look()
    assert view.speed_ups == ()
    assert view.boards[0].invalid == 2
    assert "deadline: too slow" in view.boards[0].last[0]


def test_only_what_was_added_is_read(written, monkeypatch):
    run = written("pi")
    watch, parsed = Watch(run.path), []
    monkeypatch.setattr(views, "parse_line", lambda line: parsed.append(line) or views_parse(line))
    run.add("pi", "ft-all", 0, 2.0)
    watch.look()
    run.add("pi", "lora", 0, 2.0)
    for _ in range(3):
        watch.look()
    assert len(parsed) == 2


views_parse = views.parse_line


def test_a_line_that_is_being_written_is_read_when_it_is_whole_and_a_torn_one_is_counted(written):
    run = written("pi")
    run.add("pi", "ft-all", 0, 2.0)
    run.end()
    watch, reps = Watch(run.path), run.path / "reps.jsonl"
    whole = reps.read_bytes()
    reps.write_bytes(whole[:100])
    assert watch.look().recorded == 0
    reps.write_bytes(whole)
    assert watch.look().recorded == 1
    reps.write_bytes(whole + b"\0" * 50 + b"\n" + b"{}\n")
    assert (watch.look().recorded, watch.look().unreadable) == (1, 2)
    reps.write_bytes(whole.replace(b"ft-all", b"xx-all") + whole)
    view = watch.look()
    assert (view.recorded, view.unreadable) == (2, 0), "another file in its place is read from its start"


def test_a_run_whose_process_was_killed_is_not_complete_and_says_how_to_go_on(written):
    run = written("pi")
    run.add("pi", "ft-all", 0, 2.0)
    run.end()
    view = Watch(run.path).look()
    assert (view.state, view.boards[0].now) == ("not complete", None)
    assert view.continuing is not None and view.continuing.endswith("run -s mine.toml --resume")


def test_a_watch_writes_nothing_and_leaves_the_writer_alone(written):
    run = written("pi")
    run.path.chmod(0o555)
    before = sorted(os.listdir(run.path))
    watch = Watch(run.path)
    for block in range(3):
        watch.look()
        run.add("pi", "ft-all", block, 2.0)
    run.path.chmod(0o755)
    assert sorted(os.listdir(run.path)) == before and watch.look().recorded == 3


def test_what_a_board_says_is_one_printable_line_and_json(written):
    run = written("pi")
    run.add("pi", "lora", 0, 1.0, outcome="failed", outcome_reason="\x1b[2J\nfine: all well \u202e<script>")
    view = Watch(run.path).look()
    assert view.boards[0].last[0].isprintable() and "\\x1b[2J\\nfine" in view.boards[0].last[0]
    told = json.loads(view.as_json())
    assert (told["schema"], told["boards"][0]["last"][0]) == (SCHEMA, view.boards[0].last[0])
    assert "\n" not in view.as_json()


def test_a_folder_without_a_plan_is_told(tmp_path):
    with pytest.raises(ResultsError, match=r"plan\.json"):
        Watch(tmp_path).look()
