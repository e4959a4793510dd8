"""Gradient checkpointing: the same losses and gradients, and the peak that was predicted."""

from __future__ import annotations

import weakref

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_flatten  # noqa: E402

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.methods import macs, memory  # noqa: E402

pytestmark = pytest.mark.torch
MODELS = [
    "resnet-small", "detector-small", *(pytest.param(name, marks=pytest.mark.slow)
    for name in ("unet-small", "squeezenet-small", "mobilenetv2-small")),
]  # fmt: skip


class Peak(TorchDispatchMode):
    """Most bytes of storages that lived at once and were made while it watched."""

    def __init__(self):
        super().__init__()
        self.live_b = self.peak_b = 0
        self.seen = weakref.WeakKeyDictionary()

    def _gone(self, size_b):
        self.live_b -= size_b

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        own = {
            id(item.untyped_storage())
            for item in tree_flatten((args, kwargs))[0]
            if isinstance(item, torch.Tensor)
        }
        for item in tree_flatten(out)[0]:
            if isinstance(item, torch.Tensor):
                storage = item.untyped_storage()
                if id(storage) not in own and storage not in self.seen:
                    self.seen[storage] = True
                    self.live_b += storage.nbytes()
                    weakref.finalize(storage, self._gone, storage.nbytes())
        self.peak_b = max(self.peak_b, self.live_b)
        return out


def peak_b(session):
    session.step(session.batches[0][0], no_mark)
    with Peak() as peak:
        session.step(session.batches[0][0], no_mark)
    return peak.peak_b


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["ft-all", "lora-all", "ft-bias"])
def test_losses_are_those_without(small, model, method):
    plain, again = (Session(small(method, model, checkpoint=flag)) for flag in (False, True))
    assert losses_of(again) == losses_of(plain)
    assert again.evaluate() == plain.evaluate()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["ft-all", "lorae"])
def test_the_peak_is_that_predicted(small, model, method):
    sessions = [Session(small(method, model, checkpoint=flag, epochs=1)) for flag in (False, True)]
    measured = [peak_b(session) for session in sessions]
    predicted = [memory.predict(session.plan, 6).step_b for session in sessions]
    assert predicted[1] == pytest.approx(measured[1], rel=0.1)
    assert predicted[1] / predicted[0] == pytest.approx(measured[1] / measured[0], rel=0.15)
    assert predicted[1] < predicted[0]


def test_blocks_are_run_once_more(small):
    plain, again = (
        macs.of_sample(small("ft-all", "resnet-small", checkpoint=flag).plan) for flag in (False, True)
    )
    assert again.forward == pytest.approx(2 * plain.forward, rel=0.01)
    assert (again.backward, again.update) == (plain.backward, plain.update)
