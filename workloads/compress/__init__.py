"""Compress a network on the host: transforms, each ``state -> state`` over the project's own description of a network.

A transform is one module and one line in :data:`TRANSFORMS`. Its module has

- ``KEYS``: key of a ``[[transform]]`` -> its default and what it may be, see :class:`Key`;
- ``apply(state, keys, context) -> state``.

Order is what a chain is: :mod:`tunebench.workloads.compress.chain` runs it, trains in between, and says what it did.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tunebench.workloads.compress.keys import Key

#: a step of a chain that needs no ``[[transform]]``: the fine-tuning on the target domain
TUNE = "tune"


@dataclass(frozen=True)
class Transform:
    """What a transform registers.

    Attributes:
        module: below :mod:`tunebench.workloads.compress.transforms`.
        stage: ``network``: it changes what training goes on with; ``final``: nothing can train behind it.
        trains: it may have ``steps`` on the source domain, to recover.
        what: for tables, in plain words.
    """

    module: str
    stage: str
    trains: bool
    what: str

    def load(self) -> Any:
        """Import its module."""
        return import_module(f"{__name__}.transforms.{self.module}")

    @property
    def keys(self) -> dict[str, Key]:
        """Return the keys that it takes besides id, kind and how."""
        keys: dict[str, Key] = self.load().KEYS
        return keys


#: (kind, how) -> transform
TRANSFORMS: dict[tuple[str, str], Transform] = {
    ("prune", "structured"): Transform("prune_structured", "network", True, "whole channels are removed"),
    ("prune", "magnitude"): Transform("prune_magnitude", "network", True, "small weights are set to zero"),
    ("prune", "gradual"): Transform("prune_gradual", "network", True, "weights become zero round by round"),
    ("sparsify", "l1"): Transform(
        "sparsify_l1", "network", True, "size has a price, small weights become zero"
    ),
    ("factorize", "svd"): Transform("factorize_svd", "network", True, "a layer becomes two of low rank"),
    ("factorize", "cp"): Transform("factorize_cp", "network", True, "a convolution becomes three"),
    ("distil", "soft"): Transform("distil_soft", "network", True, "a teacher's softened classes are learnt"),
    ("distil", "feature"): Transform(
        "distil_feature", "network", True, "what a teacher's blocks give is learnt"
    ),
    ("share", "kmeans"): Transform("share_kmeans", "final", False, "weights share a few values"),
    ("cast", "float16"): Transform("cast_float16", "final", False, "weights are written in 16 bits"),
    ("quantize", "static"): Transform(
        "quantize_static", "final", False, "8 bits, scales fixed by calibration"
    ),
    ("quantize", "qat"): Transform("quantize_qat", "network", False, "training goes through 8 bits"),
    ("quantize", "dynamic"): Transform(
        "quantize_dynamic", "final", False, "8 bits, scales found at run time"
    ),
}


def kinds() -> list[str]:
    """Return the kinds that a ``[[transform]]`` may have."""
    return list(dict.fromkeys(kind for kind, _ in TRANSFORMS))


def hows(kind: str) -> list[str]:
    """Return how a kind can be done."""
    return [how for other, how in TRANSFORMS if other == kind]
