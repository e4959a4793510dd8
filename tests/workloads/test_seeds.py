"""Order and start values: the same on every machine, different where they must differ."""

from __future__ import annotations

import math

import pytest

from tunebench.workloads import seeds


def test_orders_are_these_on_every_machine():
    assert seeds.order(10, 0, 0) == [3, 6, 2, 9, 4, 0, 1, 7, 5, 8]
    assert [round(value, 6) for value in seeds.kaiming_uniform(3, 16, 7, "a")] == [
        -0.184445,
        -0.021703,
        0.141206,
    ]


def test_every_row_comes_once_an_epoch_and_the_last_short_batch_is_kept():
    cut = seeds.batches(45, 20, 3, 1)
    assert [len(rows) for rows in cut] == [20, 20, 5]
    assert sorted(row for rows in cut for row in rows) == list(range(45))


def test_seed_and_epoch_change_the_order():
    assert len({tuple(seeds.order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_start_values_fill_their_bound_evenly():
    values = seeds.kaiming_uniform(4000, 64, 0, "a")
    bound = 1 / 8
    assert max(values) <= bound
    assert min(values) >= -bound
    assert abs(sum(values) / len(values)) < 0.01 * bound * 10
    assert sum(value * value for value in values) / len(values) == pytest.approx(bound**2 / 3, rel=0.05)
    assert not math.isclose(values[0], seeds.kaiming_uniform(1, 64, 0, "b")[0])
