"""Networks at their published sizes give what torchvision's give, layer by layer in the same order."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tunebench.workloads.engines.pytorch.networks.network import Network, places  # noqa: E402
from tunebench.workloads.models import counted  # noqa: E402

pytestmark = pytest.mark.torch

SIDE = 64
#: network -> its name in torchvision, and the first outputs of torchvision 0.28.0's with the weights and image drawn here
REFERENCES = {
    "squeezenet1.1": ("squeezenet1_1", [0.341136, 0.528354, 0, 1.3541]),
    "shufflenetv2": ("shufflenet_v2_x1_0", [17.1615, -6.91385, -10.6402, -15.0574]),
    "mobilenetv3-small": ("mobilenet_v3_small", [0.320089, -0.332801, 0.455559, 0.116799]),
    "efficientnet-b0": ("efficientnet_b0", [0.0918377, -0.304913, -0.0430652, -0.264593]),
}


def drawn(name: str, shape: tuple[int, ...], fan_in: int = 1):
    """Return uniform values of variance 1 / fan_in / 3 that are the same everywhere."""
    values = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1, 1, shape)
    return torch.from_numpy((values / fan_in**0.5).astype(np.float32))


def network(model: str) -> Network:
    """Return a network with drawn weights and statistics."""
    built = Network(counted(model, side=SIDE)).eval()
    with torch.no_grad():
        for name, place in places(built):
            part = name.rpartition(".")[2]
            if part == "weight":
                place.copy_(6**0.5 * drawn(name, tuple(place.shape), int(place[0].numel())))
            elif part in ("gamma", "variance"):
                place.copy_(1 + drawn(name, tuple(place.shape)) / 4)
            else:
                place.copy_(drawn(name, tuple(place.shape)) / 4)
    return built


def image():
    return (drawn("image", (1, 3, SIDE, SIDE)) + 1) / 2


@pytest.mark.parametrize("model", sorted(REFERENCES))
def test_outputs_are_those_that_torchvision_gave(model):
    with torch.no_grad():
        given = network(model)(image())[0][0, :4]
    torch.testing.assert_close(given, torch.tensor(REFERENCES[model][1]), rtol=1e-4, atol=1e-5)


def models_of_torchvision():
    """Return torchvision's models, which need none of the operators that a wheel for another build of torch lacks."""
    pytest.importorskip("torch.library")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("the reference is not installed: pip install --no-deps torchvision")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # a wheel for this build has them
            library.define(f"{operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return importlib.import_module("torchvision.models")


@pytest.mark.parametrize("model", sorted(REFERENCES))
def test_torchvisions_own_give_the_same(model):
    reference = getattr(models_of_torchvision(), REFERENCES[model][0])(weights=None).eval()
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5  # ours; where it was trained with another, start weights carry the difference
    ours, theirs = (tensors(net) for net in (network(model), reference))
    with torch.no_grad():
        for source, target in zip(ours, theirs, strict=True):
            target.copy_(source.reshape(target.shape))
        expected = reference(image())
        torch.testing.assert_close(network(model)(image())[0], expected, rtol=0, atol=1e-5)


def tensors(net):
    """Return weights, biases and statistics, module by module."""
    return [
        item
        for module in net.modules()
        for item in (*module._parameters.values(), *module._buffers.values())
        if item is not None and item.dim()
    ]
