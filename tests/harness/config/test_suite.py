"""Suites: built-in levels, own methods, and the message on each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunebench.harness.cli import completion
from tunebench.harness.config.suite import AA_SUFFIX, built_in_suites, load_suite, sized
from tunebench.harness.config.tables.schema import LEVELS
from tunebench.harness.errors import UsageError
from tunebench.reports.results.plan_view import SuiteView

OWN = """
[suite]
name = "mine"
blocks = 2
epochs = 4
baseline = "ft-all"

[[workload]]
dataset = "digits"
model = "mlp"
methods = ["ft-all", "skip2-lora"]

[[workload]]
dataset = "digits"
model = "mlp"
label = "my-method"
module = "my_ft.py"
files = ["my_ft.py"]
params = { depth = 2 }
"""


def _write(tmp_path: Path, text: str, files: tuple[str, ...] = ("my_ft.py",)) -> str:
    for name in files:
        (tmp_path / name).write_text("pass\n")
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def _refused(tmp_path: Path, text: str, files: tuple[str, ...] = ("my_ft.py",)) -> str:
    with pytest.raises(UsageError) as caught:
        load_suite(_write(tmp_path, text, files))
    return str(caught.value)


def test_every_level_is_a_built_in_suite_with_its_number_of_blocks():
    blocks = {name: load_suite(name).header.blocks for name in LEVELS}
    assert blocks == {"smoke": 1, "demo": 8, "quick": 3, "nightly": 5, "paper": 10}
    assert set(LEVELS) <= set(built_in_suites())


def test_the_demo_has_the_five_methods_and_a_control_a_task():
    suite = load_suite("demo")
    labels = {workload.label for workload in suite.workloads}
    assert {"ft-all", "lora-all", "lora-last", "skip2-lora", "lorae"} <= labels
    controls = [workload for workload in suite.workloads if workload.aa_control]
    assert sorted((workload.task, workload.label) for workload in controls) == [
        ("digits/cnn", "ft-all" + AA_SUFFIX),
        ("digits/mlp", "lora-all" + AA_SUFFIX),
        ("digits/mlp [native cpu x1 float32]", "lora-all" + AA_SUFFIX),
    ]
    assert {workload.engine for workload in suite.workloads} == {"native", "torch"}


def test_a_task_may_have_fewer_blocks_of_its_own_and_all_its_methods_have_them(tmp_path):
    suite = load_suite("demo")
    assert {workload.task: workload.blocks for workload in suite.workloads} == {
        "digits/mlp [native cpu x1 float32]": None,
        "digits/mlp": 3,
        "digits/cnn": 6,
    }
    path = tmp_path / "s.toml"
    row = '[[workload]]\ndataset = "digits"\nmodel = "mlp"\nmethods = ["{}"]\n{}\n'
    head = '[suite]\nname = "s"\nblocks = 4\n'
    path.write_text(head + row.format("ft-all", "blocks = 2") + row.format("lora-all", "blocks = 3"))
    with pytest.raises(UsageError, match=r"'blocks' must be the same for 'ft-all' and 'lora-all'"):
        load_suite(str(path))
    path.write_text(head + row.format("ft-all", "blocks = 5"))
    with pytest.raises(UsageError, match=r"blocks = 5 is more than \[suite\] blocks = 4"):
        load_suite(str(path))


def test_another_number_of_blocks_counts_for_every_task_and_has_bounds():
    suite = sized(load_suite("demo"), blocks=12)
    assert suite.header.blocks == 12
    assert {workload.blocks for workload in suite.workloads} == {None}
    assert sized(suite) is suite
    for blocks in (0, -1, 1001):
        with pytest.raises(UsageError, match=rf"--blocks {blocks}: a whole number from 1 to 1000"):
            sized(suite, blocks=blocks)


def test_a_suite_until_it_is_decided_has_looks_and_says_so_in_its_plan():
    suite = sized(load_suite("quick"), until_decided=True)
    assert (suite.header.blocks, [look.blocks for look in suite.looks]) == (30, [11, 17, 30])
    assert [look["blocks"] for look in suite.as_dict()["until_decided"]["looks"]] == [11, 17, 30]
    assert "until_decided" not in load_suite("quick").as_dict()
    assert sized(load_suite("quick"), until_decided=True, max_blocks=12).looks[-1].blocks == 12


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blocks": 4, "until_decided": True}, "exclude each other"),
        ({"max_blocks": 4}, "--max-blocks goes with --until-decided"),
        ({"until_decided": True, "max_blocks": 5}, "allow no verdict; the first one is possible after 10"),
        ({"until_decided": True, "max_blocks": 0}, "--max-blocks 0: a whole number"),
    ],
)
def test_numbers_of_blocks_that_make_no_sense_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        sized(load_suite("quick"), **options)


def test_a_suite_that_compares_nothing_cannot_be_decided():
    with pytest.raises(UsageError, match="compares nothing"):
        sized(load_suite("quick").only_methods("lorae"), until_decided=True)


def test_budgets_stand_in_the_plan_only_where_a_suite_has_them(tmp_path):
    asked = OWN.replace("blocks = 2", "blocks = 2\nbudgets = { wall_s = [10, 60], energy_j = [0.5] }")
    written = load_suite(_write(tmp_path, asked)).as_dict()
    assert written["budgets"] == {"wall_s": [10.0, 60.0], "energy_j": [0.5]}
    assert SuiteView.of(written).budgets == written["budgets"]
    assert "budgets" not in load_suite(_write(tmp_path, OWN)).as_dict()


def test_an_own_method_stands_in_the_task_of_the_built_in_ones(tmp_path):
    suite = load_suite(_write(tmp_path, OWN))
    own = next(workload for workload in suite.workloads if workload.own)
    assert (own.task, own.label, own.params["epochs"]) == ("digits/mlp", "my-method", 4)
    assert own.own_params == {"depth": 2}
    assert suite.baselines == {"digits/mlp": "ft-all"}


def test_values_that_differ_in_threads_are_another_task(tmp_path):
    text = OWN.replace(
        'methods = ["ft-all", "skip2-lora"]', 'methods = ["ft-all", "skip2-lora"]\nthreads = 2'
    )
    tasks = {workload.task for workload in load_suite(_write(tmp_path, text)).workloads}
    assert tasks == {"digits/mlp [torch cpu x2 float32]", "digits/mlp"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"skip2-lora"]', '"skip3-lora"]', "skip3-lora"),
        ('"skip2-lora"]', '"lorae"]', "does not apply to model 'mlp'"),
        (
            'dataset = "digits"\nmodel = "mlp"\nmethods',
            'dataset = "imagenet"\nmodel = "mlp"\nmethods',
            "allowed: ",
        ),
        ("blocks = 2", "blocks = 0", "greater than or equal to 1"),
        ("blocks = 2", "block = 2", "unknown key 'block' (did you mean 'blocks'?)"),
        ('files = ["my_ft.py"]', 'files = ["other.py"]', "'files' must list 'my_ft.py'"),
        ('label = "my-method"\n', "", "'label' is missing"),
        ('label = "my-method"', 'label = "ft-all"', "'ft-all' is given twice"),
        ('module = "my_ft.py"', 'module = "my_ft.py"\ncommand = ["python3", "x"]', "exclude each other"),
        (
            'methods = ["ft-all", "skip2-lora"]',
            'methods = ["ft-all"]\nrank = 0',
            "greater than or equal to 1",
        ),
        (
            'methods = ["ft-all", "skip2-lora"]',
            'methods = ["ft-all"]\nbaseline = "x"',
            "baseline 'x' is not one of",
        ),
        (
            "blocks = 2",
            'blocks = 2\ncandidate = "lorae-r4"',
            "candidate 'lorae-r4' is not one of its methods",
        ),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(tmp_path, old, new, words):
    assert old in OWN
    message = _refused(tmp_path, OWN.replace(old, new))
    assert words in message
    assert "mine.toml" in message


def test_an_unknown_method_names_the_known_ones(tmp_path):
    message = _refused(tmp_path, OWN.replace('"skip2-lora"]', '"skip3-lora"]'))
    assert "skip2-lora" in message


def test_a_listed_file_that_is_not_there_is_named(tmp_path):
    assert "no such file" in _refused(tmp_path, OWN, files=())


def test_a_listed_file_must_lie_below_the_suite(tmp_path):
    text = OWN.replace('files = ["my_ft.py"]', 'files = ["my_ft.py", "../secret"]')
    assert "must lie below" in _refused(tmp_path, text)


def test_an_unknown_suite_names_the_built_in_ones():
    with pytest.raises(UsageError, match=r"built in: smoke, demo, quick, nightly, paper"):
        load_suite("tomorrow")


def test_methods_select_rows_and_their_controls():
    suite = load_suite("quick").only_methods("ft-all,skip2-lora")
    assert {workload.label for workload in suite.workloads} == {"ft-all", "ft-all" + AA_SUFFIX, "skip2-lora"}
    with pytest.raises(UsageError, match=r"unknown method 'magic'; suite 'quick' has: ft-all"):
        load_suite("quick").only_methods("magic")


@pytest.mark.parametrize("names", ["", " ", ",", " , "])
def test_methods_that_name_none_are_refused(names):
    with pytest.raises(UsageError, match="names no method; suite 'quick' has: ft-all"):
        load_suite("quick").only_methods(names)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("skip-lora", "does not measure the built-in method 'skip-lora'; it has: ft-all"),
        ("skip-lora", "built-in suites with it: emulated, skip2-paper"),
        ("lora-last-cached", "list it under 'methods' in a suite file of your own"),
        ("ft-al", "unknown method 'ft-al' (did you mean 'ft-all'?)"),
        ("Skip2-LoRA", "(did you mean 'skip2-lora'?)"),
    ],
)
def test_a_method_that_is_known_elsewhere_is_not_called_unknown(name, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        load_suite("quick").only_methods(name)


@pytest.mark.parametrize(
    ("baseline", "hint"), [("ft", ""), ("FT-All", " (did you mean 'ft-all'?)"), ("lora-all", ""), ("", "")]
)
def test_a_baseline_that_is_in_no_task_is_refused_with_the_names(tmp_path, baseline, hint):
    message = _refused(tmp_path, OWN.replace('baseline = "ft-all"', f'baseline = "{baseline}"'))
    assert f"mine.toml: [suite]: baseline {baseline!r} is not one of its methods{hint}" in message
    assert message.endswith("it has: ft-all, skip2-lora, my-method")


def test_a_baseline_may_be_of_one_task_only_or_not_be_named_at_all(tmp_path):
    other = '\n[[workload]]\ndataset = "digits"\nmodel = "cnn"\nmethods = ["lora-last", "lorae"]\n'
    assert load_suite(_write(tmp_path, OWN + other)).baselines == {
        "digits/mlp": "ft-all",
        "digits/cnn": "lora-last",
    }
    bare = '[suite]\nname = "x"\n' + other
    assert load_suite(_write(tmp_path, bare)).baselines == {"digits/cnn": "lora-last"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[suite]", "[[suite]]", "[suite]: is a table, written in single brackets, [suite], once"),
        ('name = "mine"', 'name = "a b"', "must be 1 to 64 letters, digits"),
        ("blocks = 2", "blocks = 2.5", "must be a whole number (got 2.5)"),
        ("blocks = 2", 'blocks = "2"', "without quotes: blocks = 2"),
        ("blocks = 2", "blocks = 2\nbudgets = { wall_s = [60, 10] }", "must rise, each budget once, as [10"),
        ("blocks = 2", "blocks = 2\nbudgets = { wall_s = [0] }", "must be greater than 0"),
        ("blocks = 2", "blocks = 2\nbudgets = { time_s = [1] }", "unknown key 'time_s'"),
        ("blocks = 2", "blocks = 2\nbudgets = { wall_s = [1, 2, 3, 4, 5] }", "wall_s"),
        (
            'methods = ["ft-all", "skip2-lora"]',
            'methods = "ft-all, skip2-lora"',
            'methods = ["ft-all", "skip2-lora"]',
        ),
        ("params = { depth = 2 }", 'needs = "gpu"', "[workload.needs], once; here it is 'gpu'"),
    ],
)
def test_a_wrong_form_is_told_in_our_words(tmp_path, old, new, words):
    assert old in OWN
    message = _refused(tmp_path, OWN.replace(old, new, 1))
    assert words in message
    assert "Input should" not in message


def test_every_built_in_suite_says_in_one_sentence_what_it_is_for():
    for name in built_in_suites():
        assert completion.description(completion.suite_file(name))[-1] in ".?", name
