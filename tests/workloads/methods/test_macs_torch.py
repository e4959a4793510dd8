"""Multiply-adds of a fine-tuning: torch's own counter of floating-point operations is the reference."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.methods import macs, table  # noqa: E402
from tunebench.workloads.models.graph import madds, shapes_of  # noqa: E402
from tunebench.workloads.run.job import _madds  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = ("resnet-small",)
MODELS = ("resnet-small", "unet-small", "detector-small", "mobilenetv2-small", "squeezenet-small")
PAIRS = [
    pytest.param(method, model, marks=[] if model in QUICK else pytest.mark.slow)
    for model in MODELS
    for method in table.methods_of("unet-small")
    if table.supports(method, model)
]
PAIRS += [
    pytest.param(*pair, marks=pytest.mark.slow)
    for pair in (
        ("lora-last-cached", "mobilenetv2"),
        ("ft-all", "efficientnet-lite0"),
        ("lorae", "efficientnet-lite0"),
        ("lora-all", "shufflenetv2-small"),
        ("lora-all", "mobilenetv3-tiny"),
    )
]


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_counted_products_are_those_that_torch_counts(small, method, model):
    counter_of = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    session = Session(small(method, model, epochs=2))
    products = _madds(session)
    assert products is not None
    with counter_of(display=False) as counter:
        session.train_epochs(0, 2)
    assert counter.get_total_flops() == 2 * (sum(products.values()) + overcounted(session))


def overcounted(session):
    """torch's counter forgets the groups of a grouped convolution in its weight's gradient."""
    if table.method(session.task.spec.method).gradient == table.FORWARD_ONLY:
        return 0
    shapes = shapes_of(session.plan.graph)
    grouped = [
        node for node in session.plan.graph.layers if node.groups > 1 and node.name in session.plan.weights
    ]
    seen = 2 * session.task.n_train
    return seen * sum((node.groups - 1) * madds(node, shapes) for node in grouped)


def test_a_cached_head_pays_for_the_trunk_once(small):
    kept, again = (
        macs.of_training(Session(small(method, "unet-small")).plan, 12, 10, 6)
        for method in ("ft-last-cached", "ft-last")
    )
    assert kept["cache_fill"] + kept["forward"] < 0.2 * again["forward"]
    assert (kept["backward"], kept["update"]) == (again["backward"], again["update"])
    assert again["cache_fill"] == 0
