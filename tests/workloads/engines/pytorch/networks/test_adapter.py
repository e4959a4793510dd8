"""The convolutional adapter: equal forms, exact merge, true gradients, an untouched base."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402

from tunebench.workloads.engines.pytorch.networks.adapter import (  # noqa: E402
    BRANCH,
    COMPOSED,
    FORMS,
    AdaptedConv2d,
    AdaptedLinear,
    AdapterError,
    is_depthwise,
)

pytestmark = pytest.mark.torch


def filled(adapted, seed=0):
    """Give the mapper values, as if trained."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        adapted.mapper.copy_(torch.randn(adapted.mapper.shape, generator=draw) / adapted.rank**0.5)
    return adapted


@st.composite
def convolutions(draw):
    """A convolution, a rank, and an input it takes."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    c_in, c_out = groups * draw(st.integers(1, 5)), groups * draw(st.integers(1, 5))
    bias = draw(st.booleans())
    seed = draw(st.integers(0, 2**31))
    torch.manual_seed(seed)
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, bias)
    x = torch.randn(2, c_in, draw(st.integers(9, 12)), draw(st.integers(9, 12)))
    return conv, draw(st.integers(1, 6)), draw(st.sampled_from([1.0, 0.5, 2.0])), x, seed


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_branch_composed_and_merged_are_one_convolution(case):
    conv, rank, scale, x, seed = case
    start = conv.weight.detach().clone()
    branch = filled(AdaptedConv2d(conv, rank, scale, form=BRANCH), seed)
    expected = branch(x)
    branch.form = COMPOSED
    assert torch.allclose(branch(x), expected, rtol=1e-5, atol=1e-5)
    branch.merge()
    assert torch.allclose(branch(x), expected, rtol=1e-5, atol=1e-5)
    branch.unmerge()
    assert torch.equal(conv.weight, start), "unmerge gives the base back bit for bit"
    plain = branch.folded()
    assert torch.allclose(plain(x), expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(convolutions())
def test_the_count_is_rank_times_inputs_of_a_window_plus_outputs(case):
    conv, rank, scale, _, _ = case
    adapted = AdaptedConv2d(conv, rank, scale)
    kh, kw = conv.kernel_size
    trained = sum(item.numel() for item in adapted.parameters() if item.requires_grad)
    assert trained == rank * (conv.in_channels * kh * kw + conv.out_channels)


@settings(deadline=None, max_examples=15)
@given(convolutions(), st.sampled_from(FORMS))
def test_a_new_adapter_changes_nothing(case, form):
    conv, rank, scale, x, _ = case
    expected = conv(x)
    assert torch.equal(AdaptedConv2d(conv, rank, scale, form=form)(x), expected)


@settings(deadline=None, max_examples=15)
@given(convolutions())
def test_both_forms_have_the_same_gradients(case):
    conv, rank, scale, x, seed = case
    branch = filled(AdaptedConv2d(conv, rank, scale, form=BRANCH), seed).double()
    composed = copy.deepcopy(branch)
    composed.form = COMPOSED
    x = x.double()
    for a, b in zip(gradients(branch, x), gradients(composed, x), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def gradients(adapted, x):
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad((adapted(x) ** 2).sum(), [x, adapted.extractor, adapted.mapper])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("groups", "stride", "dilation"), [(1, 1, 1), (2, 2, 1), (2, 1, 2)])
def test_gradients_are_those_of_finite_differences(form, groups, stride, dilation):
    torch.manual_seed(1)
    conv = nn.Conv2d(4, 6, 3, stride, 1, dilation, groups).double()
    adapted = filled(AdaptedConv2d(conv, 2, 0.5, form=form)).double()
    x = torch.randn(1, 4, 5, 5, dtype=torch.double, requires_grad=True)

    def call(x, extractor, mapper):
        other = copy.deepcopy(adapted)
        del other.extractor, other.mapper
        other.extractor, other.mapper = extractor, mapper
        return other(x)

    leaves = [item.detach().clone().requires_grad_(True) for item in (adapted.extractor, adapted.mapper)]
    assert torch.autograd.gradcheck(call, (x, *leaves))


@pytest.mark.parametrize("form", FORMS)
def test_training_leaves_the_base_bit_identical(form):
    torch.manual_seed(2)
    conv = nn.Conv2d(3, 4, 3, padding=1)
    start = {name: item.detach().clone() for name, item in conv.state_dict().items()}
    adapted = AdaptedConv2d(conv, 2, form=form)
    optimiser = torch.optim.SGD(adapted.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    x, wanted = torch.randn(4, 3, 6, 6), torch.randn(4, 4, 6, 6)
    first = None
    for _ in range(20):
        loss = ((adapted(x) - wanted) ** 2).mean()
        first = first or loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < first
    assert all(torch.equal(item, start[name]) for name, item in conv.state_dict().items())


def test_merging_twice_is_merging_once():
    adapted = filled(AdaptedConv2d(nn.Conv2d(2, 3, 3), 2))
    adapted.merge()
    first = adapted.base.weight.clone()
    adapted.merge()
    assert adapted.merged and torch.equal(adapted.base.weight, first)
    adapted.unmerge()
    adapted.unmerge()
    assert not adapted.merged


def test_padding_by_name_is_taken_over():
    conv = nn.Conv2d(3, 4, 3, padding="same", dilation=2)
    adapted = filled(AdaptedConv2d(conv, 2, form=BRANCH))
    x = torch.randn(1, 3, 7, 7)
    expected = adapted(x)
    assert expected.shape == (1, 4, 7, 7)
    adapted.merge()
    assert torch.allclose(adapted(x), expected, atol=1e-5)


def test_a_linear_layer_is_merged_exactly():
    adapted = filled(AdaptedLinear(nn.Linear(7, 5), 3, 0.5))
    x = torch.randn(2, 4, 7)
    expected = adapted(x)
    adapted.merge()
    assert torch.allclose(adapted(x), expected, atol=1e-5)
    assert sum(item.numel() for item in adapted.parameters() if item.requires_grad) == 3 * (7 + 5)


def test_the_same_name_and_seed_give_the_same_start():
    first, second, other = (
        AdaptedConv2d(nn.Conv2d(3, 4, 3), 2, name=name, seed=5).extractor for name in ("a", "a", "b")
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert float(first.detach().abs().max()) <= 1 / 27**0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptedConv2d(nn.Conv2d(3, 4, 3), 0, name="stem"), "'stem': rank is 0"),
        (lambda: AdaptedConv2d(nn.Conv2d(3, 4, 3, padding_mode="reflect"), 2, name="stem"), "'reflect'"),
        (lambda: AdaptedConv2d(nn.ConvTranspose2d(3, 4, 3), 2, name="up"), "'up': expected a Conv2d"),
        (lambda: AdaptedConv2d(nn.Conv2d(3, 4, 3), 2, form="both"), "use one of: branch, composed"),
        (lambda: AdaptedLinear(nn.Conv2d(3, 4, 1), 2), "expected a Linear"),
    ],
)
def test_what_cannot_be_adapted_is_refused_by_name(make, message):
    with pytest.raises(AdapterError, match=message):
        make()


def test_depthwise_is_told_from_grouped():
    assert is_depthwise(nn.Conv2d(4, 8, 3, groups=4))
    assert not is_depthwise(nn.Conv2d(4, 8, 3, groups=2))
    assert not is_depthwise(nn.Conv2d(1, 8, 3))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_an_adapter_works_under_torch_compile(form):
    adapted = filled(AdaptedConv2d(nn.Conv2d(3, 4, 3), 2, form=form))
    compiled = torch.compile(adapted, backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 3, 6, 6)
    assert torch.allclose(compiled(x), adapted(x), atol=1e-6)
    ours = torch.autograd.grad(adapted(x).sum(), [adapted.mapper])[0]
    assert torch.allclose(torch.autograd.grad(compiled(x).sum(), [adapted.mapper])[0], ours, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("form", FORMS)
def test_an_adapter_gives_the_same_on_cuda(form):
    torch.backends.cudnn.allow_tf32 = False
    adapted = filled(AdaptedConv2d(nn.Conv2d(3, 4, 3), 2, form=form))
    x = torch.randn(2, 3, 6, 6)
    expected = adapted(x)
    assert torch.allclose(adapted.cuda()(x.cuda()).cpu(), expected, atol=1e-5)
