"""Layers with a way of their own: adapted right, or refused by name; never another output in silence."""

from __future__ import annotations

import copy
import types

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, prune  # noqa: E402

from tunebench.workloads.engines.pytorch.networks import wrapping  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.adapter import (  # noqa: E402
    Adapted,
    AdaptedConv2d,
    AdaptedLinear,
    AdapterError,
)
from tunebench.workloads.engines.pytorch.networks.wrapping import Rule, wrap  # noqa: E402

pytestmark = pytest.mark.torch


class SamePadding(nn.Conv2d):
    """A convolution that pads as TensorFlow does: EfficientNet's stem, one place more behind than before."""

    def forward(self, x):
        sides = []
        for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            short = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides = [short // 2, short - short // 2, *sides]
        return F.conv2d(F.pad(x, sides), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in every call."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, (weight - weight.mean()) / weight.std(), bias)


class Twisted(nn.Linear):
    def forward(self, x):
        return F.linear(F.relu(x), self.weight * 2, self.bias) + 1


class Cut(nn.Conv2d):
    """A convolution through which no gradient reaches its weight."""

    def forward(self, x):
        return F.conv2d(x, self.weight.detach(), self.bias, self.stride, self.padding)


class Noisy(nn.Conv2d):
    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


class Counting(nn.Conv2d):
    """A convolution that gives another output in every call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class TwoInputs(nn.Conv2d):
    def forward(self, x, mask):
        return super().forward(x * mask)


def patched(layer):
    layer.forward = types.MethodType(lambda self, x: nn.Conv2d.forward(self, x.flip(3)) * 3, layer)
    return layer


def patched_conv_forward(layer):
    layer._conv_forward = lambda x, weight, bias: F.conv2d(x, weight * 2, bias, padding=1)
    return layer


def closed_over(layer):
    weight = layer.weight
    layer.forward = lambda x: F.conv2d(x, weight, layer.bias, padding=1)
    return layer


def hooked(layer):
    layer.register_forward_pre_hook(lambda module, given: (given[0] - 1,))
    layer.register_forward_hook(lambda module, given, result: result * 2)
    return layer


def model_of(layer):
    torch.manual_seed(0)
    return nn.Sequential(
        layer, nn.ReLU(), nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )


RIGHT = {
    "same padding": lambda: SamePadding(4, 8, 3, stride=2),
    "own _conv_forward": lambda: Standardised(4, 8, 3, padding=1),
    "patched on the object": lambda: patched(nn.Conv2d(4, 8, 3, padding=1)),
    "_conv_forward patched": lambda: patched_conv_forward(nn.Conv2d(4, 8, 3, padding=1)),
    "hooks": lambda: hooked(nn.Conv2d(4, 8, 3, padding=1)),
    "drawn noise": lambda: Noisy(4, 8, 3, padding=1),
    "grouped": lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),
    "dilated": lambda: nn.Conv2d(4, 8, 3, padding=2, dilation=2),
    "padding same": lambda: nn.Conv2d(4, 8, (3, 5), padding="same"),
    "no bias": lambda: nn.Conv2d(4, 8, 3, bias=False),
    "double": lambda: nn.Conv2d(4, 8, 3).double(),
    "subclass without a way of its own": lambda: type("Plain", (nn.Conv2d,), {})(4, 8, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_layer_is_adapted_as_it_is_called(name):
    model = model_of(RIGHT[name]())
    model = model.double() if name == "double" else model
    x = torch.randn(2, 4, 9, 9, dtype=model[0].weight.dtype)

    def run():
        torch.manual_seed(5)
        return model.eval()(x)

    before = run()
    assert wrap(model, Rule(rank=2)).adapted == ("0", "2")
    torch.testing.assert_close(run(), before, rtol=0, atol=1e-6)
    nn.init.normal_(model[0].mapper)
    run().pow(2).sum().backward()
    assert bool((model[0].extractor.grad != 0).any())
    tuned = run().detach()
    assert not torch.allclose(tuned, before, atol=1e-3)
    torch.testing.assert_close(run_folded(model, run), tuned, rtol=1e-4, atol=1e-5)


def run_folded(model, run):
    wrapping.fold(model)
    assert not any(isinstance(layer, Adapted) for layer in model.modules())
    with torch.no_grad():
        return run()


REFUSED = {
    "weight_norm": (lambda: nn.utils.weight_norm(nn.Conv2d(4, 8, 3)), "computed from other values"),
    "parametrised weight_norm": (lambda: parametrizations.weight_norm(nn.Conv2d(4, 8, 3)), "computed from"),
    "spectral_norm": (lambda: nn.utils.spectral_norm(nn.Conv2d(4, 8, 3)), "computed from other values"),
    "parametrised spectral_norm": (lambda: parametrizations.spectral_norm(nn.Conv2d(4, 8, 3)), "computed from"),
    "pruned": (lambda: prune.l1_unstructured(nn.Conv2d(4, 8, 3), "weight", 0.5), "computed from other values"),
    "reflecting": (lambda: nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), "padding_mode 'reflect'"),
    "circular": (lambda: nn.Conv2d(4, 8, 3, padding=1, padding_mode="circular"), "padding_mode 'circular'"),
    "transposed": (lambda: nn.ConvTranspose2d(4, 8, 3), "ConvTranspose2d carries no adapter"),
    "one dimension": (lambda: nn.Conv1d(4, 8, 3), "Conv1d carries no adapter"),
    "no gradient": (lambda: Cut(4, 8, 3), "could train through"),
    "closure over the weight": (lambda: closed_over(nn.Conv2d(4, 8, 3, padding=1)), "could train through"),
    "another output each time": (lambda: Counting(4, 8, 3), "output changes by"),
    "two inputs": (lambda: TwoInputs(4, 8, 3), "does not take an input of shape .*mask"),
    "scripted": (lambda: torch.jit.script(nn.Conv2d(4, 8, 3)), "RecursiveScriptModule carries no adapter"),
    "whole numbers": (lambda: whole_numbers(nn.Conv2d(4, 8, 3)), "quantised .int8"),
    "quantised": (lambda: torch.ao.nn.quantized.Conv2d(4, 8, 3), "quantized.*Conv2d carries no adapter"),
    "dynamic": (lambda: torch.ao.nn.quantized.dynamic.Linear(4, 8), "quantized.*Linear carries no adapter"),
}  # fmt: skip


def whole_numbers(layer):
    layer.weight = nn.Parameter(layer.weight.detach().to(torch.int8), requires_grad=False)
    return layer


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_layer_that_cannot_be_adapted_is_told_by_name(name):
    make, reason = REFUSED[name]
    model = model_of(make())
    flags = {key: item.requires_grad for key, item in model.named_parameters()}
    with pytest.raises(AdapterError, match="layer '0': .*" + reason):
        wrap(model, Rule(include=("2", "0")))
    assert not any(isinstance(layer, Adapted) for layer in model.modules())
    assert {key: item.requires_grad for key, item in model.named_parameters()} == flags
    done = wrap(model, Rule(include=("*",)))
    assert "0" not in done.adapted and ("0" in done.skipped or name == "scripted")


@pytest.mark.parametrize("make", [lambda: SamePadding(4, 8, 3), lambda: hooked(nn.Conv2d(4, 8, 3))])
def test_a_branch_beside_a_layer_with_a_way_of_its_own_is_refused(make):
    with pytest.raises(AdapterError, match=r"own, which a branch beside it would miss: use form 'composed'"):
        AdaptedConv2d(make(), 2, form="branch", name="stem")
    model = model_of(make())
    assert "branch" in wrap(model, Rule(form="branch")).skipped["0"]


def test_a_linear_layer_with_a_way_of_its_own_is_right_before_and_after_folding():
    model = nn.Sequential(Twisted(6, 5), nn.Linear(5, 3))
    x = torch.randn(4, 6)
    before = model(x)
    wrap(model, Rule(rank=2, linear=True))
    torch.testing.assert_close(model(x), before)
    nn.init.normal_(model[0].mapper)
    tuned = model(x)
    torch.testing.assert_close(wrapping.fold(model)(x), tuned)


def test_a_layer_used_at_two_places_has_one_adapter_at_both():
    shared, norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
    model = nn.Sequential(nn.Sequential(shared, norm), nn.ReLU(), nn.Sequential(shared, norm)).eval()
    x = torch.randn(2, 4, 5, 5)
    assert wrap(model, Rule(rank=2), example=x).adapted == ("0.0",)
    assert model[0][0] is model[2][0] and isinstance(model[2][0], AdaptedConv2d)
    assert model[2][1] is model[0][1] and isinstance(model[2][1], wrapping.FrozenNorm)
    nn.init.normal_(model[0][0].mapper)
    tuned = model(x)
    torch.testing.assert_close(wrapping.fold(model)(x), tuned, rtol=1e-4, atol=1e-5)
    assert model[0][0] is model[2][0] is shared


def test_two_layers_of_one_weight_are_refused_since_merging_would_change_both():
    first, second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    second.weight = first.weight
    with pytest.raises(AdapterError, match="layer '0': its weight is that of '1', too"):
        wrap(nn.Sequential(first, second), Rule(include=("0",)))
    table = nn.Sequential(nn.Embedding(7, 4), nn.Conv2d(1, 1, 1), nn.Linear(4, 7))
    table[2].weight = table[0].weight
    assert "'0'" in wrap(table, Rule(linear=True)).skipped["2"]


def test_a_parent_that_reads_its_layers_weight_gets_the_adapter_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True))
    x = torch.randn(2, 3, 8)
    before = model(x)
    done = wrap(model, Rule(rank=2, linear=True), example=x)
    assert "0.self_attn.out_proj" in done.adapted
    torch.testing.assert_close(model(x), before)
    nn.init.normal_(model[0].self_attn.out_proj.mapper)
    tuned = model(x)
    assert not torch.allclose(tuned, before, atol=1e-3)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), tuned, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wrapping.fold(model)(x), tuned, rtol=1e-4, atol=1e-5)


class Sideways(nn.Module):
    """A model whose layer tells its parent something: only the whole model shows that wrapping changes it."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.last(self.layer(x) if type(self.layer) is nn.Conv2d else x)


def test_a_model_whose_output_changes_is_refused_and_left_as_it_was():
    model, x = Sideways(), torch.randn(1, 4, 3, 3)
    before, state = model(x), copy.deepcopy(model.state_dict())
    with pytest.raises(AdapterError, match=r"at layer, last the model's output changes by .* on a scale of"):
        wrap(model, Rule(), example=x)
    assert torch.equal(model(x), before) and list(model.state_dict()) == list(state)
    assert all(item.requires_grad for item in model.parameters())
    wrap(model, Rule(exclude=("layer",)), example=(x,))


def test_an_example_that_the_model_does_not_take_is_told():
    with pytest.raises(AdapterError, match="does not take the example"):
        wrap(model_of(nn.Conv2d(4, 8, 3)), Rule(), example=torch.randn(2, 3, 9, 9))


def test_wrapping_leaves_hooks_buffers_modes_and_random_numbers_alone():
    seen = []
    layer = Noisy(4, 8, 3)
    layer.register_buffer("count", torch.zeros(1))
    layer.register_forward_hook(lambda *given: seen.append(given))
    model = model_of(layer).train()
    model[2].eval()
    state = torch.get_rng_state()
    wrap(model, Rule(rank=2))
    assert seen == [] and torch.equal(torch.get_rng_state(), state)
    assert model[0].training and layer.training
    model(torch.randn(1, 4, 9, 9))
    assert len(seen) == 1


def test_a_name_without_wildcards_among_others_is_refused_where_nothing_can_be_adapted():
    with pytest.raises(AdapterError, match="layer '1': ReLU carries no adapter"):
        wrap(model_of(nn.Conv2d(4, 8, 3)), Rule(include=("0", "1")))


@pytest.mark.parametrize("layer", [nn.LazyConv2d(8, 3), nn.LazyLinear(3), nn.LazyBatchNorm2d()])
def test_a_model_with_a_layer_that_has_no_weight_yet_is_refused_by_the_layers_name(layer):
    with pytest.raises(AdapterError, match=r"layer '1': .*Lazy.* has no weight yet: run one batch"):
        wrap(nn.Sequential(nn.Conv2d(4, 8, 3), layer), Rule())


def test_a_lazy_linear_layer_is_refused_and_taken_after_its_first_batch():
    layer = nn.LazyLinear(3)
    with pytest.raises(AdapterError, match="'last': LazyLinear has no weight yet"):
        AdaptedLinear(layer, 2, name="last")
    layer(torch.randn(1, 5))
    AdaptedLinear(layer, 2, name="last")
