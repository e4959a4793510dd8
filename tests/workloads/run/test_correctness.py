"""The correctness gate passes on a true cache and fails on a false one."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the torch engine needs torch")

from tunebench.workloads.run import correctness

pytestmark = pytest.mark.torch


def test_a_true_cache_passes(digits):
    gate = correctness.check(digits("skip2-lora"))
    assert gate["passed"]
    assert gate["steps"] == 100
    assert gate["max_activation_diff"] <= 1e-6
    assert gate["max_loss_diff"] <= 1e-4


def test_a_damaged_activation_fails(digits):
    def damage(session, epoch):
        if epoch == 0:
            session.cache[17, 3] += 2e-6

    gate = correctness.check(digits("skip2-lora"), damage)
    assert not gate["passed"]
    assert gate["max_activation_diff"] > 1e-6


def test_a_damage_that_is_mended_before_the_end_fails_by_its_losses(digits):
    kept = []

    def damage(session, epoch):
        if epoch == 0:
            kept.append(session.cache.clone())
            session.cache.mul_(1.05)
        elif epoch == 2:
            session.cache.copy_(kept[0])

    gate = correctness.check(digits("skip2-lora"), damage)
    assert gate["max_activation_diff"] <= 1e-6
    assert not gate["passed"]


def test_a_row_that_was_never_filled_fails(digits):
    def damage(session, epoch):
        session.cache[5] = float("nan")

    gate = correctness.check(digits("skip2-lora"), damage)
    assert not gate["passed"]
    assert gate["max_activation_diff"] == float("inf")


def test_swapped_rows_fail(digits):
    def damage(session, epoch):
        if epoch == 0:
            session.cache[[0, 1]] = session.cache[[1, 0]]

    assert not correctness.check(digits("skip2-lora"), damage)["passed"]


def test_a_cache_is_read_back_even_where_an_epoch_is_longer_than_100_steps(digits):
    gate = correctness.check(digits("skip2-lora", batch=4))
    assert gate["passed"]
    assert gate["steps"] == 2 * 113


def test_a_method_without_a_cache_is_checked_for_repeatability(digits):
    gate = correctness.check(digits("lora-all"))
    assert gate == {"passed": True, "max_loss_diff": 0.0, "max_activation_diff": None, "steps": 100}
