"""The board's programs: really run, or replayed from a simulated tree."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest

from tunebench.targets.agent.linux import programs


def record(root: Path, argv: list[str], out: str, **more: object) -> None:
    folder = root / ".commands"
    folder.mkdir(exist_ok=True)
    said = {"argv": argv, "rc": 0, "out": out, **more}
    (folder / programs.recording_name(argv)).write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["nvpmodel", "-q"], "nvpmodel_-q.json"),
        (["vcgencmd", "measure_clock", "arm"], "vcgencmd_measure_clock_arm.json"),
        (["sh", "-c", "a/b $x"], "sh_-c_a_b__x.json"),
    ],
)
def test_a_recording_is_named_by_its_command_line(argv, name):
    assert programs.recording_name(argv) == name


def test_a_simulated_board_answers_what_was_recorded(tmp_path):
    record(tmp_path, ["nvpmodel", "-q"], "NV Power Mode: 15W\n2\n")
    assert programs.run(str(tmp_path), ["nvpmodel", "-q"], 1) == (0, "NV Power Mode: 15W\n2\n", None)


def test_a_program_that_was_not_recorded_is_absent_even_if_this_machine_has_it(tmp_path):
    said = programs.run(str(tmp_path), ["true"], 1)
    assert (said.rc, said.reason) == (None, "no program true on this board")


def test_a_recorded_command_may_change_what_the_next_one_says_but_nothing_outside_its_tree(tmp_path):
    root = tmp_path / "board"
    root.mkdir()
    record(root, ["nvpmodel", "-q"], "NV Power Mode: 15W\n2\n")
    after = json.dumps({"argv": ["nvpmodel", "-q"], "rc": 0, "out": "NV Power Mode: MAXN\n0\n"})
    writes = {".commands/nvpmodel_-q.json": after, "../escaped": "x"}
    record(root, ["nvpmodel", "-m", "0"], "", writes=writes)
    assert programs.run(str(root), ["nvpmodel", "-m", "0"], 1).rc == 0
    assert programs.run(str(root), ["nvpmodel", "-q"], 1).out == "NV Power Mode: MAXN\n0\n"
    assert not (tmp_path / "escaped").exists()


def test_a_slow_program_is_given_up(tmp_path):
    record(tmp_path, ["vcgencmd", "pmic_read_adc"], "late", delay_s=60)
    start = time.monotonic()
    said = programs.run(str(tmp_path), ["vcgencmd", "pmic_read_adc"], 0.1)
    assert (said.rc, said.out) == (None, "")
    assert said.reason == "vcgencmd gave no answer within 0.1 s"
    assert programs.run("/", ["sleep", "60"], 0.1).reason == "sleep gave no answer within 0.1 s"
    assert time.monotonic() - start < 5


def test_a_real_program_gives_status_and_both_outputs():
    said = programs.run("/", ["sh", "-c", "echo out; echo err >&2; exit 3"], 5)
    assert (said.rc, said.out, said.reason) == (3, "out\nerr\n", None)
    assert programs.run("/", ["no-such-program-at-all"], 5).reason is not None


def test_a_stream_is_read_line_by_line_and_its_child_ends_with_it():
    with programs.stream("/", ["sh", "-c", "while :; do echo tick; sleep 0.01; done"]) as stream:
        assert list(itertools.islice(stream.lines(), 3)) == ["tick"] * 3
    assert list(stream.lines()) == []


def test_a_recorded_stream_is_replayed_over_again(tmp_path):
    record(tmp_path, ["tegrastats", "--interval", "100"], "a\nb\n")
    stream = programs.stream(str(tmp_path), ["tegrastats", "--interval", "100"])
    assert list(itertools.islice(stream.lines(), 3)) == ["a", "b", "a"]
    stream.close()
    assert programs.stream(str(tmp_path), ["tegrastats"]).reason == "no program tegrastats on this board"
