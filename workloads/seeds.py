# ruff: noqa: S311  reproducible draws, no secrets
"""Data order and start values as pure functions of a seed.

Python's Mersenne Twister is the same on every version and machine, so every engine, method and board sees
the same order and the same adapters. Everything is drawn before the measured window.
"""

import math
import random
from array import array
from typing import List


def order(n: int, seed: int, epoch: int) -> List[int]:
    """Return a permutation of ``range(n)`` for one epoch (Fisher-Yates)."""
    draw = random.Random("order/%d/%d" % (seed, epoch)).random
    items = list(range(n))
    for i in range(n - 1, 0, -1):
        j = int(draw() * (i + 1))
        items[i], items[j] = items[j], items[i]
    return items


def batches(n: int, batch: int, seed: int, epoch: int) -> List[List[int]]:
    """Return the epoch's order cut into batches; the last short one is kept."""
    items = order(n, seed, epoch)
    return [items[i : i + batch] for i in range(0, n, batch)]


def kaiming_uniform(count: int, fan_in: int, seed: int, name: str) -> "array[float]":
    """Return ``count`` values from U(-b, b), b = 1 / sqrt(fan_in); ``name`` keeps tensors independent."""
    draw = random.Random("start/%d/%s" % (seed, name)).random
    bound = 1.0 / math.sqrt(fan_in)
    return array("f", [(2.0 * draw() - 1.0) * bound for _ in range(count)])
