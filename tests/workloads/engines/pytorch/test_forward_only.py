"""MeZO on torch: the same as written out with a direction that is kept, no graph, nothing kept beside the weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.nn.functional as F  # noqa: E402

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.workloads.engines.pytorch import forward_only  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.network import Network, load_weights  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.methods import memory  # noqa: E402
from tunebench.workloads.methods import plan as plans  # noqa: E402
from tunebench.workloads.run import correctness  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402

pytestmark = pytest.mark.torch
MODEL = "resnet-small"


def by_hand(task):
    """Losses of SGD along kept directions, in float64: weights are never moved in place."""
    twin = Session(task)
    model = Network(task.plan.graph).double()
    load_weights(model, task.weights)
    model.double().eval()
    names = {item.data_ptr(): name for name, item in twin.model.named_parameters()}
    trained = [dict(model.named_parameters())[names[item.data_ptr()]] for item in twin.trained]
    losses = []

    def loss_at(values, rows):
        for item, value in zip(trained, values, strict=True):
            item.data = value
        with torch.no_grad():
            return float(F.cross_entropy(model(twin._batch(rows).double())[0], twin.goal.y[rows]))

    for step, rows in enumerate(rows for epoch in twin.batches for rows in epoch):
        generator = torch.Generator().manual_seed(forward_only.seed_of(task.spec.seed, step))
        directions = [torch.randn(item.shape, generator=generator).double() for item in trained]
        at = [item.data.clone() for item in trained]
        moved = [
            loss_at([p + sign * 1e-3 * z for p, z in zip(at, directions, strict=True)], rows)
            for sign in (1, -1)
        ]
        slope = (moved[0] - moved[1]) / 2e-3
        loss_at([p - task.spec.lr * slope * z for p, z in zip(at, directions, strict=True)], rows)
        losses.append(sum(moved) / 2)
    return losses


def test_losses_are_those_of_directions_written_out_by_hand(small):
    task = small("mezo", MODEL, epochs=4, lr=1e-5)
    assert losses_of(Session(task)) == pytest.approx(by_hand(task), rel=1e-3)


def test_it_lowers_the_loss_in_many_steps(small):
    losses = losses_of(Session(small("mezo", MODEL, epochs=40, lr=3e-5)))
    assert sum(losses[-8:]) < sum(losses[:8])


@pytest.mark.parametrize("model", ["detector-small", "unet-small", "squeezenet-small"])
def test_it_runs_on_every_task_and_can_be_repeated(small, monkeypatch, model):
    monkeypatch.setattr(correctness, "STEPS", 4)
    assert correctness.check(small("mezo", model, lr=1e-6))["max_loss_diff"] == 0.0


def test_it_runs_on_a_chain_and_a_restart_gives_the_same_losses(digits):
    from tunebench.workloads.engines.pytorch.chain import Session as ChainSession

    session = ChainSession(digits("mezo", epochs=2, lr=1e-4))
    session.hold_start()
    first = losses_of(session)
    session.restart()
    assert losses_of(session) == first and len(set(first)) > 1


def test_no_graph_is_built_and_memory_is_that_of_a_forward_pass(small):
    session = Session(small("mezo", MODEL))
    with torch.autograd.graph.saved_tensors_hooks(pytest.fail, pytest.fail):
        session.step(session.batches[0][0], no_mark)
    whole, forward = (memory.predict(small(name, MODEL).plan, 16) for name in ("ft-all", "mezo"))
    assert (forward.saved_b, forward.gradients_b, forward.optimiser_b) == (0, 0, 0)
    assert forward.step_b < 0.3 * whole.step_b
    assert plans.counts(session.plan) == plans.counts(small("ft-all", MODEL).plan)


@pytest.mark.parametrize("keys", [{"optimizer": "adamw"}, {"clip": 1.0}, {"weight_decay": 0.1}])
def test_keys_of_gradients_are_refused(small, keys):
    with pytest.raises(SpecError, match=r"is about gradients, method 'mezo' computes none.*ft-all"):
        small("mezo", MODEL, **keys)


def test_the_native_engine_refuses_it_by_name():
    from tunebench.workloads.engines import check_plan
    from tunebench.workloads.methods import table
    from tunebench.workloads.models import graph_of

    made = plans.plan(table.method("mezo"), graph_of("mlp", (64,), 10), 4)
    with pytest.raises(
        SpecError, match=r"'native' does not estimate slopes .*'mezo' is to; engines that do: torch"
    ):
        check_plan("native", "mezo", made)
