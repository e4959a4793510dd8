"""What decides whether a transformer fits: number formats, gradients of several batches, blocks that are run again."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'tunebench[language]'")

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tests.workloads.engines.transformers.sizes import kept_b, step_peak_b  # noqa: E402
from tunebench.workloads.engines import load_engine  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.engines.transformers import descent  # noqa: E402
from tunebench.workloads.methods import memory, table  # noqa: E402
from tunebench.workloads.run.correctness import check  # noqa: E402
from tunebench.workloads.run.job import main  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402

pytestmark = pytest.mark.torch
HALVES = ("bfloat16", "float16")
CACHED = [name for name in table.methods_of("folder:model") if table.method(name).cache]


def session_of(task, cache=None):
    return load_engine("transformers", "folder:model").Session(task, cache)


@pytest.mark.parametrize(
    ("name", "batch", "times"), [("lora-all", 4, 2), ("ft-all", 2, 3), ("skip2-lora", 4, 2)]
)
def test_batches_added_up_lose_what_one_as_large_as_all_of_them_does(task_of, name, batch, times):
    """The last update of an epoch is short: 18 texts are no multiple of 8, and a part of 2 is no batch of 4."""
    keys = {"optimizer": "adamw", "clip": 1.0, "lr": 0.003}
    whole = session_of(task_of(name, batch=batch * times, **keys))
    parted = session_of(task_of(name, batch=batch, accumulate=times, **keys))
    assert parted.steps_per_epoch() == whole.steps_per_epoch()
    assert losses_of(parted) == pytest.approx(losses_of(whole), rel=1e-4)
    assert parted.facts()["steps"] == whole.facts()["steps"]
    assert parted.facts()["metrics"]["train_tokens"] == whole.facts()["metrics"]["train_tokens"]
    assert all(item.grad is None for item in parted.trained)


@pytest.mark.parametrize("name", ["lora-all", "ft-all"])
def test_blocks_run_again_change_no_loss(task_of, name):
    plain, again = session_of(task_of(name)), session_of(task_of(name, checkpoint=True))
    assert losses_of(again) == pytest.approx(losses_of(plain), rel=1e-6)
    assert kept_b(again, again.batches[0][0]) < kept_b(plain, plain.batches[0][0])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("lora-all", "float16"), ("ft-all", "bfloat16"), ("skip2-lora", "float16"), ("ft-bias", "bfloat16")],
)
def test_half_precision_learns_what_float32_does_but_for_rounding(task_of, name, dtype):
    keys = {"lr": 0.003, "checkpoint": name == "ft-all"}
    plain, half = session_of(task_of(name, **keys)), session_of(task_of(name, dtype=dtype, **keys))
    ours, theirs = losses_of(half), losses_of(plain)
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=0.05)
    assert {item.dtype for item in half.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("name", "dtype"), list(zip(CACHED, HALVES, strict=True)))
def test_a_cache_in_half_precision_is_what_would_be_computed_again(task_of, name, dtype):
    assert check(task_of(name, dtype=dtype, batch=2, accumulate=3))["passed"]


def test_an_update_that_is_not_finite_is_left_out_and_the_scale_halved():
    weight = torch.nn.Parameter(torch.ones(2))
    made = descent.Descent([weight], "float16")
    first = made.of_one((weight * torch.tensor([float("inf"), 1.0])).sum())
    assert made.ready(first) is None
    assert (made.left_out, made.scale) == (1, 32768.0)
    ready = made.ready(made.of_one((weight * 1e-9).sum()))
    assert ready is not None and torch.allclose(ready[0], torch.full((2,), 1e-9))
    made.reset()
    assert (made.left_out, made.scale) == (0, 65536.0)


def test_a_loss_that_is_nan_in_float16_is_an_outcome_with_its_reason(made, tmp_path, monkeypatch):
    """A base whose first map gives numbers beyond 65,504, which float32 and bfloat16 hold."""
    from tunebench.workloads import artefact

    weights = artefact.read(str(made.weights))
    name = "encoder_layer_0_intermediate_dense.bias"
    item = weights.tensors[name]
    tensors = {**weights.tensors, name: artefact.tensor("float32", item.shape, [1e5] * item.size)}
    path = tmp_path / "weights.tbx"
    artefact.write(str(path), weights.kind, weights.meta, tensors)
    outcomes = {}
    for dtype in ("float32", "bfloat16", "float16"):
        folder = tmp_path / dtype
        (folder / "out").mkdir(parents=True)
        workload = {
            "mode": "timed", "method": "lora-all", "model": made.model, "dataset": "mails", "engine": "transformers",
            "epochs": 1, "batch": 5, "seq_len": 8, "dtype": dtype, "lr": 1e-3,
        }  # fmt: skip
        paths = {"data": str(made.data), "weights": str(path)}
        (folder / "job.json").write_text(json.dumps({"workload": workload, "paths": paths}))
        monkeypatch.setenv("TUNEBENCH_JOB", str(folder))
        assert main() == 0
        outcomes[dtype] = json.loads((folder / "out" / "result.json").read_text())
    assert [outcomes[dtype]["outcome"] for dtype in outcomes] == ["ok", "ok", "diverged"]
    assert "bfloat16 has the range of float32" in outcomes["float16"]["reason"]
    assert outcomes["float16"]["after"] is None


def test_a_torch_without_the_format_is_refused_and_not_left_in_float32(task_of, monkeypatch):
    import contextlib

    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    with pytest.raises(SpecError, match=r"'bfloat16': torch .* does not compute in it on cpu"):
        session_of(task_of("lora-all", dtype="bfloat16"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["lora-all", "lora-last", "ft-bias", "ft-last", "ft-all"])
def test_autograd_keeps_what_was_predicted(wide_task_of, name, dtype):
    session = session_of(wide_task_of(name, dtype=dtype))
    rows = session.batches[0][0]
    longest = session._batch(rows)[0].shape[1]
    assert longest == session.plan.graph.shape[0]  # no text is shorter than what is predicted for
    predicted = memory.predict(session.plan, len(rows))
    assert kept_b(session, rows) == pytest.approx(predicted.saved_b, rel=0.12, abs=1000)


@pytest.mark.parametrize("name", ["lora-all", "skip2-lora", "ft-all"])
def test_a_step_takes_what_was_predicted(wide_task_of, name):
    """All states of the trunk at once for skip adapters; with adapters two gradients of what enters a map."""
    session = session_of(wide_task_of(name))
    first, second = session.batches[0][:2]
    session.step(first, no_mark)
    assert step_peak_b(session, second) == pytest.approx(
        memory.predict(session.plan, len(second)).step_b, rel=0.15
    )


def test_several_batches_cost_their_sum_of_gradients(task_of):
    lone, several = task_of("ft-all"), task_of("ft-all", accumulate=3)
    more = memory.predict(several.plan, 5).step_b - memory.predict(lone.plan, 5).step_b
    assert 0 < more <= memory.predict(lone.plan, 5).gradients_b
    session = session_of(several)
    session.step(session.batches[0][0], no_mark)
