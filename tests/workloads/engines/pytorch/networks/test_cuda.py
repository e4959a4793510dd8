"""Networks on a CUDA GPU: the same fine-tuning with the same losses as on the CPU. Skipped where there is no GPU."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tunebench.workloads import updates  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.methods import table  # noqa: E402
from tunebench.workloads.models import NETWORKS  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402

pytestmark = pytest.mark.torch
#: The same float32 arithmetic in another order.
SAME = 1e-3

gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason=f"torch {torch.__version__} finds no CUDA device"
)


def trained(task):
    """(session, every step's loss)."""
    session, losses = Session(task), []
    session.begin(no_mark)
    for epoch in range(task.spec.epochs if task.plan.trains else 0):
        session.train_epoch(epoch, no_mark)
        losses += [float(loss) for loss in session.step_losses]
    return session, losses


@gpu
@pytest.mark.parametrize(
    ("method", "model"),
    [(row.name, model) for row in table.METHODS for model in row.models if model in NETWORKS],
)
def test_every_method_has_the_same_losses_and_statistics_on_cuda(small, method, model):
    cpu, wanted = trained(small(method, model))
    session, losses = trained(small(method, model, device="cuda"))
    assert all(item.is_cuda for item in session.trained)
    assert losses == pytest.approx(wanted, rel=SAME)
    for item, reference in zip(session.statistics, cpu.statistics, strict=True):
        assert torch.allclose(item.cpu(), reference, rtol=SAME, atol=SAME * float(reference.abs().max()))


@gpu
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_every_optimizer_has_the_same_losses_on_cuda(small, optimizer):
    keys = {"optimizer": optimizer, "schedule": "cosine", "clip": 1.0, "weight_decay": 0.01, "lr": 0.001}
    _, wanted = trained(small("lorae", "resnet-small", lora_plus=4.0, **keys))
    session, losses = trained(small("lorae", "resnet-small", lora_plus=4.0, device="cuda", **keys))
    assert all(item.is_cuda for quantity in session.optimizer.state for item in quantity)
    assert losses == pytest.approx(wanted, rel=SAME)


@gpu
@pytest.mark.parametrize("model", ["resnet-small", "detector-small", "unet-small"])
def test_evaluations_before_the_first_step_agree(small, model):
    cpu, cuda = (Session(small("lorae", model, device=device)).evaluate() for device in ("cpu", "cuda"))
    assert (cuda.metric, cuda.n_items) == (cpu.metric, cpu.n_items)
    assert cuda.accuracy == pytest.approx(cpu.accuracy, abs=0.02)  # a pixel at a border may fall either way


@gpu
def test_memory_on_cuda_is_told_by_its_allocator_and_not_less_than_predicted(small):
    session, _ = trained(small("ft-all", "unet-small", device="cuda"))
    metrics = session.facts()["metrics"]
    assert metrics["cuda_max_allocated_b"] > metrics["predicted_step_b"]


@gpu
def test_a_network_leaves_the_gpu_as_the_file_that_it_leaves_the_cpu_as(small):
    sizes = []
    for device in ("cpu", "cuda"):
        session, _ = trained(small("lorae", "unet-small", device=device))
        raw, _ = updates.make(session.export(), updates.parse_form("adapter"), "lorae", "a" * 64)
        sizes.append(len(raw))
    assert sizes[0] == sizes[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_is_refused_by_name(small):
    with pytest.raises(SpecError, match=r"'cuda', but torch .* finds no CUDA device"):
        Session(small("lorae", "unet-small", device="cuda"))
