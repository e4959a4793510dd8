"""Suite files: methods of one's own, tasks, and the message on each mistake."""

from __future__ import annotations

import pytest

from tests.harness.config.suite.own_method import OWN, refused, write
from tunebench.harness.config.suite import load_suite


def test_an_own_method_stands_in_the_task_of_the_built_in_ones(tmp_path):
    suite = load_suite(write(tmp_path, OWN))
    own = next(workload for workload in suite.workloads if workload.own)
    assert (own.task, own.label, own.params["epochs"]) == ("digits/mlp", "my-method", 4)
    assert own.own_params == {"depth": 2}
    assert suite.baselines == {"digits/mlp": "ft-all"}


def test_values_that_differ_in_threads_are_another_task(tmp_path):
    text = OWN.replace(
        'methods = ["ft-all", "skip2-lora"]', 'methods = ["ft-all", "skip2-lora"]\nthreads = 2'
    )
    tasks = {workload.task for workload in load_suite(write(tmp_path, text)).workloads}
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
    message = refused(tmp_path, OWN.replace(old, new))
    assert words in message
    assert "mine.toml" in message


def test_an_unknown_method_names_the_known_ones(tmp_path):
    message = refused(tmp_path, OWN.replace('"skip2-lora"]', '"skip3-lora"]'))
    assert "skip2-lora" in message


def test_a_listed_file_that_is_not_there_is_named(tmp_path):
    assert "no such file" in refused(tmp_path, OWN, files=())


def test_a_listed_file_must_lie_below_the_suite(tmp_path):
    text = OWN.replace('files = ["my_ft.py"]', 'files = ["my_ft.py", "../secret"]')
    assert "must lie below" in refused(tmp_path, text)


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
    message = refused(tmp_path, OWN.replace(old, new, 1))
    assert words in message
    assert "Input should" not in message
