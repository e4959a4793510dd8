"""Adapters beside a network's layers on the native kernels: torch's losses, factors and predictions; what is refused."""

from __future__ import annotations

import pytest

from tests.workloads.engines.native.drawn import drawn_task, flat_network, odd_network
from tunebench.workloads.engines.native import memory
from tunebench.workloads.engines.native.network import Session
from tunebench.workloads.methods import macs, table
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.models import counted
from tunebench.workloads.models.graph import INPUT, Builder, product
from tunebench.workloads.run.correctness import check
from tunebench.workloads.tasks.spec import SpecError

pytestmark = pytest.mark.torch
ADAMW = {
    "optimizer": "adamw", "lr": 0.0005, "schedule": "cosine", "clip": 1.0, "weight_decay": 0.05, "lora_plus": 4.0,
}  # fmt: skip


def torch_session(task):
    pytest.importorskip("torch")
    from tunebench.workloads.engines.pytorch import networks

    return networks.Session(task)


def assert_equal_to_torch(task, libraries, losses_of, steps=100, factors=False):
    reference = torch_session(task)
    expected = losses_of(reference)
    assert len(expected) == steps
    for library in libraries:
        ours = Session(task, library=library)
        for step, (a, b) in enumerate(zip(losses_of(ours), expected, strict=True)):
            assert abs(a - b) <= 1e-6 + 1e-4 * abs(b), (step, a, b)
        assert ours.evaluate() == reference.evaluate()
        if factors:
            assert_same_factors(ours, reference)


def assert_same_factors(ours, reference):
    for index, adapter in enumerate(ours.plan.adapters):
        layer = getattr(reference.model, adapter.end)
        first, second = ours.adapter(index)
        for factor, theirs in ((first, layer.extractor), (second, layer.mapper)):
            assert factor.tolist() == pytest.approx(theirs.detach().reshape(-1).tolist(), rel=1e-3, abs=2e-5)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("method", "model", "keys"),
    [
        slow("lorae", "resnet-small", {}),
        slow("lora-all", "resnet-small", {"optimizer": "momentum", "lr": 0.001, "alpha": 3.0}),
        slow("lora-all", "resnet-small", ADAMW),
        slow("lora-fa", "resnet-small", {"rank": 5}),
        ("lorae", "squeezenet-small", ADAMW),
        slow("lora-all", "squeezenet-small", {"rank": 1}),
    ],
)
def test_adapters_in_the_trunk_give_torchs_losses_over_100_steps_on_every_build(
    method, model, keys, small, builds, losses_of
):
    assert_equal_to_torch(small(method, model, epochs=50, **keys), builds.values(), losses_of)


@pytest.mark.parametrize("network", [odd_network, flat_network])
@pytest.mark.parametrize("method", ["lora-all", "lorae"])
def test_any_network_of_these_nodes_gives_torchs_losses_and_factors(network, method, builds, losses_of):
    task = drawn_task(network(), method, 3, epochs=10, lr=0.02)  # an epoch's third step is a smaller one
    assert_equal_to_torch(task, builds.values(), losses_of, steps=30, factors=True)


def test_the_correctness_gate_and_starting_again_hold(small, library, losses_of, monkeypatch):
    monkeypatch.setenv("TUNEBENCH_NATIVE", library.path)
    task = small("lorae", "squeezenet-small", engine="native", epochs=3, optimizer="adamw", lr=0.001)
    verdict = check(task)
    assert verdict["passed"] and verdict["steps"] == 100 and verdict["max_activation_diff"] is None
    warmed, plain = Session(task, library=library), Session(task, library=library)
    warmed.warm_up(2)
    warmed.hold_start()
    losses = losses_of(warmed)
    assert losses == losses_of(plain)
    warmed.restart()
    assert losses_of(warmed) == losses
    assert warmed.evaluate() == plain.evaluate()


def test_phases_of_a_step_are_marked_and_facts_count_the_adapters(small, library):
    session = Session(small("lorae", "squeezenet-small", optimizer="adamw"), library=library)
    phases = []
    session.train_epoch(0, lambda phase, t_ns: phases.append(phase))
    assert phases == 2 * ["gather", "forward", "backward", "update"]
    facts = session.facts()
    assert facts["cache_b"] is None and facts["steps"] == 2
    assert facts["optimizer_state_b"] == 8 * facts["params_trainable"] == 2 * facts["update_b"]
    predicted = memory.predict(session.plan, 6, vector_floats=library.vector_floats)
    assert facts["metrics"]["predicted_step_b"] == predicted.step_b


def test_predicted_memory_grows_with_the_batch_whose_values_stay():
    made = plan(table.method("lorae"), counted("resnet-small"), 4)
    few, many = memory.predict(made, 20, state_floats=2), memory.predict(made, 40, state_floats=2)
    assert few.weights_b == many.weights_b and few.optimiser_b == many.optimiser_b > 0
    assert many.saved_b == 2 * few.saved_b
    shapes = [node.shape for node in made.graph.nodes]
    values = sum(product(shape) for shape in shapes)
    # borders, the unfolded image and one live path of gradients come on top of the values
    assert 4 * 20 * values < few.saved_b < 1.7 * 4 * 20 * values


def test_what_the_kernels_have_no_gradient_for_is_refused_by_name(small, library):
    frozen = "methods of model {!r} that leave it frozen: ft-last, "
    for method, model, words in (
        ("ft-all", "squeezenet-small", "in a trunk it trains adapters alone, not the layers' own weights"),
        ("ft-bias", "resnet-small", "not the layers' own weights"),
        (
            "lorae",
            "mobilenetv2-small",
            "adapters, but not through a depthwise convolution, node 'stage0_0_depth' of model",
        ),
    ):
        with pytest.raises(
            SpecError, match=r"keeps a network's trunk frozen, method .* engines that do: torch"
        ) as caught:
            Session(small(method, model), library=library)
        assert frozen.format(model) in str(caught.value) and words in str(caught.value)
    with pytest.raises(SpecError, match="does not have batchnorm = 'affine'"):
        Session(small("lorae", "resnet-small", batchnorm="affine"), library=library)
    with pytest.raises(SpecError, match="does not run blocks again in the backward pass"):
        Session(small("lorae", "resnet-small", checkpoint=True), library=library)


def test_the_rooflines_multiply_adds_are_those_of_a_convolution_twice_and_of_its_factors():
    benchmark = pytest.importorskip("benchmarks.network_roofline")
    b = Builder("resnet-small", "classify", (1, 8, 8))
    graph = b.graph(
        b.linear("classifier", b.avgpool("pool", b.conv("b", b.conv("a", INPUT, 4, 3), 6, 3, 2)), 2)
    )
    made = plan(table.method("lorae"), graph, 2)
    a, c, head = 64 * 9 * 4, 16 * 36 * 6, 12
    assert macs.of_sample(made).forward == a + c + head
    factors = 2 * (64 * 2 * (9 + 4) + 16 * 2 * (36 + 6))
    assert benchmark.own_madds(made) == (a + c + head) + (c + head) + factors


def test_the_roofline_is_a_table_of_both_methods_with_their_multiply_adds(builds):
    benchmark = pytest.importorskip("benchmarks.network_roofline")
    name = next(iter(builds))
    document = benchmark.measure([name], 1, ("squeezenet-small",), torch=False)
    assert [(row["method"], row["engine"]) for row in document["rows"]] == [
        ("lorae", name),
        ("lora-all", name),
    ]
    for row in document["rows"]:
        assert row["own_madds"] < row["madds"] == 232_096_128
        assert row["torch_over_this"] is None and row["peak_s"] == document["peaks"][name]
    lines = benchmark.table(document).splitlines()
    assert len(lines) == 4 and lines[2].startswith(f"| squeezenet-small | lorae | {name} | ")
