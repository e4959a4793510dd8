"""Whether verdicts are possible, told before anything is measured."""

import dataclasses

import pytest

from tunebench.harness.config.inventory import BoardEntry, Capabilities
from tunebench.harness.config.suite import load_suite, sized
from tunebench.harness.planning.durations import durations_below
from tunebench.harness.planning.feasibility import feasibility, feasibility_lines
from tunebench.harness.planning.plan import make_plan

HEAD = '[suite]\nname = "s"\nblocks = {blocks}\nbaseline = "{baseline}"\n'
ROW = '[[workload]]\ndataset = "digits"\nmodel = "{model}"\nmethods = [{methods}]\n{more}\n'


def quoted(*methods):
    return ", ".join(f'"{method}"' for method in methods)


@pytest.fixture
def plan(tmp_path):
    """Function (blocks of the suite, *rows, boards, **sizes) -> plan of a suite written for it."""

    def make(of_suite, *rows, boards=("a",), baseline="ft-all", **sizes):
        path = tmp_path / "s.toml"
        path.write_text(HEAD.format(blocks=of_suite, baseline=baseline) + "".join(rows))
        entries = [BoardEntry(id=name, kind="linux", host=name) for name in boards]
        return make_plan(sized(load_suite(str(path)), **sizes), entries, run_id="r", lab="lab")

    return make


FOUR = ROW.format(model="mlp", methods=quoted("ft-all", "lora-all", "lora-last", "skip2-lora"), more="")
THREE = ROW.format(model="cnn", methods=quoted("ft-all", "lora-last", "lorae"), more="")
TWO = ROW.format(model="cnn", methods=quoted("ft-all", "lorae"), more="")


def lines(plan, durations=None):
    return feasibility_lines(feasibility(plan, durations))


def test_too_few_blocks_are_told_with_the_number_that_would_do(plan):
    assert lines(plan(3, FOUR)) == [
        "3 blocks, 4 methods: no verdict is possible; 7 blocks would allow one: --blocks 7"
    ]


@pytest.mark.parametrize("blocks", [7, 8, 100])
def test_nothing_is_said_where_every_comparison_can_have_a_verdict(plan, blocks):
    (task,) = feasibility(plan(blocks, FOUR))
    assert (task.possible, task.methods, task.claims, task.fewest_blocks) == (True, 4, 3, 7)
    assert lines(plan(blocks, FOUR)) == []


def test_one_block_is_one_block(plan):
    assert lines(plan(1, TWO)) == [
        "1 block, 2 methods: no verdict is possible; 6 blocks would allow one: --blocks 6"
    ]


def test_an_accuracy_that_could_be_judged_is_not_denied(plan):
    assert lines(plan(6, FOUR)) == [
        "6 blocks, 4 methods: no verdict on time, energy or memory is possible; 7 blocks would allow one: --blocks 7"
    ]


def test_tasks_that_differ_are_named_and_the_option_serves_them_all(plan):
    assert lines(plan(3, FOUR, TWO)) == [
        "digits/mlp: 3 blocks, 4 methods: no verdict is possible; 7 blocks would allow one",
        "digits/cnn: 3 blocks, 2 methods: no verdict is possible; 6 blocks would allow one",
        "--blocks 7 would allow them all",
    ]
    assert lines(plan(6, FOUR, TWO)) == [
        "digits/mlp: 6 blocks, 4 methods: no verdict on time, energy or memory is possible; 7 blocks would allow one"
        ": --blocks 7"
    ]


def test_a_task_of_one_method_compares_nothing_and_is_not_spoken_of(plan):
    alone = ROW.format(model="mlp", methods=quoted("ft-all"), more="")
    assert feasibility(plan(1, alone)) == []


def test_the_control_is_no_comparison(plan):
    (task,) = feasibility(plan(3, TWO))
    assert (task.methods, task.claims) == (2, 1)


def test_boards_without_the_baseline_compare_nothing_and_it_is_told(tmp_path):
    path = tmp_path / "s.toml"
    needy = ROW.format(model="mlp", methods=quoted("ft-all"), more="needs = { ram_gb = 8 }")
    others = ROW.format(model="mlp", methods=quoted("lora-all", "skip2-lora"), more="")
    path.write_text(HEAD.format(blocks=8, baseline="ft-all") + needy + others)
    boards = [
        BoardEntry(id="large", kind="linux", host="h", capabilities=Capabilities(ram_gb=8)),
        BoardEntry(id="small", kind="linux", host="h", capabilities=Capabilities(ram_gb=1)),
    ]
    plan = make_plan(load_suite(str(path)), boards, run_id="r", lab="lab")
    assert [(task.board_id, task.claims, task.possible) for task in feasibility(plan)] == [
        ("large", 2, True),
        ("small", 0, False),
    ]
    assert lines(plan) == ["digits/mlp on small: its baseline is not measured there, so nothing is compared"]


def test_methods_under_other_conditions_are_not_counted(plan):
    same = ROW.format(model="mlp", methods=quoted("ft-all", "lora-all"), more='task = "t"')
    threads = ROW.format(model="mlp", methods=quoted("skip2-lora"), more='task = "t"\nthreads = 2')
    (task,) = feasibility(plan(8, same, threads))
    assert (task.methods, task.claims) == (3, 1)


def test_the_time_that_is_missing_comes_from_what_earlier_runs_took(plan):
    history = {
        ("a", "digits/mlp", label, ""): 9.0 for label in ("ft-all", "lora-all", "lora-last", "skip2-lora")
    }
    history["a", "digits/mlp", "ft-all (A/A)", ""] = 9.0
    assert lines(plan(3, FOUR), history) == [
        "3 blocks, 4 methods: no verdict is possible; 7 blocks would allow one (about 3 more minutes): --blocks 7"
    ]
    # Boards run side by side: the slowest decides.
    slow = {("b", *key[1:]): 90.0 for key in history}
    assert "(about 30 more minutes)" in lines(plan(3, FOUR, boards=("a", "b")), {**history, **slow})[0]
    # Nothing is claimed of a board that nobody knows.
    assert "about" not in lines(plan(3, FOUR, boards=("a", "c")), history)[0]


def test_a_task_with_fewer_blocks_of_its_own_is_told_and_the_option_takes_no_block_from_others(plan):
    short = ROW.format(model="cnn", methods=quoted("ft-all", "lorae"), more="blocks = 3")
    made = plan(8, FOUR, short)
    assert [(task.task, task.blocks, task.possible) for task in feasibility(made)] == [
        ("digits/mlp", 8, True),
        ("digits/cnn", 3, False),
    ]
    assert lines(made) == [
        "digits/cnn: 3 blocks, 2 methods: no verdict is possible (the suite gives this task fewer blocks); "
        "6 blocks would allow one"
    ]
    assert lines(plan(8, FOUR, short, blocks=8)) == []


def test_until_decided_counts_with_the_level_of_its_looks(plan):
    made = plan(3, FOUR, until_decided=True)
    (task,) = feasibility(made)
    assert (task.possible, task.blocks, task.fewest_blocks) == (True, 30, 11)
    assert lines(made) == []


def test_what_json_holds_are_plain_values(plan):
    (task,) = feasibility(plan(3, FOUR))
    assert task.as_dict() == dataclasses.asdict(task)
    assert task.as_dict()["fewest_blocks"] == 7


def test_no_history_at_all_is_no_duration(tmp_path):
    assert durations_below(tmp_path, "lab") == {}
