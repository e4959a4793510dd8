"""Small image sets, one for each task, and tasks on them with start weights of a short pretraining."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tunebench.workloads import artefact
from tunebench.workloads.datasets import images, shapes
from tunebench.workloads.models.networks import task_of
from tunebench.workloads.prepare import artefacts
from tunebench.workloads.prepare.network import pretrain_network
from tunebench.workloads.tasks import network, spec

SIDE, COUNT = 32, 12
DRIFT = images.Drift(degrees=10.0, contrast=0.7, floor=0.1, noise=0.03, seed=1)


def small_set(task: str) -> images.ImageSet:
    """12 images of 32x32 a part: the middle of generated shapes, labelled for the task."""
    arrays: dict[str, Any] = {}
    for seed, part in enumerate(images.PARTS):
        pixels, masks = shapes.draw(COUNT, 50 + seed)
        middle = slice(16, 16 + SIDE)
        pixels, masks = pixels[:, :, middle, middle], masks[:, middle, middle]
        arrays[f"{part}_x"] = pixels if part == "pretrain" else DRIFT.images(pixels)
        if task == "segment":
            arrays[f"{part}_y"] = masks
        elif task == "classify":
            arrays[f"{part}_y"] = np.array(
                [np.bincount(mask.ravel(), minlength=4).argmax() for mask in masks]
            )
        else:
            arrays[f"{part}_y"] = np.array([(at, at % 3) for at in range(COUNT)])
            corners = [(4 + at, 3, 20 + at, 17) for at in range(COUNT)]
            arrays[f"{part}_boxes"] = np.array(corners, dtype=np.float32)
    classes = ["a", "b", "c"] + (["d"] if task != "detect" else [])
    return images.build(f"small-{task}", task, arrays, {"classes": classes, "revision": 1})


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Function (method, model, **spec) -> NetworkTask on a small set."""
    folder = tmp_path_factory.mktemp("small")
    made: dict[str, Any] = {}

    def make(method: str, model: str, **keys: Any) -> network.NetworkTask:
        if model not in made:
            loaded = small_set(task_of(model))
            artefacts.write_data(loaded, folder / f"{model}.tbx")
            weights = artefact.encode("weights", {}, pretrain_network(model, loaded, epochs=1))
            made[model] = (artefact.read(str(folder / f"{model}.tbx")), artefact.decode(weights))
        wanted = {"method": method, "model": model, "batch": 6, "epochs": 2, "lr": 0.005, "rank": 2, **keys}
        return network.make_network_task(spec.parse(wanted), *made[model])

    return make
