"""Spaces: which points there are, what suite each of them is, and what is refused."""

from __future__ import annotations

import pytest

from tests.harness.search.conftest import CHAINS, METHODS
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.search.space import Point, space_of


def test_a_dimension_counts_only_for_rows_that_it_means_something_for(space):
    points = [point.label for point in space(METHODS).points()]

    assert len(points) == 3 + 2 * 2 * 3
    assert points[:4] == [
        "ft-all, epochs 2",
        "ft-all, epochs 5",
        "ft-all, epochs 10",
        "lora-all, rank 1, epochs 2",
    ]


def test_a_point_of_a_method_is_a_suite_with_that_method_rank_and_epochs(space):
    suite = space(METHODS).suite_at(Point((("method", "lora-all"), ("rank", 4), ("epochs", 5))))

    (row,) = suite.workloads
    assert (row.method, row.params["rank"], row.params["epochs"]) == ("lora-all", 4, 5)
    assert (row.label, row.task) == ("lora-all, rank 4, epochs 5", "digits/mlp [native cpu x1 float32]")
    assert (suite.header.blocks, suite.header.bases) == (2, 2)


def test_a_point_of_a_chain_is_a_suite_with_that_ratio_and_those_epochs_of_tune(space):
    searched = space(CHAINS)
    (row,) = searched.suite_at(Point((("chain", "both"), ("ratio", 0.3), ("epochs", 3)))).workloads

    assert [(step.ident, step.keys.get("ratio")) for step in row.chain] == [
        ("half", 0.3),
        ("tune", None),
        ("int8", None),
    ]
    assert row.settings.tune_epochs == row.params["compress"]["tune_epochs"] == 3
    assert [
        len(step.keys) for step in searched.suite.workloads[1].chain
    ] != []  # the suite itself stays as it was
    assert searched.suite.workloads[1].chain[0].keys["ratio"] == 0.5


def test_a_chain_without_a_step_that_prunes_has_no_ratio(space):
    points = [point.label for point in space(CHAINS).points()]

    assert points[:2] == ["float, epochs 1", "float, epochs 3"]
    assert len(points) == 2 + 4 + 4


def test_a_suite_with_a_space_measures_what_it_measured_without(tmp_path):
    (tmp_path / "with.toml").write_text(METHODS)
    (tmp_path / "without.toml").write_text(METHODS.partition("[search]")[0])

    with_space, without = (load_suite(str(tmp_path / f"{name}.toml")) for name in ("with", "without"))

    assert with_space.as_dict() == without.as_dict()


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (METHODS, "rank =", "depth =", "unknown dimension 'depth'; allowed: chain, method, ratio, keep, rank, epochs"),
        (METHODS, "[4, 1]", "[]", "dimension 'rank' (rank of the adapters) is a list of 1 to 64 whole numbers"),
        (METHODS, "[4, 1]", "[4, 4]", "none twice"),
        (METHODS, "[4, 1]", '["4"]', "whole numbers"),
        (METHODS, "[4, 1]", "[0, 4]", "rank"),
        (METHODS, "rank = [4, 1]", "ratio = [0.5]", "dimension 'ratio' (what share the steps that prune"),
        (METHODS, "rank = [4, 1]", 'method = ["lora"]', "method 'lora' is none of task"),
        (METHODS, "rank = [4, 1]", 'chain = ["float"]', "'chain' means nothing for task"),
        (METHODS, "rank = [4, 1]", 'task = "other"', "task 'other' is none with built-in methods or a runtime"),
        (METHODS, '"ft-all", "lora-all", "skip2-lora"', '"ft-last"', "(rank of the adapters) means nothing for any of"),
        (CHAINS, "[0.3, 0.6]", "[0.3, 1.6]", "ratio"),
        (CHAINS, '"pruned", "both"]', '"cut"]', "chain 'cut' is none of task"),
    ],
)  # fmt: skip
def test_what_is_no_space_is_refused_with_its_name(space, text, old, new, words):
    assert old in text
    with pytest.raises(UsageError) as caught:
        space(text, **{old: new})
    assert words in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_a_suite_without_a_space_says_how_one_is_written(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(METHODS.partition("[search]")[0])

    with pytest.raises(UsageError, match=r"has no \[search\] table; e\.g\. \[search\] epochs = "):
        space_of(load_suite(str(path)))


def test_one_point_is_no_space(space):
    text = (
        METHODS.replace("[4, 1]", "[1]")
        .replace("[2, 5, 10]", "[2]")
        .replace('"ft-all", "lora-all", "skip2-lora"', '"lora-all"')
    )

    with pytest.raises(UsageError, match="one point is no space"):
        space(text)


def test_a_task_must_be_named_where_there_are_several(space):
    second = '[[workload]]\ndataset = "digits"\nmodel = "cnn"\nmethods = ["ft-all"]\n\n[search]'

    with pytest.raises(UsageError, match="key 'task' is needed, since there are several: 'digits/mlp"):
        space(METHODS, **{"[search]": second})
