"""TFLite files of our own: in how many bits LiteRT computes, and how a file is built."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from tests.workloads.compress.networks import network, odd, samples
from tests.workloads.compress.test_forms import outputs
from tunebench.workloads import artefact
from tunebench.workloads.compress.deployed import FORMS
from tunebench.workloads.compress.forms import flatbuffer
from tunebench.workloads.compress.forms.flatbuffer import Scalar, Table
from tunebench.workloads.compress.forms.tflite_writer import tflite_bytes
from tunebench.workloads.compress.state import Numbers, State, TransformError
from tunebench.workloads.deploy import litert
from tunebench.workloads.deploy.model import Share


def made(state: State) -> artefact.Artefact:
    """Return a network's artefact."""
    return artefact.decode(bytearray(artefact.encode("deployed", {}, dict(FORMS["litert"](state, "model")))))


def static(state: State) -> State:
    """Return it in 8 bits with scales from calibration."""
    from tunebench.workloads.compress.train import ranges_of

    return replace(state, numbers=Numbers("int8-static", ranges=ranges_of(state, samples(state, 32))))


@pytest.mark.torch
@pytest.mark.parametrize(
    "model",
    [
        "squeezenet-small",
        "resnet-small",
        "cnn",
        "odd",
        "shufflenetv2-small",
        "mobilenetv3-tiny",
        "efficientnet-small",
    ],
)
def test_fewer_bits_stay_near_their_float_parent_and_take_fewer_bytes(model):
    pytest.importorskip("ai_edge_litert", reason="the runtime itself: pip install ai-edge-litert")
    from tunebench.workloads.compress.train import logits_of

    state = odd("relu") if model == "odd" else network(model)
    x = samples(state)
    wanted, dense_b = logits_of(state, x), len(tflite_bytes(state))
    for form in (static(state), replace(state, numbers=Numbers("int8-dynamic"))):
        raw = tflite_bytes(form)
        assert raw == tflite_bytes(form)
        assert np.abs(outputs("litert", form, x) - wanted).max() < 0.1 * np.abs(wanted).max() + 0.02
        assert model == "odd" or len(raw) < 0.45 * dense_b


@pytest.mark.torch
@pytest.mark.parametrize("model", ["squeezenet-small", "resnet-small"])
def test_with_fixed_scales_every_node_but_the_two_at_the_ends_computes_in_whole_numbers(model):
    pytest.importorskip("ai_edge_litert", reason="the runtime itself: pip install ai-edge-litert")
    state = network(model)
    share = litert.profiled(made(static(state)), 1, "", [])
    assert share is not None
    assert share.time == {}
    assert share.nodes.keys() == {"int8", "conversion"}
    assert round(share.nodes["conversion"] * share.n_nodes) == 2
    assert litert.profiled(made(state), 1, "", []) == Share({}, {"float32": 1.0}, share.n_nodes - 2)


def test_what_calibration_has_not_seen_is_refused():
    with pytest.raises(TransformError, match="calibration has not seen"):
        tflite_bytes(replace(network("mlp"), numbers=Numbers("int8-static", ranges={"input": (0.0, 1.0)})))
    ranges = dict.fromkeys(["input", *(node.name for node in odd().graph.nodes)], (-1.0, 1.0))
    with pytest.raises(TransformError, match=r"first.*silu.*with fixed scales"):
        tflite_bytes(replace(odd(), numbers=Numbers("int8-static", ranges=ranges)))


def test_a_buffer_is_read_by_the_rules_of_its_format():
    inner = Table({1: Scalar("q", -5), 0: flatbuffer.byte(7)})
    raw = flatbuffer.encode(
        Table({0: "text", 2: flatbuffer.int32s([3, -4]), 3: [inner, Table({})], 5: flatbuffer.int32(9)}),
        b"TEST",
    )

    def number(code: str, at: int) -> int:
        return int(struct.unpack_from(f"<{code}", raw, at)[0])

    def field(table: int, slot: int) -> int | None:
        """Return where a field lies; None where the table does not have it."""
        vtable = table - number("i", table)
        assert vtable % 2 == 0
        if 4 + 2 * slot >= number("H", vtable):
            return None
        return table + offset if (offset := number("H", vtable + 4 + 2 * slot)) else None

    def behind(at: int | None) -> int:
        assert at is not None
        return at + number("I", at)

    root = behind(0)
    assert raw[4:8] == b"TEST"
    text, values, tables = (behind(field(root, slot)) for slot in (0, 2, 3))
    assert raw[text + 4 : text + 4 + number("I", text) + 1] == b"text\0"
    assert [number("I", values), number("i", values + 4), number("i", values + 8)] == [2, 3, -4]
    assert field(root, 1) is None and field(root, 4) is None
    at = field(root, 5)
    assert at is not None and number("i", at) == 9
    first, second = (behind(tables + 4 + 4 * place) for place in range(number("I", tables)))
    long, short = field(first, 1), field(first, 0)
    assert long is not None and short is not None
    assert (number("q", long), number("B", short)) == (-5, 7)
    assert field(second, 0) is None
