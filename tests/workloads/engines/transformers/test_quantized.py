"""Adapters above a base in bitsandbytes' forms: really run, on this CPU; and what is said where it cannot be."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'tunebench[language]'")

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tests.workloads.engines.transformers.sizes import kept_b, model_b  # noqa: E402
from tunebench.workloads.engines import load_engine  # noqa: E402
from tunebench.workloads.engines.transformers import quantized  # noqa: E402
from tunebench.workloads.methods import memory  # noqa: E402
from tunebench.workloads.run.correctness import check  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402

pytestmark = pytest.mark.torch
FORMS = ("nf4", "int8")


@pytest.fixture
def package():
    return pytest.importorskip(
        "bitsandbytes", reason="bitsandbytes is not installed: pip install --no-deps bitsandbytes"
    )


def session_of(task):
    return load_engine("transformers", "folder:model").Session(task)


@pytest.mark.parametrize(("form", "dtype"), [("nf4", "float32"), ("nf4", "float16"), ("int8", "bfloat16")])
def test_adapters_learn_above_a_packed_base_what_they_do_above_float32_but_for_rounding(
    package, task_of, form, dtype
):
    rows = ({"lr": 0.02}, {"lr": 0.02, "quantized_base": form}, {"lr": 1e-9, "quantized_base": form})
    plain, packed, untaught = (losses_of(session_of(task_of("lora-all", dtype=dtype, **row))) for row in rows)
    assert packed != plain
    assert packed == pytest.approx(plain, rel=0.03)
    # By the same batches: what came before them has taught something.
    assert sum(packed[-3:]) < sum(untaught[-3:])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["lora-all", "lora-last"])
def test_memory_is_what_was_predicted(package, wide_task_of, name, form, dtype):
    session = session_of(wide_task_of(name, dtype=dtype, quantized_base=form))
    rows = session.batches[0][0]
    predicted = memory.predict(session.plan, len(rows))
    assert kept_b(session, rows) == pytest.approx(predicted.saved_b, rel=0.15)
    assert model_b(session.model) == pytest.approx(predicted.weights_b, rel=0.01)


def test_nothing_of_the_float32_base_is_held_once_it_is_packed(package, task_of):
    """Else a base in few bits would take more memory than one in float32."""
    for form, held in (("nf4", False), (None, True)):
        task = task_of("lora-all", **({"quantized_base": form} if form else {}))
        views = [torch.frombuffer(item.data, dtype=torch.float32) for item in task.weights.tensors.values()]
        places = {view.data_ptr() for view in views}
        session = session_of(task)
        assert any(item.data_ptr() in places for item in session.model.parameters()) is held


@pytest.mark.parametrize("form", FORMS)
def test_a_cache_above_a_packed_base_is_what_would_be_computed_again(package, task_of, form):
    assert check(task_of("skip2-lora", quantized_base=form))["passed"]


def test_blocks_run_again_change_no_loss_above_4_bits(package, task_of):
    plain, again = (
        losses_of(session_of(task_of("lora-all", quantized_base="nf4", checkpoint=more)), 1)
        for more in (False, True)
    )
    assert again == pytest.approx(plain, rel=1e-6)


def test_an_interpreter_without_the_package_is_told_what_installs_it(task_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        SpecError, match=r"needs the package bitsandbytes.*-m pip install --no-deps bitsandbytes"
    ):
        session_of(task_of("lora-all", quantized_base="nf4"))


def test_a_kernel_that_fails_at_its_first_use_is_told_before_the_network_is_made(
    package, task_of, monkeypatch
):
    def fail(*_, **__):
        raise RuntimeError("no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(package.functional, "quantize_4bit", fail)
    with pytest.raises(
        SpecError, match=r"fail at their first use on cpu \(no kernel image .* on the device\)$"
    ):
        session_of(task_of("lora-all", quantized_base="nf4"))


def test_bfloat16_above_4_bits_learns_on_cuda_as_on_the_cpu(package, wide_task_of):
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device: 4-bit kernels on CUDA are not tried here")
    keys = {"dtype": "bfloat16", "quantized_base": "nf4"}
    losses = {
        place: losses_of(session_of(wide_task_of("lora-all", device=place, **keys)))
        for place in ("cpu", "cuda")
    }
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.05)


def test_a_map_comes_out_as_it_went_in_but_for_rounding(package):
    weight, bias = torch.linspace(-1, 1, 96 * 64).reshape(96, 64), torch.ones(96)
    for form, most in (("nf4", 0.2), ("int8", 0.01)):
        layer = quantized.packed(weight, bias, form, torch.float32).to("cpu")
        assert quantized.is_packed(layer) and not quantized.is_packed(quantized.unpacked(layer))
        given = torch.eye(64)
        out = quantized.unpacked(layer)
        assert float((out.weight - weight).abs().max()) < most
        assert torch.allclose(layer(given), out(given), atol=1e-5)
