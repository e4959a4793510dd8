"""A base in few bits: the bytes of a weight worked out by hand, and what does not go with it."""

from __future__ import annotations

import pytest

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import memory, table
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.methods.quantized_base import (
    is_quantized,
    parse_quantized_base,
    saved_b,
    weight_b,
    with_quantized_base,
)
from tunebench.workloads.models.graph import LANGUAGE, TEXT
from tunebench.workloads.models.language import SHAPES, build


def made(method, shape="minilm-tiny", goal=TEXT, form="nf4", **keys):
    graph = build(f"shape:{shape}", SHAPES[shape], 32, 2, goal)
    return with_quantized_base(plan(table.method(method), graph, 4, **keys), method, form)


def test_the_bytes_of_a_weight_are_those_of_its_values_and_scales():
    """64 x 256 values: 8,192 bytes of halves of a byte, 256 scales of a byte, one scale of these, and their mean."""
    node = next(node for node in made("lora-all").graph.layers if node.n_weights == 64 * 256)
    assert weight_b(node, "nf4") == 8192 + 256 + 4 + 4
    assert weight_b(node, "int8") == 64 * 256 + 4 * node.channels_out


def test_maps_of_the_trunk_are_packed_and_nothing_else():
    graph = made("lora-all").graph
    assert {node.op for node in graph.layers if is_quantized(node)} == {"project"}
    assert {node.op for node in graph.layers if not is_quantized(node)} >= {
        "embedding",
        "layernorm",
        "linear",
    }
    output = made("lora-all", "llama-tiny", LANGUAGE).graph
    assert not any(is_quantized(node) for node in output.nodes if node.op == "unembed")


@pytest.mark.parametrize("form", ["nf4", "int8"])
def test_memory_foretells_fewer_weights(form):
    packed, plain = made("lora-all", form=form), made("lora-all", form=None)
    fewer = memory.predict(plain, 4).weights_b - memory.predict(packed, 4).weights_b
    assert fewer == saved_b(packed) > 0 == saved_b(plain)


@pytest.mark.parametrize("method", ["ft-all", "ft-bias", "mezo"])
def test_a_method_that_trains_the_maps_is_refused_and_those_that_fit_are_named(method):
    with pytest.raises(
        table.UnsupportedMethod, match=rf"'{method}' trains them.*ft-last, lora-all, .*skip2-lora"
    ):
        made(method)


def test_of_a_language_model_only_methods_that_it_has_are_named():
    with pytest.raises(table.UnsupportedMethod, match=r"leave them: lora-all, lora-last, untrained$"):
        made("ft-all", "llama-tiny", LANGUAGE)


def test_8_bits_and_blocks_run_again_are_refused_since_nothing_would_be_freed():
    with pytest.raises(table.UnsupportedMethod, match="or use 'nf4'"):
        made("lora-all", form="int8", checkpoint=True)
    assert made("lora-all", checkpoint=True).quantized_base == "nf4"


@pytest.mark.parametrize(
    ("model", "value", "message"),
    [("mlp", "nf4", "is no transformer"), ("shape:minilm-l6", "fp4", "'fp4', allowed: nf4, int8")],
)
def test_what_is_no_form_or_no_transformer_is_refused(model, value, message):
    with pytest.raises(WorkloadError, match=message):
        parse_quantized_base(model, value)
    assert parse_quantized_base(model, None) is None
