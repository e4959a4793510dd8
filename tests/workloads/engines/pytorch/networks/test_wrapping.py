"""Adapters on whole models by rule."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402

from tunebench.workloads.engines.pytorch.networks import wrapping  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.adapter import AdaptedConv2d, AdaptedLinear, AdapterError  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.wrapping import Rule, wrap  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def model():
    torch.manual_seed(0)
    body = OrderedDict(
        stem=nn.Conv2d(3, 8, 3, padding=1), norm=nn.BatchNorm2d(8), act=nn.ReLU(),
        depth=nn.Conv2d(8, 8, 3, padding=1, groups=8), grouped=nn.Conv2d(8, 8, 1, groups=2),
        up=nn.ConvTranspose2d(8, 8, 2, 2), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
    )  # fmt: skip
    return nn.Sequential(OrderedDict(body=nn.Sequential(body), head=nn.Linear(8, 5)))


def train(model, steps=8):
    """Train whatever requires gradients, with the model in training mode."""
    torch.manual_seed(1)
    x, y = torch.randn(16, 3, 8, 8), torch.randint(0, 5, (16,))
    model.train()
    optimiser = torch.optim.SGD([item for item in model.parameters() if item.requires_grad], lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model.eval()


def test_convolutions_are_adapted_and_the_rest_told_with_its_reason(model):
    done = wrap(model, Rule(rank=2))
    assert done.adapted == ("body.stem", "body.grouped")
    assert set(done.skipped) == {"body.depth", "body.up", "head"}
    assert "depthwise" in done.skipped["body.depth"]
    assert "ConvTranspose2d" in done.skipped["body.up"]
    assert all(name.endswith((".extractor", ".mapper")) for name in done.trained)


def test_training_leaves_everything_else_bit_identical(model):
    start = copy.deepcopy(model.state_dict())
    wrap(model, Rule(rank=2))
    train(model)
    assert any(bool((layer.mapper != 0).any()) for layer in wrapping.adapters(model))
    for layer in wrapping.adapters(model):
        nn.init.zeros_(layer.mapper)  # an adapter of nothing: what is left is the base
    after = wrapping.fold(model).state_dict()
    assert list(after) == list(start)
    assert all(torch.equal(item, after[name]) for name, item in start.items())


def test_folding_keeps_the_output_and_gives_the_models_own_layers_back(model):
    names = [name for name, _ in model.named_modules()]
    wrap(model, Rule(rank=3, linear=True, depthwise=True))
    train(model)
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    wrapping.merge(model)
    assert torch.allclose(model(x), expected, atol=1e-5)
    wrapping.unmerge(model)
    assert torch.equal(model(x), expected)
    assert torch.allclose(wrapping.fold(model)(x), expected, atol=1e-5)
    assert [name for name, _ in model.named_modules()] == names


def test_linear_layers_and_depthwise_convolutions_are_adapted_when_asked(model):
    done = wrap(model, Rule(linear=True, depthwise=True))
    assert done.adapted == ("body.stem", "body.depth", "body.grouped", "head")
    assert isinstance(model.head, AdaptedLinear) and isinstance(model.body.depth, AdaptedConv2d)


def test_a_head_trains_as_it_is_and_norms_when_asked(model):
    done = wrap(model, Rule(head=("head",), train_norms=True, exclude=("body.grouped",)))
    assert set(done.trained) == {
        "body.stem.extractor", "body.stem.mapper", "body.norm.weight", "body.norm.bias", "head.weight", "head.bias",
    }  # fmt: skip
    before = model.body.norm.running_mean.clone()
    train(model)
    assert not torch.equal(model.body.norm.running_mean, before)


def test_the_rank_of_a_layer_wins_over_the_rank_of_the_model(model):
    wrap(model, Rule(rank=4, ranks=(("*.stem", 1),)))
    assert (model.body.stem.rank, model.body.grouped.rank) == (1, 4)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(include=("body.up",)), "'body.up': ConvTranspose2d carries no adapter"),
        (Rule(include=("body.depth",)), "'body.depth': depthwise"),
        (Rule(include=("neck.*",)), "pattern 'neck.*' meets no layer"),
        (Rule(include=("body.norm",)), "meets no layer that can carry"),
        (Rule(rank=0), "rank is 0"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_name(model, rule, message):
    with pytest.raises(AdapterError, match=message.replace("*", r"\*")):
        wrap(model, rule)


def test_a_model_is_wrapped_once(model):
    wrap(model)
    with pytest.raises(AdapterError, match="adapters already"):
        wrap(model)


def test_an_update_is_the_adapters_and_moves_to_another_copy(model):
    other = copy.deepcopy(model)
    for network in (model, other):
        wrap(network, Rule(rank=2))
    train(model)
    state = wrapping.adapter_state(model)
    assert sum(item.numel() for item in state.values()) == 2 * (3 * 9 + 8) + 2 * (8 + 8)
    wrapping.load_adapter_state(other, state)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(other.eval()(x), model(x))


def test_a_state_that_does_not_fit_changes_nothing(model):
    wrap(model, Rule(rank=2))
    state = {name: item.clone() + 1 for name, item in wrapping.adapter_state(model).items()}
    state["body.grouped.mapper"] = state["body.grouped.mapper"][:1]
    before = {name: item.clone() for name, item in wrapping.adapter_state(model).items()}
    with pytest.raises(AdapterError, match=r"'body.grouped.mapper' has shape \[1, 2, 1, 1\]"):
        wrapping.load_adapter_state(model, state)
    del state["body.grouped.mapper"]
    with pytest.raises(AdapterError, match="is missing"):
        wrapping.load_adapter_state(model, state)
    assert all(torch.equal(item, before[name]) for name, item in wrapping.adapter_state(model).items())
