"""Chains: which orders are possible, equal training for all, and nothing of the test set in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.workloads.compress.networks import context, network, samples
from tests.workloads.compress.test_forms import outputs
from tunebench.workloads import artefact
from tunebench.workloads.compress import TRANSFORMS
from tunebench.workloads.compress.chain import Chains, Domains, float_parent
from tunebench.workloads.compress.deployed import encoded
from tunebench.workloads.compress.forms.onnx_writer import onnx_bytes
from tunebench.workloads.compress.keys import settled
from tunebench.workloads.compress.state import Numbers, State, TransformError, state_of
from tunebench.workloads.compress.steps import Settings, Step, check_order, identity
from tunebench.workloads.compress.train import Part, _values, accuracy_and_loss, logits_of, part_of, trained
from tunebench.workloads.compress.transforms.distil_feature import shared_blocks
from tunebench.workloads.models import graph_of
from tunebench.workloads.prepare.artefacts import SHIPPED

SETTINGS = Settings(source_steps=6, batch=8, tune_epochs=1, tune_batch=8, rates=(0.01, 0.001), calibration=8)
TUNE = Step("tune", "tune")


def step(kind: str, how: str, **keys: object) -> Step:
    """Return a step whose id is its kind."""
    transform = TRANSFORMS[kind, how]
    return Step(kind, kind, how, settled(kind, keys, transform.keys, transform.trains))


PRUNE = step("prune", "structured", ratio=0.5, round_to=4, steps=4)
MASKS = replace(step("prune", "magnitude", ratio=0.5, steps=2), ident="masks")
QAT = replace(step("quantize", "qat"), ident="qat")
INT8, HALF, SHARE = step("quantize", "static"), step("cast", "float16"), step("share", "kmeans")


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([INT8, TUNE], "'tune' trains behind 'quantize'"),
        ([TUNE, HALF, INT8], "'quantize' stands behind 'cast'"),
        ([TUNE, INT8, PRUNE], "'prune' stands behind 'quantize'"),
        ([TUNE, TUNE], "'tune' stands twice"),
        ([TUNE, QAT], "put 'tune' behind it"),
        ([QAT, TUNE, HALF], "'cast' cannot stand beside 'qat'"),
        ([PRUNE, PRUNE, TUNE], "'prune' stands twice"),
        ([replace(PRUNE, keys={**PRUNE.keys, "steps": 7}), TUNE], "set source_steps = 7"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_the_reason(steps, words):
    with pytest.raises(ValueError, match="chain 'mine'") as refused:
        check_order("mine", steps, SETTINGS)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "steps", [[], [TUNE], [PRUNE, TUNE, INT8], [TUNE, SHARE, INT8], [MASKS, TUNE, SHARE]]
)
def test_an_order_that_can_be_is_taken(steps):
    check_order("mine", steps, SETTINGS)


def test_the_order_is_part_of_what_a_chain_is():
    orders = [[PRUNE, MASKS, TUNE], [MASKS, PRUNE, TUNE], [PRUNE, MASKS, TUNE, INT8]]
    assert len({identity(steps, SETTINGS) for steps in orders}) == 3
    assert identity(orders[0], SETTINGS) != identity(orders[0], replace(SETTINGS, source_steps=7))


def domains(state) -> Domains:
    """Return two small domains."""
    part = context(state).calibration
    other = Part(samples(state, 30)[::-1].copy(), (np.arange(30) % 10).astype(np.int32))
    return Domains(part, other)


@pytest.mark.torch
def test_all_chains_take_the_same_steps_and_tell_their_rates():
    state = network("cnn")
    chains = Chains(state, domains(state), SETTINGS, seed=3)
    logs = [chains.run(steps).log for steps in ([TUNE], [PRUNE, TUNE], [MASKS, TUNE, SHARE])]
    for log in logs:
        assert (
            sum(int(entry.get("steps", 0)) for entry in log if entry["id"] != "tune") == SETTINGS.source_steps
        )
        tuned = next(entry for entry in log if entry["id"] == "tune")
        assert (tuned["steps"], set(tuned["held_out"])) == (3, {"0.01", "0.001"})


@pytest.mark.torch
def test_a_chain_gives_the_same_bytes_again_and_its_parent_is_the_same_network_in_float():
    state = network("cnn")
    steps = [PRUNE, TUNE, INT8]
    ends = [Chains(state, domains(state), SETTINGS, seed=3).run(steps) for _ in range(2)]
    raw = [encoded(end, state, "onnxruntime", steps, {"seed": 3}) for end in ends]
    assert raw[0] == raw[1]
    parent = float_parent(ends[0])
    assert parent is not None
    assert parent.tensors is ends[0].tensors
    assert float_parent(parent) is None


@pytest.mark.torch
def test_masked_weights_stay_zero_while_training_moves_the_others():
    state = network("cnn")
    masked = TRANSFORMS["prune", "magnitude"].load().apply(state, MASKS.keys, context(state))
    after = trained(masked, domains(state).finetune, steps=3, batch=8, rate=0.01, seed=0)
    for name, mask in masked.masks.items():
        assert np.all(after.tensors[name][mask == 0] == 0)
        assert np.any(after.tensors[name] != masked.tensors[name])


@pytest.mark.torch
@pytest.mark.parametrize("kind", [("factorize", "svd"), ("factorize", "cp"), ("prune", "structured")])
def test_every_weight_of_a_changed_network_is_reached_by_training(kind):
    state = network("cnn")
    keys = {"keep": 0.5} if kind[0] == "factorize" else PRUNE.keys
    changed = TRANSFORMS[kind].load().apply(state, keys, context(state))
    after = trained(changed, domains(state).finetune, steps=2, batch=8, rate=0.01, seed=0)
    still = [name for name, values in after.tensors.items() if np.array_equal(values, changed.tensors[name])]
    assert still == []


def apart(state: State, teacher: State, names: tuple[str, ...]) -> float:
    """Return how far the blocks of two networks of one shape are from each other."""
    x = samples(teacher, 24)
    pairs = zip(_values(state, x, names), _values(teacher, x, names), strict=True)
    return float(np.mean([((ours - theirs) ** 2).mean() / (theirs**2).mean() for ours, theirs in pairs]))


@pytest.mark.torch
@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_a_teachers_blocks_pull_those_of_the_network_towards_theirs(model):
    part = context(network(model)).source
    # Trained long enough that BatchNorm's statistics are those of the samples.
    teacher = trained(network(model), part, steps=60, batch=8, rate=0.003, seed=0)
    start = replace(teacher, tensors={**teacher.tensors, **network(model, seed=9).tensors})
    about = replace(context(teacher), teacher=teacher, rate=0.003)
    hinted = TRANSFORMS["distil", "feature"].load().apply(start, {"steps": 60, "weight": 10.0}, about)
    plain = trained(start, part, steps=60, batch=8, rate=0.003, seed=0)
    names = shared_blocks(teacher.graph, teacher.graph)
    assert len(names) == 2
    assert apart(hinted, teacher, names) < 0.7 * apart(plain, teacher, names)
    assert apart(teacher, teacher, names) == 0.0


@pytest.mark.torch
def test_a_pruned_network_meets_its_teachers_blocks_through_maps_and_gives_the_same_bits_again():
    teacher = network("resnet-small")
    pruned = TRANSFORMS["prune", "structured"].load().apply(teacher, PRUNE.keys, context(teacher))
    assert len(shared_blocks(pruned.graph, teacher.graph)) == 7
    keys = {"steps": 2, "weight": 1.0}
    once, again = (
        TRANSFORMS["distil", "feature"].load().apply(pruned, keys, context(teacher)) for _ in range(2)
    )
    still = [name for name, values in once.tensors.items() if np.array_equal(values, pruned.tensors[name])]
    assert still == [], "a gradient reaches every weight"
    assert all(np.array_equal(values, again.tensors[name]) for name, values in once.tensors.items())
    assert set(once.tensors) == set(pruned.tensors), "the maps are thrown away"


@pytest.mark.torch
def test_a_teachers_blocks_take_their_steps_of_the_chains_and_need_some():
    state = network("cnn")
    log = Chains(state, domains(state), SETTINGS, seed=3).run([step("distil", "feature", steps=4), TUNE]).log
    assert [entry["steps"] for entry in log[:2]] == [2, 4]
    with pytest.raises(TransformError, match="give it 'steps'"):
        TRANSFORMS["distil", "feature"].load().apply(state, {"steps": 0, "weight": 1.0}, context(state))


@pytest.mark.torch
def test_a_teacher_pulls_a_pruned_network_towards_its_classes():
    state = network("cnn")
    distil = step("distil", "soft", steps=4)
    log = Chains(state, domains(state), SETTINGS, seed=3).run([distil, TUNE]).log
    assert [entry["id"] for entry in log] == ["plain", "distil", "tune"]
    assert log[0]["steps"] == 2


@pytest.mark.torch
def test_training_through_8_bits_ends_in_8_bits_that_give_what_training_saw():
    ort = pytest.importorskip("onnxruntime", reason="the reference runtime: pip install onnxruntime")
    state = network("cnn")
    chains = Chains(state, domains(state), replace(SETTINGS, tune_epochs=2), seed=3)
    end, plain = chains.run([QAT, TUNE]), chains.run([TUNE])
    assert end.numbers.kind == "int8-static"
    assert not end.rounded
    moved = [name for name, values in end.tensors.items() if not np.array_equal(values, plain.tensors[name])]
    assert {f"{node.name}.weight" for node in state.graph.layers} <= set(moved)
    x = samples(state, 32)
    seen = logits_of(replace(end, rounded=True), x)
    opened = ort.InferenceSession(onnx_bytes(end), providers=["CPUExecutionProvider"])
    ran = np.concatenate([opened.run(None, {"input": x[at : at + 1]})[0] for at in range(len(x))])
    exact = logits_of(replace(end, numbers=Numbers()), x)
    assert np.abs(seen - exact).max() > 0
    apart = np.abs(ran - seen)
    # Whole numbers and rounded floats give the same but where a tie rounds the other way.
    assert np.median(apart) < 1e-4
    assert apart.max() < 0.03 * np.abs(seen).max()


@pytest.mark.torch
def test_accuracy_after_training_through_8_bits_is_in_the_runtime_what_it_is_in_torch():
    pytest.importorskip("onnxruntime", reason="the reference runtime: pip install onnxruntime")
    data = artefact.read(str(SHIPPED / "digits.tbx"))
    graph = graph_of("cnn", (64,), 10)
    start = state_of(graph, artefact.read(str(SHIPPED / "digits-cnn.tbx")))
    tuning, test = part_of(data, "finetune", graph), part_of(data, "test", graph)
    end = Chains(start, Domains(tuning), Settings(tune_epochs=3, rates=(0.0015,)), seed=0).run([QAT, TUNE])
    every = Part(np.concatenate([tuning.x, test.x]), np.concatenate([tuning.y, test.y]))
    in_torch, _ = accuracy_and_loss(replace(end, rounded=True), every)
    in_runtime = (outputs("onnxruntime", end, every.inputs).argmax(1) == every.y).mean()
    assert in_torch > 0.8
    assert abs(in_runtime - in_torch) <= 0.002
    assert abs(in_torch - accuracy_and_loss(replace(end, numbers=Numbers()), every)[0]) < 0.02
