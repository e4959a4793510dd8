"""Safetensors files of our own: the reference package reads what we write, and we read what it writes."""

from __future__ import annotations

import doctest
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench.targets.agent.transfer import safetensors as strict
from tunebench.workloads.updates import safetensors

reference = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
DTYPES = {"F32": "float32", "F16": "float16", "I8": "int8"}


def random_tensors(seed, count=5):
    rng = np.random.default_rng(seed)
    tensors = {}
    for index in range(count):
        dtype = ("F32", "F16", "I8")[rng.integers(3)]
        shape = tuple(int(size) for size in rng.integers(1, 6, size=rng.integers(1, 5)))
        values = rng.integers(-100, 100, size=shape).astype(DTYPES[dtype])
        tensors[f"layer{index}.weight"] = (safetensors.Tensor(dtype, shape, values.tobytes()), values)
    return tensors


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_reference_package_reads_what_we_write(seed):
    made = random_tensors(seed)
    raw = safetensors.encode({name: item for name, (item, _) in made.items()}, {"made": "here"})
    for name, values in reference.load(raw).items():
        np.testing.assert_array_equal(values, made[name][1])
        assert values.dtype == made[name][1].dtype
    assert len(reference.load(raw)) == len(made)
    assert strict.read_head(raw).metadata == {"made": "here"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_we_read_what_the_reference_package_writes(seed):
    arrays = {name: values for name, (_, values) in random_tensors(seed).items()}
    raw = reference.save(arrays, {"made": "there"})
    contents = safetensors.decode(raw)
    assert contents.metadata == {"made": "there"} and set(contents.tensors) == set(arrays)
    for name, item in contents.tensors.items():
        assert item.shape == arrays[name].shape
        np.testing.assert_array_equal(np.array(item.values()), arrays[name].ravel().astype("float64"))
    head = strict.read_head(raw)  # the board's strict reader takes it too
    assert {name: entry.shape for name, entry in head.tensors.items()} == {
        name: values.shape for name, values in arrays.items()
    }


def test_equal_content_gives_equal_bytes_and_every_tensor_is_aligned():
    tensors = {name: item for name, (item, _) in random_tensors(7).items()}
    raw = safetensors.encode(tensors, {"a": "1"})
    assert raw == safetensors.encode(dict(tensors), {"a": "1"})
    for entry in strict.read_head(raw).tensors.values():
        assert entry.begin % safetensors.ITEM_B[entry.dtype] == 0


def test_a_files_size_is_known_from_its_shapes_alone():
    tensors = {name: item for name, (item, _) in random_tensors(3).items()}
    rows = [(name, item.dtype, item.shape) for name, item in tensors.items()]
    head = safetensors.header(rows, {"a": "1"})
    assert len(safetensors.encode(tensors, {"a": "1"})) == len(head) + sum(
        len(item.data) for item in tensors.values()
    )
    assert len(head) % 8 == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"short",
        struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 8) + b"not json",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 8) + b'{"x": 1}',
        struct.pack("<Q", 2**63) + b"{}",
    ],
)
def test_what_is_no_file_is_refused_by_both_readers(raw):
    with pytest.raises(safetensors.TensorFileError):
        safetensors.decode(raw)
    with pytest.raises(strict.Refused):
        strict.read_head(raw)


def file_of(header, body=b"\0" * 8):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (file_of({"x": entry(dtype="BF16")}), "type 'BF16'"),
        (file_of({"x": entry(dtype=["F32"])}), "type"),
        (file_of({"x": entry(offsets=(0, 4))}), "does not fit its shape"),
        (file_of({"x": entry(offsets=(4, 12))}), "does not fit its shape"),
        (file_of({"x": entry(shape=(-2,))}), "no lists of sizes"),
        (file_of({"x": entry(shape=(2.0,))}), "no lists of sizes"),
        (file_of({"x": entry(shape=(True, 2))}), "no lists of sizes"),
        (file_of({"x": entry(shape=(1,) * 9 + (2,))}), "no lists of sizes"),
        (file_of({"x": entry(more=1)}), "expected dtype, shape and data_offsets"),
        (file_of({"x": entry()}, b"\0" * 9), "end at byte"),
        (file_of({"x": entry()}, b"\0" * 7), "end at byte"),
        (file_of({"x": entry(), "y": entry()}), "does not fit its shape"),
        (file_of(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":1}'), "not JSON: key 'x' twice"),
        (file_of({"__metadata__": {"a": 1}, "x": entry()}), "no object of strings"),
        (file_of(b"[" * 100 + b"]" * 100), "not JSON"),
    ],
)
def test_the_boards_reader_accounts_for_every_byte(raw, message):
    with pytest.raises(strict.Refused, match=message):
        strict.read_head(raw)


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(safetensors.TensorFileError, match="do not fill"):
        safetensors.tensor("F32", (3,), [1.0])
    with pytest.raises(safetensors.TensorFileError, match="F16"):
        safetensors.tensor("F16", (1,), [1e6])
    with pytest.raises(safetensors.TensorFileError, match="I8"):
        safetensors.tensor("I8", (1,), [128])


def test_the_example_runs():
    assert doctest.testmod(safetensors).failed == 0
