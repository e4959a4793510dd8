"""`--blocks`, `--add-blocks`, `--until-decided`, and what `plan` and `run` say of blocks that are too few."""

import json

import pytest

from tunebench.reports.results import RunReader


def test_plan_says_that_no_verdict_is_possible_and_what_would_do(cli, lab):
    inventory = str(lab("here"))
    text = cli("plan", "-i", inventory, "-s", "quick").stdout
    assert "digits/mlp: 3 blocks, 4 methods: no verdict is possible; 7 blocks would allow one" in text
    assert "--blocks 7 would allow them all" in text
    plan = json.loads(cli("plan", "-i", inventory, "-s", "quick", "--blocks", "7", "--json").stdout)
    assert (plan["blocks"], plan["looks"], plan["verdicts_text"]) == (7, [], [])
    assert [
        (task["task"], task["claims"], task["possible"], task["fewest_blocks"]) for task in plan["verdicts"]
    ] == [
        ("digits/mlp", 3, True, 7),
        ("digits/cnn", 2, True, 7),
    ]
    assert sum(rep["role"] == "timed" for rep in plan["repetitions"]) == 7 * 9


def test_plan_shows_the_looks_of_a_run_until_it_is_decided(cli, lab):
    words = ["plan", "-i", str(lab("here")), "-s", "quick", "--until-decided"]
    assert "until decided, at most 30 blocks; looks after 11, 17, 30 blocks" in cli(*words).stdout
    plan = json.loads(cli(*words, "--max-blocks", "20", "--json").stdout)
    assert [look["blocks"] for look in plan["looks"]] == [11, 20]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--blocks", "0"], "--blocks 0: a whole number from 1 to 1000"),
        (["--blocks", "5", "--until-decided"], "exclude each other"),
        (["--max-blocks", "5"], "goes with --until-decided"),
        (
            ["--until-decided", "--max-blocks", "5"],
            "5 blocks allow no verdict; the first one is possible after 10",
        ),
        (["--add-blocks", "2", "--resume"], "--add-blocks goes on with a finished run"),
        (["--add-blocks", "2", "--until-decided"], "--add-blocks goes on with a finished run"),
        (["--add-blocks", "2"], "no run of suite 'quick' below results"),
        (["--add-blocks", "0"], "--add-blocks"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_board_is_touched(cli, lab, tmp_path, words, reason):
    done = cli("run", "-i", str(lab("here")), "-s", "quick", *words)
    assert done.returncode == 2, done.stderr
    assert reason in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("work-*"))


@pytest.mark.slow
def test_run_says_it_at_its_start_and_blocks_are_added_by_the_command(cli, lab, sleep_suite, tmp_path):
    inventory, suite = str(lab("here")), str(sleep_suite(["a", "b"], blocks=1, aa=True))
    done = cli("run", "-i", inventory, "-s", suite, "--blocks", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "2 blocks, 2 methods: no verdict is possible; 6 blocks would allow one" in done.stderr
    run = json.loads(done.stdout)
    assert run["summary"]["run"]["blocks"] == 2
    more = cli("run", "-i", inventory, "-s", suite, "--blocks", "2", "--add-blocks", "4", "--json")
    assert more.returncode == 0, more.stderr
    extended = json.loads(more.stdout)
    assert extended["run"] == run["run"]
    assert extended["summary"]["run"]["earlier_blocks"] == [2]
    assert {row["n"] for row in extended["summary"]["rows"]} == {6}
    assert cli("verify", extended["run"]).returncode == 0
    # A history is known now: what is missing is told with its time.
    assert "about" in cli("plan", "-i", inventory, "-s", suite, "--blocks", "3").stdout
    assert RunReader(tmp_path / extended["run"]).complete
