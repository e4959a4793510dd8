"""Multiply-adds of a plan against numbers worked by hand."""

from __future__ import annotations

import pytest

from tunebench.workloads.methods import table
from tunebench.workloads.methods.macs import MultiplyAdds, of_sample
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.models import graph_of


def counted(method, n_in=256, n_out=3, model="mlp"):
    return of_sample(plan(table.method(method), graph_of(model, (n_in,), n_out), 4))


BASE = 256 * 96 + 96 * 96 + 96 * 3
LOW, HIGH = 4 * (256 + 96 + 96), 4 * (96 + 96 + 3)


def test_a_step_of_each_kind_of_method_has_the_multiply_adds_worked_by_hand():
    assert counted("ft-all") == MultiplyAdds(BASE, 96 * 96 + 96 * 3, BASE, 0)
    assert counted("ft-last") == MultiplyAdds(BASE, 0, 96 * 3, 0)
    assert counted("ft-bias") == MultiplyAdds(BASE, 96 * 96 + 96 * 3, 0, 0)
    # gradients of two layers' inputs, of the adapters' middle values, and through the A of the upper two
    own = 96 * 96 + 96 * 3 + HIGH + 4 * (96 + 96)
    assert counted("lora-all") == MultiplyAdds(BASE + LOW + HIGH, own, LOW + HIGH, 0)
    assert counted("lora-last") == MultiplyAdds(BASE + 4 * 96 + 4 * 3, 4 * 3, 4 * 96 + 4 * 3, 0)


def test_skip2_leaves_the_base_to_the_cache():
    skip = LOW + 3 * 4 * 3
    assert counted("skip-lora") == MultiplyAdds(BASE + skip, 3 * 4 * 3, skip, 0)
    assert counted("skip2-lora") == MultiplyAdds(skip, 3 * 4 * 3, skip, BASE)
    assert counted("skip2-lora", 561, 6).step == 6240
    assert counted("lora-all", 561, 6).step == 82608


def test_a_cached_head_that_trains_is_computed_each_time():
    assert counted("ft-last-cached") == MultiplyAdds(96 * 3, 0, 96 * 3, 256 * 96 + 96 * 96)


def test_convolutions_are_refused():
    with pytest.raises(ValueError, match="linear layers only"):
        counted("ft-all", 64, 10, "cnn")
