"""A task is refused, with what is wrong in it, before anything is trained."""

from __future__ import annotations

import pytest

from tunebench.workloads.artefact import Artefact, ArtefactError, tensor
from tunebench.workloads.models import graph_of
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.task import make_task


def parts(finetune_y=(0, 1, 1), x=0.5, weights_n_in=2):
    data = Artefact(
        "data",
        {"n_in": 2, "n_classes": 2},
        {
            "finetune_x": tensor("float32", (3, 2), [x] * 6),
            "finetune_y": tensor("int32", (3,), finetune_y),
            "test_x": tensor("float32", (1, 2), [0, 0]),
            "test_y": tensor("int32", (1,), [0]),
        },
    )
    shapes = weight_shapes(graph_of("mlp", (weights_n_in,), 2))
    weights = Artefact(
        "weights",
        {},
        {name: tensor("float32", shape, [0.0] * _size(shape)) for name, shape in shapes},
    )
    return data, weights


def _size(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def make(data, weights, **keys):
    return make_task(spec.parse({"method": "ft-all", "batch": 2, **keys}), data, weights)


def test_a_task_that_fits_is_made():
    made = make(*parts())
    assert (made.n_train, made.steps_per_epoch) == (3, 2)


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(SpecError, match=r"workload\.batch is 4, the fine-tuning set has 3 rows"):
        make(*parts(), batch=4)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_out_of_range_is_refused(label):
    with pytest.raises(SpecError, match=rf"finetune_y\[1\] is {label}, expected 0\.\.1"):
        make(*parts(finetune_y=(0, label, 1)))


@pytest.mark.parametrize("x", [float("nan"), float("inf"), float("-inf")])
def test_inputs_that_are_not_finite_are_refused(x):
    with pytest.raises(SpecError, match="finetune_x has NaN or infinite"):
        make(*parts(x=x))


def test_weights_of_another_data_set_are_refused():
    with pytest.raises(ArtefactError, match=r"layer0\.weight has shape \[96, 3\].*needs \[96, 2\]"):
        make(*parts(weights_n_in=3))


def test_inputs_of_another_width_are_refused():
    data, weights = parts()
    wide = dict(data.tensors, test_x=tensor("float32", (1, 3), [0, 0, 0]))
    with pytest.raises(ArtefactError, match=r"test_x has shape \[1, 3\]"):
        make(data._replace(tensors=wide), weights)
    with pytest.raises(ArtefactError, match=r"meta\.n_in is None"):
        make(data._replace(meta={}), weights)
    whole = dict(data.tensors, test_x=tensor("int32", (1, 2), [0, 0]))
    with pytest.raises(ArtefactError, match="must be float32"):
        make(data._replace(tensors=whole), weights)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mode": "fast"}, r"workload\.mode is 'fast', allowed: timed, instrumented, check, energy"),
        ({"device": "tpu"}, r"workload\.device is 'tpu', allowed: cpu, cuda"),
        ({"dtype": "int8"}, r"workload\.dtype is 'int8', allowed: float32, bfloat16, float16"),
        ({"epochs": 0}, r"workload\.epochs is 0, expected an integer of at least 1"),
        ({"batch": 2.5}, r"workload\.batch is 2\.5"),
        ({"threads": True}, r"workload\.threads is True"),
        ({"lr": -1}, r"workload\.lr is -1, expected a number above 0"),
        ({"lr": float("nan")}, r"workload\.lr is nan"),
        ({"method": None}, r"workload\.method is None"),
        ({"schema": "tunebench.workload/2"}, "expected 'tunebench.workload/1'"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_allowed(keys, message):
    with pytest.raises(SpecError, match=message):
        spec.parse({"method": "ft-all", **keys})


def test_what_a_workload_leaves_out_gets_the_defaults_of_the_protocol():
    made = spec.parse({"method": "ft-all", "dataset": "har-hapt"})
    assert (made.batch, made.rank, made.lr, made.scale, made.epochs) == (20, 4, 0.02, 1.0, 200)
    assert spec.parse({"method": "ft-all", "model": "cnn"}).epochs == 60
    assert spec.parse({"method": "ft-all", "dataset": "mine"}).epochs == 100
