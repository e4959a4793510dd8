"""The largest batch and input that train under a limit of memory: real steps, real refusals of the kernel."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import memory, table
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.models import counted
from tunebench.workloads.run import max_batch
from tunebench.workloads.run.max_batch import FitError, Try, attempt
from tunebench.workloads.tasks.training import PLAIN

LIMIT_B = 60_000_000


def plan_of(method="ft-all", model="resnet-small", side=None):
    return plans.plan(table.method(method), counted(model, side=side), 2)


@pytest.fixture
def tries(monkeypatch):
    """Replace a try by the prediction; return the list of what was tried."""
    asked = []

    def predicted(plan, batch, limit_b, allocator="default", training=PLAIN):
        asked.append((plan.graph.shape, batch, allocator))
        fits = memory.predict(plan, batch, state_floats=training.state_floats).total_b <= limit_b
        return Try(fits, None if fits else "too much")

    monkeypatch.setattr(max_batch, "attempt", predicted)
    return asked


def test_the_search_finds_the_edge_and_tells_why_the_next_one_failed(tries):
    plan = plan_of()
    edge = max_batch.largest_batch(plan, LIMIT_B)
    assert edge.number == memory.largest_batch(plan, LIMIT_B) > 1
    assert (edge.tries, edge.reason) == (len(tries), "too much")


def test_a_side_is_a_multiple_of_what_networks_take(tries):
    edge = max_batch.largest_side(lambda side: plan_of(side=side), 10, LIMIT_B, "mmap")
    assert edge.number % 32 == 0 and edge.number > 0
    assert {shape[1] % 32 for shape, _, _ in tries} == {0} and {batch for _, batch, _ in tries} == {10}
    assert {allocator for _, _, allocator in tries} == {"mmap"}


def test_a_limit_under_which_not_even_one_sample_fits_gives_zero(tries):
    assert max_batch.largest_batch(plan_of(), 1000) == (0, 1, "too much")


def test_a_job_measures_both_beside_their_prediction(tries):
    metrics = max_batch.measure({"model": "resnet-small", "method": "ft-all", "limit_mb": 60, "batch": 4})
    assert metrics["fit_limit_b"] == LIMIT_B and metrics["fit_side_batch"] == 4
    # The stand-in's limit holds the weights; the real one comes on top of them.
    assert 0 < metrics["fit_batch"] <= metrics["fit_batch_predicted"]
    assert 0 < metrics["fit_side_px"] <= metrics["fit_side_predicted_px"]
    assert metrics["fit_tries"] == len(tries)


def test_keys_of_a_workload_change_what_fits(tries):
    wanted = {"model": "resnet-small", "method": "ft-all", "limit_mb": 60, "batch": 4}
    plain, again = (max_batch.measure({**wanted, "checkpoint": flag}) for flag in (False, True))
    assert again["fit_batch_predicted"] > 1.3 * plain["fit_batch_predicted"]
    skips = max_batch.measure({**wanted, "method": "skip2-lora", "skip_grid": "2x2", "skip_blocks": 2})
    assert skips["fit_batch_predicted"] > again["fit_batch_predicted"]
    frozen = max_batch.measure({**wanted, "method": "lora-fa"})
    assert frozen["fit_batch_predicted"] > plain["fit_batch_predicted"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"checkpoint": 1}, "params.checkpoint is 1, expected true or false"),
        ({"batchnorm": "live"}, "params.batchnorm is 'live', expected one of: frozen"),
        ({"skip_blocks": 2}, "skip_blocks is 2: method 'ft-all' has no skip adapters"),
        ({"head": "both"}, "params.head is 'both', expected one of: method, trained"),
    ],
)
def test_keys_that_cannot_be_honoured_are_refused(tries, keys, words):
    with pytest.raises(WorkloadError, match=words):
        max_batch.measure({"model": "resnet-small", "method": "ft-all", "limit_mb": 60, **keys})


def test_the_state_of_an_optimizer_takes_from_the_limit(tries):
    wanted = {"model": "resnet-small", "method": "ft-all", "limit_mb": 20, "batch": 4}
    plain, adamw = (max_batch.measure({**wanted, "optimizer": name}) for name in ("sgd", "adamw"))
    assert adamw["fit_batch"] < plain["fit_batch"]
    assert adamw["fit_batch_predicted"] < plain["fit_batch_predicted"]


@pytest.mark.torch
def test_a_limit_below_the_state_alone_is_not_tried():
    pytest.importorskip("torch", reason="torch is not installed")
    refused = attempt(plan_of(), 1, 1_000_000, training=PLAIN._replace(optimizer="adamw"))
    assert refused == (False, "the state of adamw alone is larger than the limit")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "params.model is missing"),
        ({"model": "unet-small"}, "params.method is missing"),
        ({"model": "unet-small", "limit": 3}, "params.limit is not known; known: model, method"),
        (
            {"model": "unet-small", "method": "lorae", "batch": 0},
            "params.batch is 0, expected a whole number from 1",
        ),
        (
            {"model": "unet-small", "method": "lorae", "limit_mb": "much"},
            "params.limit_mb is 'much', expected a number above 0",
        ),
        (
            {"model": "unet-small", "method": "lorae", "allocator": "arena"},
            "params.allocator is 'arena', expected default or mmap",
        ),
        (
            {"model": "unet-small", "method": "lorae", "optimizer": "adam"},
            "params.optimizer is 'adam', expected one of: sgd, momentum, adamw",
        ),
        (
            {"model": "unet-small", "method": "reestimated"},
            "params.method is 'reestimated', which takes no step; methods that do: ft-all, .*tent",
        ),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(params, message):
    with pytest.raises(FitError, match=message):
        max_batch.measure(params)


def test_available_memory_is_what_the_kernel_reports(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 900 kB\nMemAvailable:    500 kB\n")
    assert max_batch.available_b(str(path)) == 512_000
    with pytest.raises(FitError, match=r"does not tell MemAvailable: give params.limit_mb"):
        max_batch.available_b(str(tmp_path / "none"))


@pytest.mark.slow
@pytest.mark.torch
def test_a_step_that_fits_trains_and_one_that_does_not_is_refused_by_the_kernel():
    pytest.importorskip("torch", reason="torch is not installed")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    assert attempt(plan_of(), 2, 500_000_000) == (True, None)
    refused = attempt(plan_of(), 200, LIMIT_B)
    assert refused.fits is False and "allocate memory" in str(refused.reason)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before  # the limit was the try's own


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.alone  # what earlier tests freed in a process is room beyond the limit
def test_methods_that_keep_less_fit_larger_batches():
    pytest.importorskip("torch", reason="torch is not installed")
    head, every = (
        max_batch.largest_batch(plan_of(method), LIMIT_B // 2, "mmap") for method in ("ft-last", "ft-all")
    )
    assert head.number > every.number > 0
    assert every.number <= memory.largest_batch(plan_of(), LIMIT_B // 2 + 1_000_000)


def limited():
    return resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY


def dies(number):
    return lambda: os.kill(os.getpid(), number)


def fails(error):
    def act():
        raise error

    return act


def under_the_limit(act):
    """Return an act that happens only under a limit, like a library that crashes where memory is refused."""
    return lambda: act() if limited() else None


@pytest.fixture
def stepping(monkeypatch):
    """Function: the next tries do this with more than one sample, in place of a step."""
    probe_step = pytest.importorskip("tunebench.workloads.engines.pytorch.networks.probe_step")

    def instead(act):
        monkeypatch.setattr(probe_step, "stepper", lambda *_: lambda batch: act() if batch > 1 else None)

    return instead


@pytest.mark.torch
def test_a_try_that_the_kernel_kills_does_not_fit(stepping):
    stepping(dies(signal.SIGKILL))
    assert (
        attempt(plan_of(), 4, LIMIT_B).reason == "killed by SIGKILL, as the kernel does when memory runs out"
    )


@pytest.mark.torch
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_memory_that_is_refused_in_any_words_does_not_fit(stepping, error):
    stepping(fails(error))
    assert attempt(plan_of(), 4, LIMIT_B) == (False, str(error) or "MemoryError")


CRASHES = [
    (fails(RuntimeError("a kernel has no plan")), "failed: a kernel has no plan"),
    (fails(KeyError("x")), "failed: KeyError: 'x'"),
    (dies(signal.SIGTERM), "died of signal 15"),
    (lambda: os._exit(0), "ended without a word"),
]


@pytest.mark.torch
@pytest.mark.parametrize(("act", "ending"), CRASHES)
def test_what_crashes_under_the_limit_only_does_not_fit(stepping, act, ending):
    stepping(under_the_limit(act))
    assert attempt(plan_of(), 4, LIMIT_B) == (False, f"{ending}; without a limit it runs")


@pytest.mark.torch
@pytest.mark.parametrize(("act", "ending"), CRASHES)
def test_what_crashes_without_a_limit_too_is_no_answer(stepping, act, ending):
    stepping(act)
    with pytest.raises(FitError, match=f"a try with batch 4 {ending}, and without a limit it {ending}"):
        attempt(plan_of(), 4, LIMIT_B)
