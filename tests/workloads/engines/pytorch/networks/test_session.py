"""Fine-tuning of networks: every method on every network, what trains and what stays, the cache."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.workloads.artefact import Artefact, ArtefactError, tensor  # noqa: E402
from tunebench.workloads.engines import load_engine  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session, wrapping  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.network import Network, places, start  # noqa: E402
from tunebench.workloads.engines.pytorch.session import to_torch  # noqa: E402
from tunebench.workloads.methods import plan as plans  # noqa: E402
from tunebench.workloads.methods import table  # noqa: E402
from tunebench.workloads.methods.table import method as row_of  # noqa: E402
from tunebench.workloads.models import COUNTED, NETWORKS, PRETRAINED, UnsupportedModel, counted  # noqa: E402
from tunebench.workloads.models.graph import INPUT  # noqa: E402
from tunebench.workloads.run.correctness import check  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402
from tunebench.workloads.tasks.task import make_task  # noqa: E402

pytestmark = pytest.mark.torch

QUICK = ("detector-small", "resnet-small")
#: networks of many layers, which get one method of each kind: a second each
LARGE = (*PRETRAINED, "shufflenetv2-small", "mobilenetv3-tiny", "efficientnet-small")


def pairs(methods):
    """Methods on our small networks; on most of them only in the slow run."""
    every = [(method, model) for method in methods for model in NETWORKS if model not in LARGE]
    return [pytest.param(*pair, marks=[] if pair[1] in QUICK else pytest.mark.slow) for pair in every]


#: those that learn from labels by gradients; controls and MeZO have their own tests
TRAINED = [name for name in table.methods_of("unet-small") if row_of(name).labels and name != "mezo"]
PAIRS = pairs(TRAINED)
PAIRS += [
    pytest.param(method, model, marks=pytest.mark.slow)
    for model in LARGE
    for method in ("ft-all", "ft-bias", "lora-all", "lorae", "lora-last-cached")
    # with statistics of two batches its gradients are too small to move a scale of 1
    if (method, model) != ("ft-all", "efficientnet-small")
]
CACHED = pairs(name for name in table.methods_of("unet-small") if row_of(name).cache)


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_a_method_trains_what_the_plan_says_and_leaves_the_rest_bit_identical(small, method, model):
    session = Session(small(method, model, epochs=1))
    assert sum(item.numel() for item in session.trained) == plans.counts(session.plan).trainable
    losses = losses_of(session)
    assert all(math.isfinite(loss) for loss in losses) and len(losses) == 2
    plan = session.plan
    for layer in wrapping.adapters(session.model):
        assert bool((layer.mapper != 0).any())
        torch.nn.init.zeros_(layer.mapper)
    wrapping.fold(session.model)
    for name, item in places(session.model):
        layer, part = name.split(".")
        trains = layer in (plan.weights if part in ("weight", "gamma") else plan.biases)
        same = torch.equal(item, to_torch(session.task.weights.need(name)))
        if part in ("mean", "variance") or not trains:
            assert same, name
        elif layer not in (
            "class_a",
            "box_a",
        ):  # a detector's branch without a hit in 12 images may stand still
            assert not same, name


@pytest.mark.parametrize("model", [name for name in LARGE if name not in PRETRAINED])
def test_every_parameter_gets_a_gradient(model):
    network = Network(counted(model)).train()
    start(network, 0)
    x = torch.rand((8, *network.graph.shape), generator=torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(network(x)[0], torch.arange(8)).backward()
    assert all(bool(item.grad.any()) for item in network.parameters())


@pytest.mark.parametrize(("model", "metric"), [
    ("resnet-small", "accuracy"), ("detector-small", "mAP50"), ("unet-small", "mIoU"),
])  # fmt: skip
def test_training_longer_learns_and_the_metric_is_named(small, model, metric):
    session = Session(small("ft-all", model, epochs=12, lr=0.01))
    losses = losses_of(session)
    assert sum(losses[-3:]) < sum(losses[:3])
    after = session.evaluate()
    assert (after.metric, after.n_items) == (metric, 12)
    assert 0.0 <= after.accuracy <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(set(NETWORKS) - set(LARGE)))
def test_all_methods_start_with_the_same_loss_and_repeat_bit_for_bit(small, model):
    firsts = []
    for method in TRAINED:
        losses = losses_of(Session(small(method, model, epochs=1)))
        if method == "lorae":
            assert losses == losses_of(Session(small(method, model, epochs=1)))
        firsts.append(losses[0])
    assert firsts == pytest.approx([firsts[0]] * len(firsts), rel=1e-5)


@pytest.mark.parametrize(("method", "model"), CACHED)
def test_a_cached_head_trains_as_an_uncached_one(small, method, model):
    a = losses_of(Session(small(method, model, epochs=3)))
    b = losses_of(Session(small(method, model, epochs=3), cache=False))
    assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


def test_the_trunk_runs_in_the_first_epoch_only(small, monkeypatch):
    session = Session(small("lora-last-cached", "detector-small", epochs=3))
    seen = []
    whole = session.compute_cached
    monkeypatch.setattr(session, "compute_cached", lambda x: seen.append(len(x)) or whole(x))
    losses_of(session)
    assert sum(seen) == 12
    facts = session.facts()
    assert facts["cache_b"] == 4 * 12 * 2 * 64 * 4 * 4
    assert facts["cache_hit_ratio"] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_the_correctness_gate_sees_a_damaged_cache(small):
    task = small("ft-last-cached", "resnet-small", epochs=2)
    assert check(task)["passed"]

    def damage(session, epoch):
        session.cache["pool"][0] += 0.01

    assert not check(task, damage)["passed"]


@pytest.mark.parametrize("method", ["ft-all", "lorae", "lora-last-cached"])
def test_warming_up_changes_nothing(small, method):
    warm, cold = (Session(small(method, "resnet-small")) for _ in range(2))
    warm.warm_up(2)
    assert warm.steps == 0 and warm.filled_epoch is None
    assert losses_of(warm) == losses_of(cold)


def test_a_restart_repeats_the_training(small):
    session = Session(small("lorae", "resnet-small"))
    session.hold_start()
    first = losses_of(session)
    session.restart()
    assert losses_of(session) == first


@pytest.mark.parametrize("name", [name for name in COUNTED if not name.startswith("yolov8")])
def test_a_built_network_has_the_counted_parameters_and_shapes(name):
    graph = counted(name)
    network = Network(graph)
    assert sum(item.numel() for item in network.parameters()) == graph.n_params
    shapes = {node.name: node.shape for node in graph.nodes}
    if name in NETWORKS:
        outputs = network.eval()(torch.zeros((1, *graph.shape)))
        assert [tuple(item.shape[1:]) for item in outputs] == [shapes[output] for output in graph.outputs]


def test_a_network_for_counting_only_is_not_built():
    with pytest.raises(UnsupportedModel, match="'yolov8n' is for counting only"):
        Network(counted("yolov8n"))


def test_without_linear_layers_lora_all_is_lorae(small):
    assert losses_of(Session(small("lora-all", "detector-small"))) == losses_of(
        Session(small("lorae", "detector-small"))
    )


def test_running_from_the_middle_gives_the_same_outputs():
    network = Network(counted("detector-small", side=32)).eval()
    x = torch.rand(2, 3, 32, 32)
    middle = network.run({INPUT: x}, ("class_a", "box_a"))
    given = dict(zip(("class_a", "box_a"), middle, strict=True))
    for output, expected in zip(network.run(given, network.graph.outputs), network(x), strict=True):
        assert torch.equal(output, expected)


def test_parts_that_do_not_fit_are_refused(small):
    task = small("ft-all", "resnet-small")
    data, weights, spec = task.data, task.weights, task.spec
    with pytest.raises(SpecError, match="for data sets to segment; this one is to classify"):
        make_task(spec._replace(model="unet-small"), data, weights)
    with pytest.raises(SpecError, match="batch is 99, the fine-tuning set has 12 images"):
        make_task(spec._replace(batch=99), data, weights)
    with pytest.raises(ArtefactError, match="these are no images"):
        make_task(spec, Artefact("data", {"n_in": 64, "n_classes": 4}, {}), weights)
    cut = {**weights.tensors, "classifier.bias": tensor("float32", (1,), [0.0])}
    with pytest.raises(ArtefactError, match=r"classifier.bias has shape \[1\].*needs \[4\]"):
        make_task(spec, data, weights._replace(tensors=cut))
    wrong = {**data.tensors, "test_y": tensor("int32", (12,), [0] * 11 + [4])}
    with pytest.raises(SpecError, match=r"test_y\[11\] is 4, expected 0..3"):
        make_task(spec, data._replace(tensors=wrong), weights)


def test_the_native_engine_refuses_networks_that_are_no_classifiers():
    with pytest.raises(SpecError, match="'unet-small' runs on: torch"):
        load_engine("native", "unet-small")
