"""Chains in suites: what is accepted, what a mistake is told, and that the order is part of what a row is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.harness.config.inventory import loopback_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.plan import make_plan, unrepeatable
from tunebench.harness.study.search import candidates

SUITE = """
[suite]
name = "mine"
baseline = "float"

[compress]
source_steps = 20
tune = { epochs = 2, batch = 20 }

[[transform]]
id = "half"
kind = "prune"
how = "structured"
ratio = 0.5
steps = 20

[[transform]]
id = "int8"
kind = "quantize"
how = "static"

[[workload]]
dataset = "digits"
model = "cnn"
runtime = "onnxruntime"
chains = { "float" = ["tune"], "int8" = ["tune", "int8"], "pruned" = ["half", "tune"] }
"""


START = """
[suite]
name = "mine"
[[transform]]
id = "half"
kind = "prune"
how = "structured"
ratio = 0.5
[[transform]]
id = "int8"
kind = "quantize"
how = "static"
[[workload]]
dataset = "mnist"
model = "resnet-small"
start = ["half"]
methods = ["ft-all", "lora-last"]
"""


def load(folder: Path, text: str = SUITE):
    """Load a suite's text."""
    path = folder / "mine.toml"
    path.write_text(text)
    return load_suite(str(path))


def refused(folder: Path, old: str, new: str) -> str:
    """Return what is said of a suite with one place changed."""
    assert old in SUITE
    with pytest.raises(UsageError) as error:
        load(folder, SUITE.replace(old, new, 1))
    return str(error.value)


def test_each_chain_is_a_row_with_a_control_and_names_its_runtime(tmp_path):
    suite = load(tmp_path)
    assert [row.label for row in suite.workloads] == ["float", "int8", "pruned", "float (A/A)"]
    assert {row.task for row in suite.workloads} == {"digits/cnn [onnxruntime x1]"}
    assert {row.engine for row in suite.workloads} == {"onnxruntime"}
    assert not any(row.needs_torch or row.own for row in suite.workloads)
    row = suite.workloads[2]
    assert [step["id"] for step in row.params["chain"]] == ["half", "tune"]
    assert row.params["chain"][0]["round_to"] == 8
    assert row.params["compress"]["source_steps"] == 20


def test_a_runtimes_rows_are_left_out_of_policy_sustained_with_the_reason(tmp_path):
    suite = load(tmp_path, SUITE.replace('baseline = "float"', 'baseline = "float"\npolicy = "sustained"'))
    plan = make_plan(suite, loopback_inventory().boards, run_id="r", lab="lab")
    assert plan.repetitions == ()
    assert {skip.reason for skip in plan.skipped} == {str(unrepeatable(suite.workloads[0]))}


def test_no_row_of_a_runtime_has_marked_phases_and_a_chain_that_cannot_be_is_left_out(tmp_path):
    suite = load(tmp_path)
    key = suite.workloads[2].key
    plan = make_plan(
        suite, loopback_inventory().boards, run_id="r", lab="lab", impossible={key: "it has no dense kernel"}
    )
    assert {planned.role for planned in plan.repetitions} == {"timed"}
    assert [(skip.label, skip.reason) for skip in plan.skipped] == [("pruned", "it has no dense kernel")]


def test_a_search_for_rates_leaves_out_rows_that_fine_tune_nothing_on_a_board(tmp_path):
    with pytest.raises(UsageError, match="has no built-in method to search a rate for"):
        candidates(load(tmp_path, SUITE))
    ((task, rows),) = candidates(load(tmp_path, START)).items()
    assert task == "mnist/resnet-small from half" and len(rows) == 2


def test_the_order_of_a_chain_is_part_of_what_a_row_is(tmp_path):
    text = SUITE.replace("ratio = 0.5\nsteps = 20", "ratio = 0.5")
    other = text.replace('["half", "tune"]', '["tune", "half"]')
    rows = [load(tmp_path, given).workloads[2] for given in (text, other)]
    assert rows[0].params != rows[1].params


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'runtime = "onnxruntime"',
            'runtime = "tflite"',
            "unknown runtime 'tflite'; allowed: onnxruntime, ncnn, litert, executorch, torch",
        ),
        ('["tune", "int8"]', '["int8", "tune"]', "put 'int8' behind it"),
        ('["tune", "int8"]', '["int8"]', "chain 'int8' has no 'tune', chain 'float' has"),
        ('["half", "tune"]', '["tune", "half"]', "or leave out its 'steps'"),
        (
            '["tune", "int8"]',
            '["tune", "int9"]',
            "no [[transform]] has the id 'int9'; there are: tune, half, int8",
        ),
        ("source_steps = 20", "source_steps = 10", "set source_steps = 20"),
        ('kind = "prune"', 'kind = "shrink"', "unknown kind 'shrink'; allowed: prune"),
        ('how = "structured"', 'how = "random"', "how is 'random', allowed: structured, magnitude"),
        ("ratio = 0.5", "ratio = 1.0", "a number above 0 and below 1"),
        ("ratio = 0.5", "rank = 4", "has no key 'rank'"),
        ('id = "int8"', 'id = "half"', "'half' is given twice"),
        ('id = "int8"', 'id = "tune"', "is the fine-tuning itself"),
        ('model = "cnn"', 'model = "cnn"\nlr = 0.1', "'lr' goes with methods that fine-tune on the board"),
        (
            'model = "cnn"',
            'model = "cnn"\nmethods = ["ft-all"]',
            "'methods' goes with methods that fine-tune",
        ),
        ("chains = {", "unchained = {", "unchained"),
        ('model = "cnn"', 'model = "resnet-small"', "does not take data set 'digits'"),
        (
            'runtime = "onnxruntime"',
            'runtime = "torch"',
            "runtime 'torch' does not run int8-static; runtimes that do",
        ),
        ('runtime = "onnxruntime"\n', "", "'chains' go with 'runtime'"),
        ("source_steps = 20", "source_step = 20", "source_step"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(tmp_path, old, new, words):
    assert words in refused(tmp_path, old, new)


def test_transforms_that_nothing_uses_are_refused(tmp_path):
    text = (
        SUITE[: SUITE.index("[[workload]]")]
        + '[[workload]]\ndataset = "digits"\nmodel = "mlp"\nmethods = ["ft-all"]\n'
    )
    with pytest.raises(UsageError, match=r"go with a workload that has 'runtime' or 'start'"):
        load(tmp_path, text.replace('baseline = "float"\n', ""))


def test_methods_may_begin_from_compressed_weights_in_a_task_of_their_own(tmp_path):
    rows = load(tmp_path, START).workloads
    assert {row.task for row in rows} == {"mnist/resnet-small from half"}
    assert rows[0].params["start"][0]["id"] == "half"


def test_a_frozen_trunk_may_begin_in_8_bits_where_a_runtime_runs_it(tmp_path):
    text = START.replace('["ft-all", "lora-last"]', '["ft-last-cached", "skip2-lora"]')
    rows = load(tmp_path, text.replace('["half"]', '["half", "int8"]\nengine = "onnxruntime-head"')).workloads
    assert {row.task for row in rows} == {
        "mnist/resnet-small from half+int8 [onnxruntime-head cpu x1 float32]"
    }
    assert {row.trunk for row in rows} == {"onnxruntime"}
    assert not any(row.needs_torch for row in rows)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('start = ["half"]', 'start = ["half", "tune"]', "'tune' is what the methods do on the board"),
        ('start = ["half"]', 'start = ["int8"]', "writes numbers that nothing fine-tunes"),
        (
            'start = ["half"]',
            'start = ["half"]\nengine = "native"',
            "does not begin from compressed weights; engines that do: torch, onnxruntime-head",
        ),
        (
            'start = ["half"]',
            'start = ["half", "tune"]\nengine = "onnxruntime-head"',
            "'tune' is what the methods do on the board",
        ),
        (
            'start = ["half"]',
            'engine = "onnxruntime-head"\nlora_plus = 2.0\nbatchnorm = "reestimated"',
            "engine 'onnxruntime-head' does not have batchnorm = 'reestimated'",
        ),
    ],
)
def test_a_start_that_cannot_be_is_refused(tmp_path, old, new, words):
    with pytest.raises(UsageError) as error:
        load(tmp_path, START.replace(old, new, 1).replace('["ft-all", "lora-last"]', '["lora-last"]'))
    assert words in str(error.value)


def test_rows_of_two_runtimes_never_share_a_task(tmp_path):
    more = '[[workload]]\ndataset = "digits"\nmodel = "cnn"\nruntime = "torch"\ntask = "t"\nchains = { "b" = ["tune"] }\n'
    text = SUITE.replace('model = "cnn"', 'model = "cnn"\ntask = "t"') + more
    with pytest.raises(UsageError, match="no speed-up is drawn between them"):
        load(tmp_path, text)
