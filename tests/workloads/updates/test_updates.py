"""Updates: forms, number types with their errors, sizes foretold, and a network put together again."""

from __future__ import annotations

import json
import zlib
from array import array
from pathlib import Path

import numpy as np
import pytest

from tunebench.workloads import artefact, updates
from tunebench.workloads.updates import Exported, Form, UpdateError, Values, parse_form, safetensors


def values(rng, *shape, scale=1.0):
    return Values(shape, array("f", (scale * rng.standard_normal(int(np.prod(shape)))).tolist()))


def as_numpy(item):
    return np.array(item.data, dtype=np.float32).reshape(item.shape)


@pytest.fixture
def exported():
    """A grouped convolution with BatchNorm and a Linear layer, both adapted."""
    rng = np.random.default_rng(0)
    base = {
        "conv.weight": values(rng, 6, 2, 3, 3),
        "conv.gamma": values(rng, 6),
        "head.weight": values(rng, 4, 6),
        "head.bias": values(rng, 4),
    }
    adapter = {
        "conv.extractor": values(rng, 2 * 3, 2, 3, 3),  # 2 groups, rank 3
        "conv.mapper": values(rng, 6, 3, 1, 1, scale=0.1),
        "head.extractor": values(rng, 2, 6),
        "head.mapper": values(rng, 4, 2, scale=0.1),
    }
    weights = dict(base)
    a, b = as_numpy(adapter["conv.extractor"]), as_numpy(adapter["conv.mapper"])
    low = [b[3 * g : 3 * g + 3, :, 0, 0] @ a[3 * g : 3 * g + 3].reshape(3, -1) for g in (0, 1)]
    conv = as_numpy(base["conv.weight"]) + 0.5 * np.concatenate(low).reshape(6, 2, 3, 3)
    head = as_numpy(base["head.weight"]) + 0.5 * as_numpy(adapter["head.mapper"]) @ as_numpy(
        adapter["head.extractor"]
    )
    weights["conv.weight"] = Values((6, 2, 3, 3), array("f", conv.ravel().tolist()))
    weights["head.weight"] = Values((4, 6), array("f", head.ravel().tolist()))
    changed = ("conv.weight", "head.weight")
    return Exported(weights, changed, {name: base[name] for name in changed}, adapter, 0.5), base


@pytest.mark.parametrize("text", ["adapter", "delta/float16", "weights/int8+zlib", "adapter/float32+zlib"])
def test_a_form_is_read_and_written(text):
    form = parse_form(text)
    assert parse_form(form.text) == form
    assert form.packed == text.endswith("+zlib")


@pytest.mark.parametrize(
    "text", ["", "adaptor", "adapter/", "adapter/int4", "adapter+gzip", "adapter+", "/int8"]
)
def test_another_form_is_refused_with_those_that_there_are(text):
    with pytest.raises(UpdateError, match="FORM one of weights, delta, adapter"):
        parse_form(text)


@pytest.mark.parametrize("what", updates.FORMS)
@pytest.mark.parametrize("dtype", list(updates.DTYPES))
def test_a_files_size_is_foretold_to_the_byte(exported, what, dtype):
    made, _ = exported
    form = Form(what, dtype, False)
    raw, entry = updates.make(made, form, "lorae", "a" * 64)
    shapes = {name: item.shape for name, item in updates.chosen(made, what).items()}
    assert updates.foretold_b(shapes, form, "lorae") == (entry.header_b, entry.tensor_b)
    assert len(raw) == entry.size_b == entry.safetensors_b == entry.header_b + entry.tensor_b
    if dtype == "float32":
        assert entry.tensor_b == 4 * entry.n_values and entry.max_error == 0.0


@pytest.mark.parametrize("what", updates.FORMS)
def test_a_network_is_put_together_again_from_its_base_and_any_form(exported, what):
    made, base = exported
    raw, _ = updates.make(made, Form(what, "float32", False), "lorae", "a" * 64)
    rebuilt = updates.rebuild(base, safetensors.decode(raw))
    for name, item in made.weights.items():
        np.testing.assert_allclose(as_numpy(rebuilt[name]), as_numpy(item), atol=2e-6, err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_file_states_its_true_rounding_error(exported, dtype):
    made, _ = exported
    raw, entry = updates.make(made, Form("adapter", dtype, False), "lorae", "a" * 64)
    file = safetensors.decode(raw)
    again = updates.dequantised(file.tensors)
    worst = max(
        float(np.abs(as_numpy(again[name]) - as_numpy(item)).max()) for name, item in made.adapter.items()
    )
    assert entry.max_error == pytest.approx(worst, rel=1e-6) and 0 < entry.rms_error < entry.max_error
    assert float(file.metadata["max_error"]) == pytest.approx(worst, rel=1e-5)
    if dtype == "int8":
        for name, item in made.adapter.items():
            step = file.tensors[name + ".scale"].values()[0]
            assert np.abs(as_numpy(again[name]) - as_numpy(item)).max() <= 0.5001 * step


def test_tensors_of_one_dimension_stay_float32_in_int8(exported):
    made, _ = exported
    raw, _ = updates.make(made, Form("weights", "int8", False), "lorae", "a" * 64)
    kinds = {name: item.dtype for name, item in safetensors.decode(raw).tensors.items()}
    assert (kinds["conv.gamma"], kinds["head.bias"], kinds["conv.weight"]) == ("F32", "F32", "I8")


def test_a_tensor_of_zeros_survives_int8():
    made = updates.quantised("x", Values((2, 2), array("f", [0.0] * 4)), Form("delta", "int8", False))
    assert updates.dequantised(made)["x"].data.tolist() == [0.0] * 4


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", list(updates.DTYPES))
def test_values_that_are_not_finite_are_no_update(wrong, dtype):
    with pytest.raises(UpdateError, match="not finite"):
        updates.quantised("x", Values((1, 2), array("f", [1.0, wrong])), Form("delta", dtype, False))


def test_a_value_too_large_for_float16_is_told(exported):
    with pytest.raises(UpdateError, match="F16"):
        updates.quantised("x", Values((1, 1), array("f", [1e5])), Form("delta", "float16", False))


def base_file(folder: Path) -> Path:
    path = folder / "base.tbx"
    artefact.write(str(path), "weights", {}, {"x": artefact.tensor("float32", (1,), [1.0])})
    return path


def test_the_index_lists_what_is_there_and_why_the_rest_is_not(exported, tmp_path):
    made, _ = exported
    without = made._replace(adapter={})
    forms = [parse_form(text) for text in ("delta+zlib", "adapter", "weights")]
    index = updates.write(str(tmp_path), forms, without, "ft-all", str(base_file(tmp_path)))
    folder = tmp_path / updates.FOLDER
    assert json.loads((folder / "index.json").read_text()) == index
    assert [entry["name"] for entry in index["files"]] == [
        "delta.float32.safetensors.zz",
        "weights.float32.safetensors",
    ]
    assert "no adapters" in index["left_out"]["adapter/float32"]
    packed = (folder / "delta.float32.safetensors.zz").read_bytes()
    assert len(packed) == index["files"][0]["size_b"]
    assert len(zlib.decompress(packed)) == index["files"][0]["safetensors_b"]


def test_a_network_that_cannot_be_exported_leaves_an_index_with_the_reason(tmp_path):
    index = updates.write(
        str(tmp_path), [parse_form("delta")], "out of memory", "x", str(base_file(tmp_path))
    )
    assert index["files"] == [] and index["left_out"] == {"delta/float32": "out of memory"}
