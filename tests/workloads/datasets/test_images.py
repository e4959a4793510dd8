"""Image sets: splits that do not leak, a drift that turns labels with images, small artefacts."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from tunebench.workloads import artefact, datasets
from tunebench.workloads.datasets import (
    DataUnavailable,
    bccd,
    bccd_cells,
    confirmation,
    enlarged,
    images,
    mnist,
    shapes,
)
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.models import UnsupportedModel
from tunebench.workloads.prepare import artefacts
from tunebench.workloads.tasks.task import true_boxes

TURN = images.Drift(degrees=30.0, contrast=1.0, floor=0.0, noise=0.0, seed=0)

needs_data = pytest.mark.skipif(
    not (Path(os.environ.get("TUNEBENCH_DATA", "/nowhere")) / "bccd").is_dir(),
    reason="needs TUNEBENCH_DATA with bccd, mnist_t10k and pneumoniamnist",
)


@pytest.fixture
def store(tmp_path):
    return Store(Path(os.environ["TUNEBENCH_DATA"]), tmp_path)


def disc(x, y, radius, size=64):
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    return ((columns - x) ** 2 + (rows - y) ** 2 < radius**2).astype(np.uint8)


def test_pixels_masks_and_boxes_turn_together():
    mask = disc(44, 26, 8)
    turned = TURN.masks(mask[None])[0]
    pixels = TURN.images((mask * 255)[None, None])[0, 0]
    boxes, kept = TURN.boxes(np.array([[36, 18, 52, 34]], dtype=np.float32), 64, 64)
    rows, columns = np.nonzero(turned)
    assert np.mean((pixels > 127) != (turned > 0)) < 0.01
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert kept.all() and np.abs(boxes[0] - seen).max() <= 1.5
    assert abs(columns.mean() - rows.mean()) > 1, "it moved"


def test_a_box_whose_centre_leaves_the_image_is_dropped_and_the_others_are_cut_to_it():
    corners = np.array([[0, 0, 8, 8], [20, 0, 44, 10]], dtype=np.float32)
    boxes, kept = TURN.boxes(corners, 64, 64)
    assert kept.tolist() == [False, True]
    assert boxes.min() >= 0 and boxes.max() <= 64


def test_an_enlarged_image_is_torchs_bilinear_one():
    torch = pytest.importorskip("torch", reason="torch's own interpolation is the reference")
    clean = np.random.default_rng(0).integers(0, 256, (3, 2, 28, 20), dtype=np.uint8)
    size = (64, 33)
    expected = torch.nn.functional.interpolate(torch.tensor(clean).double(), size, mode="bilinear")
    assert np.abs(enlarged.resized(clean, *size) - expected.numpy()).max() <= 0.5 + 1e-6
    assert np.array_equal(enlarged.resized(clean, 28, 20), clean)


def test_a_cell_is_cut_out_about_its_boxs_middle_and_edges_are_repeated():
    pixels = np.zeros((3, 480, 640), dtype=np.uint8)
    pixels[0, 100:140, 200:240] = 255
    cell = bccd_cells.cut(pixels, np.array([200.0, 100.0, 240.0, 140.0]))
    assert cell.shape == (3, 64, 64) and cell[1:].max() == 0
    rows, columns = np.nonzero(cell[0] > 127)
    assert abs(rows.mean() - 31.5) < 0.6 and abs(columns.mean() - 31.5) < 0.6
    assert len(rows) == pytest.approx((64 / bccd_cells.WIDER) ** 2, rel=0.05)
    assert (
        bccd_cells.cut(pixels + 7, np.array([620.0, 460.0, 660.0, 500.0])).tolist()
        == np.full((3, 64, 64), 7).tolist()
    )


def test_no_turn_no_noise_and_full_contrast_change_nothing():
    still = images.Drift(degrees=0.0, contrast=1.0, floor=0.0, noise=0.0, seed=0)
    clean, masks = shapes.draw(3, 0)
    assert np.array_equal(still.images(clean), clean)
    assert np.array_equal(still.masks(masks), masks)


def test_the_drift_is_the_same_every_time_and_told_in_words():
    clean, _ = shapes.draw(3, 0)
    assert np.array_equal(shapes.DRIFT.images(clean), shapes.DRIFT.images(clean))
    assert not np.array_equal(shapes.DRIFT.images(clean), clean)
    for word in ("rotated 20 degrees", "contrast x 0.6", "noise 0.08"):
        assert word in datasets.load("shapes").meta["drift"]


def test_shapes_are_generated_and_say_so():
    loaded = datasets.load("shapes")
    assert "generated" in loaded.meta["source"] and "generated" in loaded.meta["title"]
    assert loaded.meta["rows"] == {"pretrain": 600, "finetune": 120, "test": 200}
    assert set(np.unique(loaded.arrays["test_y"])) == {0, 1, 2, 3}
    flat = {part: {image.tobytes() for image in loaded.arrays[f"{part}_x"]} for part in images.PARTS}
    assert not flat["finetune"] & flat["test"]


@needs_data
def test_mnist_fine_tunes_and_tests_on_writers_it_was_not_pretrained_on(store):
    loaded = mnist.load(store)
    assert loaded.meta["rows"] == {"pretrain": 5000, "finetune": 600, "test": 1500}
    spans = sorted((rows.start, rows.stop) for rows in mnist.SPLITS.values())
    assert all(span[1] <= following[0] for span, following in itertools.pairwise(spans))
    assert np.bincount(loaded.arrays["test_y"], minlength=10).min() > 100


@needs_data
def test_turned_digits_are_mnists_own_pixels_at_other_places(store):
    own, turned = (datasets.dataset_module(name).load(store) for name in ("mnist", "mnist-turned"))
    clean = images.Drift(degrees=0.0, contrast=1.0, floor=0.0, noise=0.0, seed=0)
    still = mnist.cut("mnist", store, mnist.SPLITS, clean, mnist.META)
    for part in ("finetune", "test"):
        assert np.array_equal(np.rot90(still.arrays[f"{part}_x"], axes=(2, 3)), turned.arrays[f"{part}_x"])
        assert np.array_equal(own.arrays[f"{part}_y"], turned.arrays[f"{part}_y"])
    assert turned.meta["drift"].startswith("rotated 90 degrees")


@needs_data
def test_new_classes_are_in_the_target_domain_alone(store):
    loaded = datasets.dataset_module("mnist-new-classes").load(store)
    assert set(np.unique(loaded.arrays["pretrain_y"])) == set(range(8)) and loaded.meta["n_classes"] == 10
    assert np.bincount(loaded.arrays["finetune_y"]).min() > 40
    assert np.array_equal(loaded.arrays["test_y"], mnist.load(store).arrays["test_y"])
    assert datasets.start_weights_of("mnist-new-classes") == "mnist-new-classes"


def test_no_row_of_a_confirmation_set_is_in_the_set_that_rates_are_chosen_on():
    used = {row for rows in mnist.SPLITS.values() for row in range(rows.start, rows.stop)}
    spans = sorted((rows.start, rows.stop) for rows in confirmation.MNIST_SPLITS.values())
    assert all(span[1] <= following[0] for span, following in itertools.pairwise(spans))
    for part in ("finetune", "test"):
        rows = confirmation.MNIST_SPLITS[part]
        assert not used & set(range(rows.start, rows.stop)) and rows.start >= 7500
        length = mnist.SPLITS[part].stop - mnist.SPLITS[part].start
        assert rows.stop - rows.start == length, "the same task, in the same numbers"
    fresh = {seed for part, seed in confirmation.SHAPES_SEEDS.items() if part != "pretrain"}
    assert len(fresh) == 2 and not fresh & set(shapes.SEEDS.values())


def assert_it_begins_from_anothers_networks(name, load):
    source = datasets.start_weights_of(name)
    theirs, ours = load(source), load(name)
    for what in ("x", "y"):
        assert np.array_equal(theirs.arrays[f"pretrain_{what}"], ours.arrays[f"pretrain_{what}"])
        for part in ("finetune", "test"):
            assert theirs.arrays[f"{part}_{what}"].shape == ours.arrays[f"{part}_{what}"].shape
    assert (ours.name, ours.meta["classes"]) == (name, theirs.meta["classes"])
    assert {image.tobytes() for image in theirs.arrays["test_x"]}.isdisjoint(
        image.tobytes() for image in ours.arrays["test_x"]
    )


@needs_data
@pytest.mark.parametrize("name", ["mnist-turned", "mnist-confirm", "mnist-turned-confirm"])
def test_a_set_of_mnist_that_begins_from_its_networks_has_its_pretraining_part(store, name):
    assert datasets.start_weights_of(name) == "mnist"
    assert_it_begins_from_anothers_networks(name, lambda key: datasets.dataset_module(key).load(store))


def test_confirmation_shapes_begin_from_the_networks_of_shapes_and_are_others():
    assert datasets.start_weights_of("shapes-confirm") == "shapes"
    assert_it_begins_from_anothers_networks("shapes-confirm", datasets.load)


@needs_data
def test_pneumonia_keeps_its_own_splits(store):
    loaded = datasets.dataset_module("pneumonia").load(store)
    assert loaded.meta["rows"] == {"pretrain": 3882, "finetune": 524, "test": 624}
    assert loaded.meta["shape"] == [1, 28, 28]


@needs_data
@pytest.mark.parametrize("name", ["pneumonia", "mnist"])
def test_an_enlarged_set_has_the_same_pictures_and_labels(store, name):
    own, large = (datasets.dataset_module(key).load(store) for key in (name, f"{name}-64"))
    assert large.meta["shape"] == [1, 64, 64] and large.meta["rows"] == own.meta["rows"]
    assert large.meta["drift"] == f"{own.meta['drift']}; then 28x28 enlarged bilinearly"
    for part in images.PARTS:
        assert np.array_equal(large.arrays[f"{part}_y"], own.arrays[f"{part}_y"])
        means = (loaded.arrays[f"{part}_x"][:200].mean() for loaded in (own, large))
        assert np.diff(list(means)) == pytest.approx(0, abs=1.0)


@needs_data
@pytest.mark.slow
def test_single_cells_are_balanced_by_photograph_and_no_photograph_gives_to_two_parts(store):
    pytest.importorskip("PIL", reason="BCCD's images are JPEG")
    loaded = datasets.dataset_module("bccd-cells").load(store)
    assert loaded.meta["rows"] == {"pretrain": 817, "finetune": 336, "test": 278}
    counted = {part: np.bincount(loaded.arrays[f"{part}_y"]).tolist() for part in images.PARTS}
    assert counted == {"pretrain": [394, 214, 209], "finetune": [166, 87, 83], "test": [138, 71, 69]}
    clean, drifted = (loaded.arrays[f"{part}_x"].std() for part in ("pretrain", "test"))
    assert drifted != clean and loaded.meta["shape"] == [3, 64, 64]


@needs_data
@pytest.mark.slow
def test_bccd_has_real_boxes_inside_its_images(store):
    pytest.importorskip("PIL", reason="Pillow reads the images")
    loaded = bccd.load(store)
    assert loaded.meta["rows"] == {"pretrain": 205, "finetune": 87, "test": 72}
    assert loaded.meta["shape"] == [3, 128, 160]
    for part in images.PARTS:
        x1, y1, x2, y2 = loaded.arrays[f"{part}_boxes"].T
        assert (x1 < x2).all() and (y1 < y2).all()
        assert x1.min() >= 0 and x2.max() <= 160 and y1.min() >= 0 and y2.max() <= 128
        assert np.bincount(loaded.arrays[f"{part}_y"][:, 1]).argmax() == 0, "most are red cells"


def test_what_is_missing_says_where_it_comes_from(tmp_path):
    with pytest.raises(
        DataUnavailable, match=r"no folder .*bccd/BCCD; it comes from https://github.com/Shenggan"
    ):
        bccd.load(Store(tmp_path, tmp_path))
    with pytest.raises(DataUnavailable, match="mnist_t10k"):
        mnist.load(Store(tmp_path, tmp_path))


def test_another_copy_of_bccd_is_refused(tmp_path):
    splits = tmp_path / "bccd" / "BCCD" / "ImageSets" / "Main"
    splits.mkdir(parents=True)
    for name in ("train", "val", "test"):
        (splits / f"{name}.txt").write_text("")
    with pytest.raises(DataUnavailable, match="is not the known copy"):
        bccd.load(Store(tmp_path, tmp_path))


def test_a_data_artefact_holds_the_target_domain_in_bytes(tmp_path):
    artefacts.write_data(datasets.load("shapes"), tmp_path / "shapes.tbx")
    data = artefact.read(str(tmp_path / "shapes.tbx"))
    assert set(data.tensors) == {"finetune_x", "finetune_y", "test_x", "test_y"}
    assert data.need("finetune_x").dtype == "uint8"
    assert (tmp_path / "shapes.tbx").stat().st_size < 3_000_000


def test_boxes_come_back_from_the_artefact_as_they_went_in():
    made = {
        "finetune_x": artefact.Tensor("uint8", (2, 1, 1, 1), b"ab"),
        "finetune_y": artefact.tensor("int32", (2, 2), [1, 2, 0, 1]),
        "finetune_boxes": artefact.tensor("float32", (2, 4), [1, 2, 3, 4, 5, 6, 7, 8]),
    }
    data = artefact.decode(artefact.encode("data", {}, made))
    (first,), (second,) = true_boxes(data, "finetune")
    assert (first.label, first.box) == (1, (5, 6, 7, 8))
    assert (second.label, second.box) == (2, (1, 2, 3, 4))


@pytest.mark.parametrize(("name", "model"), [("shapes", "detector-small"), ("shapes", "mlp")])
def test_a_set_and_a_model_that_do_not_fit_are_refused(name, model, tmp_path):
    with pytest.raises(UnsupportedModel, match=f"{model!r} does not take data set 'shapes'"):
        artefacts.prepare(name, model, cache_dir=tmp_path)
