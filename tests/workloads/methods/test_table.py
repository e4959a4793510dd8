"""The table of methods: hand-worked counts, what may be cached, and that nothing else knows a name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tunebench import workloads
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.methods import table
from tunebench.workloads.methods.table import Method
from tunebench.workloads.models import UnknownModel, UnsupportedModel, graph_of
from tunebench.workloads.tasks.training import BATCHNORMS

FAN, HAR, DIGITS = (256, 3), (561, 6), (64, 10)


def plan(name, sizes=FAN, model="mlp", rank=4):
    return plans.plan(table.method(name), graph_of(model, sizes[:1], sizes[1]), rank)


# Worked by hand for 256-96-96-3, rank 4 (and 561-96-96-6):
#   weights 256*96 + 96*96 + 96*3 = 34,080 (63,648), biases 96 + 96 + 3 = 195 (198)
#   LoRA-All  4*(256+96) + 4*(96+96) + 4*(96+3) = 1,408 + 768 + 396 = 2,572
#   Skip-LoRA 4*(256+3) + 4*(96+3) + 4*(96+3)  = 1,036 + 396 + 396 = 1,828
@pytest.mark.parametrize(
    ("name", "fan", "har"),
    [
        ("ft-all", 34_275, 63_648 + 198),
        ("ft-last", 291, 582),
        ("ft-bias", 195, 198),
        ("ft-all-lora", 34_275 + 2_572, 63_648 + 198 + 3_804),
        ("lora-all", 2_572, 3_804),
        ("lora-last", 396, 408),
        ("skip-lora", 1_828, 3_084),
        ("skip2-lora", 1_828, 3_084),
    ],
)
def test_trainable_parameters_of_the_mlp_are_those_worked_by_hand(name, fan, har):
    for sizes, expected in ((FAN, fan), (HAR, har)):
        counts = plans.counts(plan(name, sizes))
        assert counts.trainable == expected
        assert counts.update_b == 4 * expected


# CNN 1x8x8 -> 16x8x8 -> 32x4x4 -> 10: weights 144 + 4,608 + 5,120, biases 16 + 32 + 10
#   LoRAE, rank 4: (4*1*9 + 16*4) + (4*16*9 + 32*4) = 100 + 704 = 804
@pytest.mark.parametrize(
    ("name", "expected"), [("ft-all", 9_930), ("ft-last", 5_130), ("lora-last", 2_088), ("lorae", 804)]
)
def test_trainable_parameters_of_the_cnn_are_those_worked_by_hand(name, expected):
    assert plans.counts(plan(name, DIGITS, "cnn")).trainable == expected


def test_total_parameters_count_batchnorm_and_adapters():
    assert plans.counts(plan("ft-all")).total == 34_275 + 2 * 192
    assert plans.counts(plan("skip-lora")).total == 34_275 + 2 * 192 + 1_828


def test_skip2_caches_every_hidden_input_and_the_frozen_output():
    made = plan("skip2-lora")
    assert (made.cached_inputs, made.cached_output) == ((1, 2), True)
    assert plans.counts(made).cache_floats == 96 + 96 + 3
    assert plans.counts(plan("skip2-lora", HAR)).cache_floats == 198
    assert not plan("skip-lora").caches


def test_skip_adapters_lead_from_every_layer_to_the_last():
    assert plan("skip-lora").places == [(0, 2), (1, 2), (2, 2)]
    assert plan("lora-all").places == [(0, 0), (1, 1), (2, 2)]


def test_lorae_takes_over_kernel_stride_and_padding():
    first, second = plan("lorae", DIGITS, "cnn").adapters
    assert (first.extractor, first.mapper) == ((4, 1, 3, 3), (16, 4, 1, 1))
    assert (second.extractor, second.mapper) == ((4, 16, 3, 3), (32, 4, 1, 1))


def row(name, weights, biases, adapters):
    return Method(name, name, ("mlp",), weights, biases, adapters, True, "a ninth row")


def test_a_ninth_method_is_one_row():
    graph = graph_of("mlp", FAN[:1], FAN[1])
    lora = plans.plan(row("lora-last-cached", "none", "none", "own-last"), graph, 4)
    assert (lora.cached_inputs, lora.cached_output, plans.counts(lora).cache_floats) == ((2,), True, 99)
    tuned = plans.plan(row("ft-last-cached", "last", "last", "none"), graph, 4)
    assert (tuned.cached_inputs, tuned.cached_output, plans.counts(tuned).cache_floats) == (
        (2,),
        False,
        96,
    )


@pytest.mark.parametrize(
    ("weights", "biases", "adapters"),
    [("all", "none", "none"), ("none", "all", "none"), ("none", "none", "own-all")],
)
def test_a_row_cannot_cache_what_its_training_changes(weights, biases, adapters):
    with pytest.raises(ValueError, match="cannot cache"):
        plans.plan(row("wrong", weights, biases, adapters), graph_of("mlp", FAN[:1], FAN[1]), 4)


def test_an_unknown_method_is_told_the_known_ones():
    with pytest.raises(table.UnknownMethod, match=r"unknown method 'lora-al', use one of: ft-all, .*lorae"):
        table.method("lora-al")


def test_a_method_that_does_not_fit_the_model_is_told_those_that_do():
    with pytest.raises(table.UnsupportedMethod, match=r"'lorae' does not apply to model 'mlp'.*skip2-lora"):
        plan("lorae")
    assert not table.supports("lorae", "mlp")
    assert table.supports("lora-last", "cnn")


def test_rank_0_is_refused_where_there_are_adapters():
    with pytest.raises(WorkloadError, match="rank is 0"):
        plan("lora-all", rank=0)
    assert plan("ft-all", rank=0).adapters == ()


def test_a_model_that_does_not_exist_or_fit_is_refused():
    with pytest.raises(UnknownModel, match="use one of: cnn, mlp"):
        graph_of("vit", (64,), 10)
    with pytest.raises(UnsupportedModel, match="8x8 images"):
        graph_of("cnn", (256,), 3)


def test_nothing_else_knows_a_methods_name():
    # what may be done to BatchNorm is called by the same word as the method that does nothing else
    names = {row.name for row in table.METHODS} - set(BATCHNORMS)
    root = Path(workloads.__file__).parent
    for file in root.rglob("*.py"):
        if file == root / "methods" / "table.py":
            continue
        strings = [
            node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)
        ]
        assert not names & {text for text in strings if isinstance(text, str)}, file
