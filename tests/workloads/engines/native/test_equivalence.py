"""native and torch start alike and stay together: every method, any shape, every build."""

from __future__ import annotations

import pytest

from tests.workloads.engines.native.conftest import assert_same_weights
from tunebench.workloads.engines.native import Session
from tunebench.workloads.methods import table
from tunebench.workloads.methods.table import ALL, LAST, NONE, OWN_ALL, OWN_LAST, SKIP, Method

pytest.importorskip("torch")

MLP = [name for name in table.methods_of("mlp") if table.method(name).labels and name != "mezo"]
#: rows that the table does not hold, but could: gradients through several adapters, biases and caches of all kinds
OTHERS = [
    Method("all-skip", "", ("mlp",), ALL, ALL, SKIP, False, ""),
    Method("weights-own", "", ("mlp",), ALL, NONE, OWN_ALL, False, ""),
    Method("last-skip-cached", "", ("mlp",), LAST, LAST, SKIP, True, ""),
    Method("last-own", "", ("mlp",), NONE, LAST, OWN_LAST, True, ""),
]


@pytest.mark.parametrize("method", MLP)
def test_each_method_gives_torchs_losses_and_predictions(method, digits, library, assert_equivalent):
    assert_equivalent(digits(method), library)


@pytest.mark.parametrize("method", ["ft-all-lora", "skip2-lora"])
def test_every_build_gives_torchs_losses_and_predictions(method, digits, builds, assert_equivalent):
    for made in builds.values():
        assert_equivalent(digits(method, seed=1), made)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["fan-damage1", "fan-damage2", "har-hapt"])
@pytest.mark.parametrize("method", MLP)
def test_each_method_gives_torchs_losses_on_the_studys_data(
    dataset, method, real_task, builds, assert_equivalent
):
    for made in builds.values():
        assert_equivalent(real_task(dataset, method), made)


@pytest.mark.parametrize("row", [table.method(name) for name in MLP] + OTHERS, ids=lambda row: row.name)
@pytest.mark.parametrize(
    ("sizes", "rank", "batch", "rows"),
    [
        ((7, 13, 5, 3), 3, 5, 23),  # nothing is a multiple of a vector; a last batch of 3
        ((33, 16, 2), 1, 1, 9),  # two layers, single samples
        ((16, 32, 16, 17, 1), 5, 7, 14),  # four layers, a rank above a tile, one class
        ((4, 96, 96, 6), 9, 20, 41),  # a last batch of one
    ],
)
def test_any_shape_rank_and_batch_gives_torchs_losses(
    row, sizes, rank, batch, rows, any_task, builds, losses_of
):
    from tunebench.workloads.engines.pytorch import chain

    made = any_task(row, sizes, rows, rank=rank, batch=batch, epochs=4, scale=0.5, lr=0.05)
    for library in builds.values():
        ours, reference = Session(made, library=library), chain.Session(made)
        assert losses_of(ours, 4) == pytest.approx(losses_of(reference, 4), rel=2e-4, abs=2e-6)
        assert_same_weights(ours, reference, abs=2e-6)


def test_start_values_and_frozen_weights_are_torchs_exactly(digits, library):
    from tunebench.workloads.engines.pytorch import chain

    made = digits("skip2-lora", epochs=1, seed=4)
    ours, reference = Session(made, library=library), chain.Session(made)
    for index, (first, second) in enumerate(reference.adapters):
        a, b = ours.adapter(index)
        assert a.tolist() == first.reshape(-1).tolist()
        assert b.tolist() == second.reshape(-1).tolist()
    before = [ours.layer(index)[0].tolist() for index in range(3)]
    ours.train_epochs(0, 1)
    assert [ours.layer(index)[0].tolist() for index in range(3)] == before


def test_a_step_follows_the_losss_own_slope(any_task, library):
    # against the loss itself, not against another engine's gradient: for a small step the loss falls by
    # lr * |gradient|^2, and |step|^2 = lr^2 * |gradient|^2
    row, lr = table.method("ft-all-lora"), 1e-3
    made = any_task(row, (12, 8, 8, 3), 6, rank=2, batch=6, epochs=2, lr=lr)
    session = Session(made, library=library)
    parts = [session.layer(i) for i in range(3)] + [session.adapter(i) for i in range(3)]
    (first,) = session.train_epochs(0, 1)
    later = [session.layer(i) for i in range(3)] + [session.adapter(i) for i in range(3)]
    (second,) = session.train_epochs(1, 1)
    moved = sum(
        (x - y) ** 2 for was, now in zip(parts, later, strict=True) for p, q in zip(was, now, strict=True)
        for x, y in zip(p, q, strict=True)
    )  # fmt: skip
    assert first - second == pytest.approx(moved / lr, rel=0.05)


@pytest.mark.slow
def test_torch_and_native_agree_with_hugging_face_peft(digits, library, assert_equivalent, losses_of):
    pytest.importorskip(
        "peft", reason="peft is not installed: pip install --no-deps peft, pip install transformers"
    )
    from benchmarks.finetune_peft import PeftSession
    from tunebench.workloads.engines.pytorch import chain

    made = digits("lora-all")
    assert_equivalent(made, library, PeftSession)
    epochs = -(-100 // made.steps_per_epoch)
    made = made._replace(spec=made.spec._replace(epochs=epochs))
    ours, theirs = losses_of(chain.Session(made), epochs), losses_of(PeftSession(made), epochs)
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
