"""Folds of the fine-tuning pool: no test row in them, blocked by time or writer, every class in every part."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tunebench.harness.study.folds import folds_of, masks, pool_of
from tunebench.workloads import artefact
from tunebench.workloads.datasets import load
from tunebench.workloads.prepare.artefacts import SHIPPED
from tunebench.workloads.prepare.pretrain import data_tensors


def tensor(values, kind="float32"):
    array = np.asarray(values, dtype=kind)
    return artefact.Tensor(kind, array.shape, bytearray(array.tobytes()))


def values(item):
    return np.frombuffer(bytes(item.data), dtype=item.dtype).reshape(item.shape)


def rows_artefact(labels, test=7):
    """Return a data artefact whose row k holds the number k; test rows hold 1e6."""
    n = len(labels)
    return artefact.Artefact(
        "data",
        {"n_in": 2, "n_classes": 3, "task": "rows"},
        {
            "finetune_x": tensor([[k, k] for k in range(n)]),
            "finetune_y": tensor(labels, "int32"),
            "test_x": tensor([[1e6, 1e6]] * test),
            "test_y": tensor([0] * test, "int32"),
        },
    )


#: recordings one after another, as the fan's: normal, stop, damaged, stop
FAN = [1] * 30 + [0] * 10 + [2] * 30 + [0] * 10
#: several people, all classes each
PEOPLE = ([0] * 5 + [1] * 5 + [2] * 5) * 6


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("labels", [FAN, PEOPLE], ids=["recordings", "people"])
def test_no_row_of_the_test_set_is_in_any_fold_and_every_pool_row_is_held_out_once(labels, count):
    folds = folds_of(rows_artefact(labels), count)
    held = np.concatenate([values(fold.data.need("test_x"))[:, 0] for fold in folds])
    assert sorted(held) == list(range(len(labels)))
    for fold in folds:
        trained = values(fold.data.need("finetune_x"))[:, 0]
        assert set(trained) <= set(range(len(labels)))
        assert not set(trained) & set(values(fold.data.need("test_x"))[:, 0])
        assert set(fold.data.tensors) == {"finetune_x", "finetune_y", "test_x", "test_y"}
        for part in ("finetune", "test"):  # labels go with their rows
            rows = values(fold.data.need(part + "_x"))[:, 0].astype(int)
            assert values(fold.data.need(part + "_y")).tolist() == np.asarray(labels)[rows].tolist()
            assert set(values(fold.data.need(part + "_y")).tolist()) == {0, 1, 2}


def test_what_is_cut_from_has_no_test_tensors_at_all():
    pool = pool_of(rows_artefact(FAN))
    assert set(pool.tensors) == {"finetune_x", "finetune_y"}
    without = rows_artefact(FAN)
    for name in ("test_x", "test_y"):
        del without.tensors[name]
    for fold, same in zip(folds_of(rows_artefact(FAN), 2), folds_of(without, 2), strict=True):
        assert artefact.encode("data", {}, fold.data.tensors) == artefact.encode(
            "data", {}, same.data.tensors
        )


def test_images_are_cut_in_order_and_rows_within_each_stretch_of_a_class():
    first, second = masks(np.asarray(PEOPLE), len(PEOPLE), 2)
    assert first.tolist() == [True] * 45 + [False] * 45
    assert (first ^ second).all()
    longer = np.repeat(PEOPLE, 4)
    by_time, _ = masks(longer, len(longer), 2, by_time=True)
    assert by_time.tolist() == ([True] * 10 + [False] * 10) * 18  # every person is in both parts
    first, _ = masks(np.asarray(FAN), len(FAN), 2, by_time=True)
    half = [True] * 15 + [False] * 15 + [True] * 5 + [False] * 5
    assert first.tolist() == half + half


def test_a_long_stretch_is_cut_in_blocks_that_the_folds_take_in_turn():
    # a recording of 80 rows at two speeds, then one that stands still: every fold has rows of every speed to train on
    labels = np.asarray([1] * 80 + [0] * 30 + [2] * 90)
    first, second = masks(labels, len(labels), 2, by_time=True)
    assert first[:80].tolist() == ([True] * 20 + [False] * 20) * 2
    assert first[80:110].tolist() == [True] * 15 + [False] * 15
    assert (first ^ second).all()
    runs = np.diff(np.flatnonzero(np.diff(np.r_[-1, first.astype(int), -1])))
    assert runs.min() >= 15  # still blocks of time: neighbours alone are not set against each other


def test_only_a_cut_in_blocks_is_told_from_one_that_number_and_count_tell():
    assert [fold.cut for fold in folds_of(rows_artefact(FAN), 2)] == ["", ""]
    long = [1] * 80 + [0] * 30 + [2] * 90
    marks = [fold.cut for fold in folds_of(rows_artefact(long), 2)]
    assert len({*marks, ""}) == 3


def test_images_whose_classes_stand_one_after_another_are_cut_within_each_class():
    first, _ = masks(np.asarray(FAN), len(FAN), 2)
    assert first.tolist() == [True] * 15 + [False] * 15 + [True] * 25 + [False] * 25


def test_rows_beside_a_held_out_one_are_in_neither_part():
    fold = folds_of(rows_artefact(FAN), 2)[0]
    trained = values(fold.data.need("finetune_x"))[:, 0].astype(int).tolist()
    # held out are 0-14, 30-34, 40-54 and 70-74
    assert trained == [*range(16, 29), *range(36, 39), *range(56, 69), *range(76, 80)]
    assert fold.n_pool == 80
    assert fold.epochs(100) == round(100 * 80 / fold.n_train)  # about the suite's steps


@pytest.mark.parametrize(
    ("labels", "count"), [([0] * 50 + [1], 2), ([0, 1], 2), ([0] * 20, 1), ([0] * 20, 11), ([0, 0, 1, 1], 3)]
)
def test_a_pool_that_cannot_be_cut_is_refused(labels, count):
    with pytest.raises(ValueError, match=r"folds? of (a|this) pool"):
        folds_of(rows_artefact(labels), count)


def test_boxes_go_with_their_images():
    table = [[0, 1], [0, 2], [2, 0], [3, 1]]
    data = artefact.Artefact(
        "data",
        {"task": "detect", "shape": [1, 2, 2], "n_classes": 3},
        {
            "finetune_x": tensor(np.arange(16).reshape(4, 1, 2, 2), "uint8"),
            "finetune_y": tensor(table, "int32"),
            "finetune_boxes": tensor([[k, k, k + 1, k + 1] for k in range(4)]),
            "test_x": tensor(np.full((1, 1, 2, 2), 255), "uint8"),
            "test_y": tensor([[0, 0]], "int32"),
            "test_boxes": tensor([[9, 9, 9, 9]]),
        },
    )
    first, second = folds_of(data, 2)
    assert values(first.data.need("test_y")).tolist() == [[0, 1], [0, 2]]
    assert values(first.data.need("finetune_y")).tolist() == [[0, 0], [1, 1]]
    assert values(first.data.need("finetune_boxes"))[:, 0].tolist() == [2.0, 3.0]
    assert values(second.data.need("test_x")).max() == 15
    assert set(first.data.tensors) == set(data.tensors)


def test_texts_keep_their_lengths_and_blocks_of_each_class_take_turns():
    labels = [0] * 200 + [1] * 160  # groups in order of time, as the mails are
    rows = rows_artefact(labels)
    tokens = {"finetune_n": tensor(range(len(labels)), "int32"), "test_n": tensor([9] * 7, "int32")}
    data = artefact.Artefact(
        "data", {"task": "text", "n_classes": 2, "end_token": 5}, {**rows.tensors, **tokens}
    )
    folds = folds_of(data, 2)
    for fold in folds:
        assert fold.data.meta["end_token"] == 5
        for part in ("finetune", "test"):
            numbers = values(fold.data.need(f"{part}_x"))[:, 0]
            assert values(fold.data.need(f"{part}_n")).tolist() == numbers.tolist()
        held = values(fold.data.need("test_y"))
        assert np.bincount(held).tolist() == [100, 80]
    first = values(folds[0].data.need("test_x"))[:, 0]
    assert {20, 60, 100, 140, 180} <= set(first + 20) and 20 not in first, "blocks, not halves"


def test_a_language_models_row_of_tokens_is_not_cut():
    data = artefact.Artefact("data", {"task": "language"}, {"finetune_x": tensor(range(50), "int32")})
    with pytest.raises(ValueError, match="one row of tokens"):
        folds_of(data, 2)


def test_the_shipped_digits_keep_their_test_rows_to_themselves():
    data = artefact.read(str(SHIPPED / "digits.tbx"))
    test = {row.tobytes() for row in values(data.need("test_x"))} - {
        row.tobytes() for row in values(data.need("finetune_x"))
    }
    for fold in folds_of(data, 2):
        for part in ("finetune_x", "test_x"):
            assert not test & {row.tobytes() for row in values(fold.data.need(part))}


@pytest.mark.data
@pytest.mark.skipif("TUNEBENCH_DATA" not in os.environ, reason="needs TUNEBENCH_DATA with the fan and HAPT")
@pytest.mark.parametrize("name", ["fan-damage1", "fan-damage2", "har-hapt"])
def test_the_studies_pools_can_be_cut_by_time(name):
    loaded = load(name, Path(os.environ["TUNEBENCH_DATA"]))
    data = artefact.Artefact("data", loaded.meta, data_tensors(loaded, "finetune"))
    for fold in folds_of(data, 2):
        assert 0.3 < fold.n_train / fold.n_pool < 0.6


def test_classes_that_alternate_are_cut_evenly():
    labels = np.asarray([0, 1] * 10 + [2, 0] * 10)
    for held in masks(labels, len(labels), 2):
        assert np.bincount(labels[held]).tolist() == [10, 5, 5]
