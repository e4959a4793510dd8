"""ncnn's files of our own: what the format asks for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.workloads.compress.networks import SMALL, case, network
from tunebench.workloads.compress.forms.ncnn_writer import ncnn_files
from tunebench.workloads.compress.state import Numbers, TransformError


@pytest.mark.parametrize("model", [*sorted(SMALL), "odd"])
def test_every_value_is_made_once_and_read_once_and_every_weight_is_stored(model):
    param, weights = ncnn_files(case(model))
    magic, counts, *lines = param.decode().splitlines()
    assert magic == "7767517"
    made, read, stored = Counter[str](), Counter[str](), 0
    for line in lines:
        kind, _, n_in, n_out, *rest = line.split()
        read.update(rest[: int(n_in)])
        made.update(rest[int(n_in) : int(n_in) + int(n_out)])
        keys = dict(key.split("=") for key in rest[int(n_in) + int(n_out) :])
        if kind in ("Convolution", "ConvolutionDepthWise", "InnerProduct"):
            size = int(keys["2" if kind == "InnerProduct" else "6"])
            stored += 4 + 4 * (size + int(keys["0"]))
    assert counts == f"{len(lines)} {len(made)}"
    assert set(made.values()) == set(read.values()) == {1}
    assert set(made) - set(read) == {"logits"}
    assert stored == len(weights)


def test_numbers_that_ncnn_is_not_written_in_are_refused():
    with pytest.raises(TransformError, match="float32 only here, this chain ends in float16"):
        ncnn_files(replace(network("mlp"), numbers=Numbers("float16")))
