"""What is compared with what: controls, blocks of one task, and the baseline of each."""

from __future__ import annotations

import pytest

from tests.harness.config.suite.own_method import OWN, refused, write
from tunebench.harness.config.suite import AA_SUFFIX, load_suite
from tunebench.harness.errors import UsageError


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


@pytest.mark.parametrize(
    ("baseline", "hint"), [("ft", ""), ("FT-All", " (did you mean 'ft-all'?)"), ("lora-all", ""), ("", "")]
)
def test_a_baseline_that_is_in_no_task_is_refused_with_the_names(tmp_path, baseline, hint):
    message = refused(tmp_path, OWN.replace('baseline = "ft-all"', f'baseline = "{baseline}"'))
    assert f"mine.toml: [suite]: baseline {baseline!r} is not one of its methods{hint}" in message
    assert message.endswith("it has: ft-all, skip2-lora, my-method")


def test_a_baseline_may_be_of_one_task_only_or_not_be_named_at_all(tmp_path):
    other = '\n[[workload]]\ndataset = "digits"\nmodel = "cnn"\nmethods = ["lora-last", "lorae"]\n'
    assert load_suite(write(tmp_path, OWN + other)).baselines == {
        "digits/mlp": "ft-all",
        "digits/cnn": "lora-last",
    }
    bare = '[suite]\nname = "x"\n' + other
    assert load_suite(write(tmp_path, bare)).baselines == {"digits/cnn": "lora-last"}
