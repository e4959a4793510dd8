"""Data sets: splits that do not leak, a drift that is there, and errors that say how to get a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from workloads import datasets
from workloads.datasets import DataUnavailable, digits, fan, har


def test_digits_are_split_by_contiguous_rows_and_only_the_target_drifts():
    sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="digits are built from scikit-learn")
    found = datasets.load("digits")
    bunch = sklearn_datasets.load_digits()
    assert (len(found.pretrain_x), len(found.finetune_x), len(found.test_x)) == (900, 450, 447)
    labels = np.concatenate([found.pretrain_y, found.finetune_y, found.test_y])
    assert np.array_equal(labels, bunch.target)
    assert np.array_equal(found.pretrain_x, (bunch.data[:900] / 16).astype("float32"))
    assert not np.array_equal(found.finetune_x, (bunch.data[900:1350] / 16).astype("float32"))
    assert found.meta["n_in"] == 64
    assert found.meta["n_classes"] == 10
    assert found.meta["rows"] == {"pretrain": 900, "finetune": 450, "test": 447}
    for part in (found.finetune_x, found.test_x):
        assert part.dtype == np.float32
        assert part.min() >= 0
        assert part.max() <= 1
        assert np.array_equal(part * 1024, np.round(part * 1024)), (
            "rounded: other numpy builds give equal bytes"
        )


def test_rotation_by_a_quarter_turn_is_exact():
    image = np.arange(64, dtype=float).reshape(1, 64)
    turned = digits.rotate(image, 90.0).reshape(8, 8)
    assert np.allclose(turned, np.rot90(image.reshape(8, 8), -1)) or np.allclose(
        turned, np.rot90(image.reshape(8, 8))
    )
    assert np.allclose(digits.rotate(image, 0.0), image)


def test_an_unknown_data_set_is_told_the_known_ones():
    with pytest.raises(
        datasets.UnknownDataset, match="use one of: digits, fan-damage1, fan-damage2, har-hapt"
    ):
        datasets.load("mnist")


@pytest.mark.parametrize(("name", "file"), [("har-hapt", har.FILE), ("fan-damage1", fan.FILE)])
def test_a_missing_file_says_which_where_from_and_how_to_place_it(name, file, tmp_path, monkeypatch):
    monkeypatch.delenv("TUNEBENCH_DATA", raising=False)
    with pytest.raises(DataUnavailable, match=rf"TUNEBENCH_DATA is not set; {file} comes from https://"):
        datasets.load(name)
    with pytest.raises(DataUnavailable, match=rf"no file {tmp_path}/{file}; .*place it in a folder"):
        datasets.load(name, tmp_path)


def test_a_damaged_file_is_named_with_both_hashes(tmp_path):
    (tmp_path / har.FILE).write_bytes(b"PK not really")
    found = hashlib.sha256(b"PK not really").hexdigest()
    with pytest.raises(DataUnavailable, match=rf"{har.FILE} is damaged .*{found}, expected {har.SHA256}"):
        datasets.load("har-hapt", tmp_path)


def folder() -> Path:
    if not os.environ.get("TUNEBENCH_DATA"):
        pytest.skip("TUNEBENCH_DATA is not set")
    return Path(os.environ["TUNEBENCH_DATA"])


@pytest.mark.data
def test_har_holds_target_subjects_out_and_splits_them_by_experiment():
    found = datasets.load("har-hapt", folder())
    assert found.meta["rows"] == {"pretrain": 10_411 - 885 - 877, "finetune": 885, "test": 877}
    assert (found.meta["n_in"], found.meta["n_classes"]) == (561, 6)
    assert set(found.test_y) == set(found.finetune_y) == set(range(6))
    # no row twice: neighbouring windows of one experiment overlap, those of two do not
    rows = {row.tobytes() for row in found.finetune_x}
    assert not rows & {row.tobytes() for row in found.test_x}
    assert not rows & {row.tobytes() for row in found.pretrain_x}


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts"),
    [("fan-damage1", {"pretrain": (116, 177, 177), "finetune": (115, 177, 178), "test": (114, 178, 178)})],
)
def test_fan_has_470_rows_a_part_and_these_classes(name, counts):
    found = datasets.load(name, folder())
    assert found.meta["n_in"] == 256
    for part, expected in counts.items():
        labels = getattr(found, part + "_y")
        assert tuple(np.bincount(labels)) == expected, part


@pytest.mark.data
def test_the_two_damages_share_the_normal_recording_only():
    first, second = (datasets.load(f"fan-damage{number}", folder()) for number in (1, 2))
    assert np.array_equal(first.test_x[:235], second.test_x[:235])
    assert not np.array_equal(first.test_x[235:], second.test_x[235:])
