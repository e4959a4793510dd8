"""Confirmation sets: what no development has looked at, measured once, at a study's end.

Whoever improves a method on a set's test part fits the method to it, however the rates were chosen. These sets pose the
same tasks, in the same numbers and from the same start weights, on images that nothing was ever tried on: rows 7500 to
9999 of MNIST's file (other writers), and shapes drawn from other seeds; the noise of their drift is drawn anew, too.
Choose nothing on them: neither a rate nor a rank, nor whether to report. ``tunebench tune-rates`` refuses them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tunebench.workloads.datasets import mnist, mnist_turned, shapes
from tunebench.workloads.datasets.images import Drift, ImageSet
from tunebench.workloads.datasets.store import Store

#: As in ``mnist``: 600 to fine-tune, then 400 unused, since images of one writer stand together, then 1,500 to test.
MNIST_SPLITS = {"pretrain": slice(0, 5000), "finetune": slice(7500, 8100), "test": slice(8500, 10000)}
SHAPES_SEEDS = {"pretrain": 0, "finetune": 20261130, "test": 20261131}
_NOISE_SEED = 20261130


@dataclass(frozen=True)
class Confirmation:
    """A set that poses another set's task anew.

    Attributes:
        CONFIRMS: that other set.
        START_WEIGHTS: whose pretraining part and start weights both have.
        make: gives its arrays.
    """

    CONFIRMS: str
    START_WEIGHTS: str
    TASK: str
    make: Callable[[Store], ImageSet]
    REVISION: int = 1

    def load(self, store: Store) -> ImageSet:
        """Load or generate the set.

        Raises:
            DataUnavailable: as the set whose task it poses.
        """
        return self.make(store)


def _meta(of: dict[str, Any], splits: str) -> dict[str, Any]:
    return {**of, "title": f"{of['title']}, for confirmation", "splits": splits, "revision": 1}


def _fresh(drift: Drift) -> Drift:
    return replace(drift, seed=_NOISE_SEED)


_MNIST_SPLITS_TEXT = (
    "by position: 5,000 clean as in mnist; 600 and 1,500 drifted of rows 7500 to 9999, unused there"
)
_SHAPES_SPLITS_TEXT = "600 clean as in shapes; 120 and 200 drifted, drawn from seeds of their own"


def _mnist(store: Store) -> ImageSet:
    meta = _meta(mnist.META, _MNIST_SPLITS_TEXT)
    return mnist.cut("mnist-confirm", store, MNIST_SPLITS, _fresh(mnist.DRIFT), meta)


def _mnist_turned(store: Store) -> ImageSet:
    meta = _meta(mnist_turned.META, _MNIST_SPLITS_TEXT)
    return mnist.cut("mnist-turned-confirm", store, MNIST_SPLITS, mnist_turned.DRIFT, meta)


def _shapes(_store: Store) -> ImageSet:
    meta = _meta(shapes.META, _SHAPES_SPLITS_TEXT)
    return shapes.generate("shapes-confirm", SHAPES_SEEDS, _fresh(shapes.DRIFT), meta)


MNIST = Confirmation("mnist", "mnist", "classify", _mnist)
MNIST_TURNED = Confirmation("mnist-turned", "mnist", "classify", _mnist_turned)
SHAPES = Confirmation("shapes", "shapes", "segment", _shapes)
