"""Networks end to end: suite file, artefacts made on the host, the torch engine on a loopback board, records."""

from __future__ import annotations

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError

pytest.importorskip("torch", reason="torch is not installed")

SUITE = """
[suite]
name = "networks"
blocks = 1
epochs = 2
aa = false
instrumented = {instrumented}

[[workload]]
dataset = "{dataset}"
model = "{model}"
methods = {methods}
batch = 6
lr = 0.005
rank = 2
"""


def write(folder, dataset="shapes", model="unet-small", methods=("ft-all", "lorae"), instrumented="false"):
    path = folder / "networks.toml"
    text = SUITE.format(dataset=dataset, model=model, methods=list(methods), instrumented=instrumented)
    path.write_text(text.replace("'", '"'))
    return path


@pytest.mark.slow
@pytest.mark.torch
def test_a_segmenter_is_fine_tuned_on_a_board_by_every_kind_of_method(campaign, lab, few_shapes, tmp_path):
    suite = write(tmp_path, methods=("ft-all", "lorae", "lora-last-cached"), instrumented="true")
    ran = campaign(lab("here"), suite)
    records = {record.label: record for record in ran.reader.repetitions if record.role == "timed"}
    assert set(records) == {"ft-all", "lorae", "lora-last-cached"}
    for record in records.values():
        assert record.outcome == "ok", record.missing
        assert record.quality.metric == "mIoU"
        assert 0.0 <= record.quality.before <= 1.0 and 0.0 <= record.quality.after <= 1.0
    assert records["lorae"].params_trainable < 0.1 * records["ft-all"].params_trainable
    checks = [record for record in ran.reader.repetitions if record.role == "check"]
    assert [record.label for record in checks] == ["lora-last-cached"]
    assert checks[0].check["passed"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"model": "detector-small"},
            "'detector-small' does not take data set 'shapes'; those it takes: bccd",
        ),
        ({"dataset": "digits"}, "'unet-small' does not take data set 'digits'; those it takes: shapes"),
        ({"model": "mlp"}, "'mlp' does not take data set 'shapes'; those it takes: digits, fan"),
        (
            {"methods": ("skip2-lora",)},
            r"'skip2-lora' does not apply to model 'unet-small', whose outputs are maps.*; those that do: ft-all",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(tmp_path, keys, message):
    with pytest.raises(UsageError, match=message):
        load_suite(str(write(tmp_path, **keys)))


@pytest.mark.slow
@pytest.mark.torch
def test_the_same_suite_has_the_same_losses_on_cuda(campaign, lab, few_shapes, tmp_path):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} finds no CUDA device")
    losses = {}
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        folder.mkdir()
        suite = write(folder)
        suite.write_text(suite.read_text() + f'device = "{device}"\n')
        records = campaign(lab("here"), suite).reader.repetitions
        assert {record.device for record in records} == {device}
        losses[device] = {record.label: record.loss_final for record in records}
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)
