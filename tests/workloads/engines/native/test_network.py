"""What trains behind a frozen trunk: torch's losses and predictions, an exact cache, and no torch in the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tunebench.workloads.engines.native import memory
from tunebench.workloads.engines.native.network import Session
from tunebench.workloads.engines.session import no_mark
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.models import MODELS, NETWORKS, counted
from tunebench.workloads.run.correctness import check
from tunebench.workloads.tasks.spec import SpecError

CLASSIFIERS = [name for name in NETWORKS if MODELS[name].task == "classify" and MODELS[name].native]
CACHED = ["ft-last-cached", "lora-last-cached", "skip2-lora"]
#: 12 images in batches of 6: 50 epochs are 100 steps
KEYS = {
    "sgd": {"epochs": 50},
    "momentum": {"optimizer": "momentum", "lr": 0.002, "epochs": 50},
    "adamw": {
        "optimizer": "adamw", "lr": 0.002, "schedule": "cosine", "clip": 1.0, "weight_decay": 0.05, "epochs": 50,
    },
}  # fmt: skip


def torch_session(task):
    pytest.importorskip("torch")
    from tunebench.workloads.engines.pytorch import networks

    return networks.Session(task)


def assert_equal_to_torch(task, library, losses_of):
    ours, reference = Session(task, library=library), torch_session(task)
    losses, expected = losses_of(ours), losses_of(reference)
    assert len(losses) == len(expected) == 100
    for step, (a, b) in enumerate(zip(losses, expected, strict=True)):
        assert abs(a - b) <= 1e-6 + 1e-4 * abs(b), (step, a, b)
    assert ours.evaluate() == reference.evaluate()


@pytest.mark.parametrize("model", CLASSIFIERS)
@pytest.mark.parametrize("method", CACHED)
def test_each_cached_method_gives_torchs_losses_over_100_steps(method, model, small, library, losses_of):
    assert_equal_to_torch(small(method, model, **KEYS["sgd"]), library, losses_of)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("method", CACHED)
def test_each_optimizer_gives_torchs_losses_on_every_build(method, optimizer, small, builds, losses_of):
    task = small(method, "mobilenetv2-small", **KEYS[optimizer])
    for library in builds.values():
        assert_equal_to_torch(task, library, losses_of)


@pytest.mark.parametrize(
    "keys", [{"skip_grid": "2x2"}, {"skip_blocks": 2}, {"alpha": 3.0, "lora_plus": 4.0, "optimizer": "adamw"}]
)
def test_keys_of_skip_adapters_give_torchs_losses(keys, small, library, losses_of):
    task = small("skip2-lora", "resnet-small", epochs=50, **{"lr": 0.002, **keys})
    assert_equal_to_torch(task, library, losses_of)


@pytest.mark.parametrize("model", ["resnet-small", "squeezenet-small"])
@pytest.mark.parametrize(
    ("cached", "plain"),
    [("ft-last-cached", "ft-last"), ("lora-last-cached", "lora-last"), ("skip2-lora", "skip-lora")],
)
def test_with_and_without_the_cache_every_loss_is_the_same_bit_for_bit(
    cached, plain, model, small, builds, losses_of
):
    for library in builds.values():
        session = Session(small(cached, model, epochs=4), library=library)
        losses = losses_of(session)
        assert losses == losses_of(Session(small(cached, model, epochs=4), False, library))
        assert losses == losses_of(Session(small(plain, model, epochs=4), library=library))
        assert session.cache_error() == 0.0


def test_the_correctness_gate_holds_and_sees_a_damaged_cache(small, library, monkeypatch):
    monkeypatch.setenv("TUNEBENCH_NATIVE", library.path)
    task = small("skip2-lora", "resnet-small", engine="native")
    verdict = check(task)
    assert verdict["passed"] and verdict["max_activation_diff"] == 0.0
    ordinary = Session.cache_error
    monkeypatch.setattr(Session, "cache_error", lambda session: ordinary(session) + 0.5)
    assert not check(task)["passed"]


def test_a_cache_is_as_large_as_its_formula_and_keeps_its_options(small, library, losses_of):
    made = {
        method: Session(small(method, "resnet-small"), library=library).facts()["cache_b"]
        for method in CACHED
    }
    assert made == {
        "ft-last-cached": 12 * 4 * 64,
        "lora-last-cached": 12 * 4 * 64,
        "skip2-lora": 12 * 4 * (16 + 2 * 16 + 2 * 32 + 2 * 64 + 4),
    }
    # a head of a 1x1 convolution and a mean reads the mean: one value a channel, not a map
    fire = Session(small("ft-last-cached", "squeezenet-small"), library=library)
    assert fire.facts()["cache_b"] == 12 * 4 * 256
    row_b = 4 * 244
    few = Session(
        small("skip2-lora", "resnet-small", epochs=3, params={"cache_budget_b": 5 * row_b}), library=library
    )
    losses = losses_of(Session(small("skip2-lora", "resnet-small", epochs=3), library=library))
    assert losses_of(few) == losses
    assert few.facts()["cache_b"] == 5 * row_b
    half = Session(
        small("skip2-lora", "resnet-small", epochs=3, params={"cache_dtype": "float16"}), library=library
    )
    assert losses_of(half) == pytest.approx(losses, rel=1e-2)
    assert half.cache_error() == 0.0


def test_warming_up_and_starting_again_change_nothing(small, library, losses_of):
    for method in CACHED:
        task = small(method, "squeezenet-small", epochs=3)
        warmed, plain = Session(task, library=library), Session(task, library=library)
        warmed.warm_up(2)
        warmed.hold_start()
        losses = losses_of(warmed)
        assert losses == losses_of(plain)
        warmed.restart()
        assert losses_of(warmed) == losses
        assert warmed.evaluate() == plain.evaluate()


def test_phases_of_a_step_are_marked(small, library):
    session = Session(small("skip2-lora", "resnet-small"), library=library)
    phases = []
    for epoch in range(2):
        session.train_epoch(epoch, lambda phase, t_ns: phases.append(phase))
    first = ["gather", "cache_fill", "forward", "backward", "update"]
    assert phases == 2 * first + 2 * [phase for phase in first if phase != "cache_fill"]


def test_the_base_network_is_evaluated_without_training(small, library):
    task = small("untrained", "resnet-small")
    session = Session(task, library=library)
    assert session.train_epochs(0, 2) == [] and session.steps_per_epoch() == 0
    assert session.evaluate() == torch_session(task).evaluate()


def test_what_trains_the_trunk_or_its_batchnorm_is_refused_by_name(small, library):
    for method in ("ft-all", "ft-bias"):
        with pytest.raises(
            SpecError,
            match=f"engine 'native' keeps a network's trunk frozen, method '{method}' trains it; engines that do: torch; "
            "methods of model 'resnet-small' that leave it frozen: ft-last, lora-last, skip-lora, skip2-lora, ",
        ):
            Session(small(method, "resnet-small"), library=library)
    with pytest.raises(SpecError, match="leaves BatchNorm frozen, method 'reestimated' changes it"):
        Session(small("reestimated", "resnet-small"), library=library)
    with pytest.raises(SpecError, match="does not estimate slopes without gradients, as method 'mezo'"):
        Session(small("mezo", "resnet-small"), library=library)
    with pytest.raises(SpecError, match="does not have head = 'trained'"):
        Session(small("skip2-lora", "resnet-small", head="trained"), library=library)
    with pytest.raises(SpecError, match="runs on one thread of the CPU, not on 2"):
        Session(small("skip2-lora", "resnet-small", threads=2), library=library)


def test_the_methods_that_leave_a_trunk_frozen_are_those_whose_plans_do():
    for model in CLASSIFIERS:
        graph = counted(model)
        frozen = [
            name for name in table.methods_of(model)
            if not plan(table.method(name), graph, 2).trains_trunk and table.method(name).batchnorm == table.FROZEN
        ]  # fmt: skip
        assert frozen == table.keeping_trunk(model)


@pytest.mark.parametrize("method", CACHED)
def test_predicted_memory_grows_by_cache_and_state_and_hardly_by_the_batch(method):
    made = plan(table.method(method), counted("mobilenetv2", n_classes=2, side=64), 4)
    base, filled = memory.predict(made, 20), memory.predict(made, 20, n_train=524)
    assert (base.cache_b, filled.cache_b - base.cache_b) == (0, 524 * 4 * _floats(made))
    assert memory.predict(made, 20, state_floats=2).optimiser_b > 0
    assert base.total_b < 30e6
    assert memory.predict(made, 200).total_b < 1.3 * base.total_b


def _floats(made):
    from tunebench.workloads.methods.plan import counts

    return counts(made).cache_floats


def test_prediction_is_what_the_session_says(small, library):
    task = small("skip2-lora", "resnet-small")
    predicted = memory.predict(task.plan, 6, vector_floats=library.vector_floats)
    assert Session(task, library=library).facts()["metrics"]["predicted_step_b"] == predicted.step_b


CHILD = """
import json, sys
sys.path[:] = [{payload!r}] + [p for p in sys.path if "site-packages" not in p]
from tunebench.workloads import artefact
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import make_task
from tunebench.workloads.engines import load_engine
engine = load_engine("native", "resnet-small")
task = make_task(spec.parse({workload!r}), artefact.read({data!r}), artefact.read({weights!r}))
session = engine.Session(task)
losses = []
for epoch in range(2):
    session.train_epochs(epoch, 1)
    losses += session.step_losses
assert not [name for name in ("torch", "numpy") if name in sys.modules]
print(json.dumps(losses))
"""


@pytest.mark.parametrize("method", ["skip2-lora", "lorae"])
def test_the_payload_alone_trains_without_torch_or_numpy(method, small, library, payload, tmp_path):
    import json

    from tunebench.workloads import artefact

    task = small(method, "resnet-small")
    data, weights = tmp_path / "data.tbx", tmp_path / "weights.tbx"
    artefact.write(str(data), "data", task.data.meta, task.data.tensors)
    artefact.write(str(weights), "weights", {}, task.weights.tensors)
    workload = {
        "method": method,
        "model": "resnet-small",
        "batch": 6,
        "epochs": 2,
        "lr": 0.005,
        "rank": 2,
    }
    code = CHILD.format(payload=str(payload), workload=workload, data=str(data), weights=str(weights))
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, timeout=60,
        env={"TUNEBENCH_NATIVE": library.path},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    session, expected = Session(task, library=library), []
    for epoch in range(2):
        session.train_epoch(epoch, no_mark)
        expected += session.step_losses
    assert json.loads(ended.stdout) == expected
