"""Fine-tuning behind a trunk in ONNX Runtime, end to end: trunks made on the host, a loopback board without torch."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tunebench.harness.campaign.session import exit_code

SUITE = """
[suite]
name = "free"
blocks = 1
aa = false
baseline = "ft-last-cached"

[[transform]]
id = "int8"
kind = "quantize"
how = "static"

[[workload]]
dataset = "mnist"
model = "resnet-small"
engine = "onnxruntime-head"
methods = ["ft-last-cached", "skip2-lora"]
epochs = 3
batch = 6
rank = 2

[[workload]]
dataset = "mnist"
model = "resnet-small"
engine = "onnxruntime-head"
start = ["int8"]
methods = ["ft-last-cached"]
epochs = 3
batch = 6
rank = 2
"""


@pytest.fixture(scope="module")
def python_without_torch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Command of a Python that has onnxruntime and numpy, and nothing else of this environment."""
    folder = tmp_path_factory.mktemp("without")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in ("onnxruntime", "numpy"):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            pytest.skip(f"needs {name}: pip install onnxruntime")
        place = Path(spec.origin).parent
        for path in (place, place.with_name(f"{name}.libs")):
            if path.exists():
                (packages / path.name).symlink_to(path)
    return f"{folder}/bin/python"


@pytest.mark.slow
def test_a_board_without_torch_fine_tunes_and_says_its_agreement(
    campaign, lab, few_images, python_without_torch, tmp_path
):
    pytest.importorskip("torch", reason="start weights and scales are made on the host")
    (tmp_path / "free.toml").write_text(SUITE)
    ran = campaign(lab("here", extra=f'interpreter = "{python_without_torch}"'), tmp_path / "free.toml")
    records = ran.reader.repetitions
    assert [(record.outcome, record.outcome_reason) for record in records] == [("ok", None)] * 9
    assert {record.role for record in records} == {"check", "timed", "instrumented"}
    timed = {(record.task, record.method): record for record in records if record.role == "timed"}
    assert {task.partition(" [")[0] for task, _ in timed} == {
        "mnist/resnet-small", "mnist/resnet-small from int8",
    }  # fmt: skip
    for (_, method), record in timed.items():
        assert record.prov.engine_version.startswith("onnxruntime ")
        assert record.peak_rss_b < 150 << 20
        assert record.cache_hit_ratio == pytest.approx(2 / 3)
        assert record.cache_b % (4 * (64 if method == "ft-last-cached" else 244)) == 0
        assert "trunk_agreement" not in record.metrics
    told = {record.task: record.metrics for record in records
            if record.role == "instrumented" and record.method == "ft-last-cached"}  # fmt: skip
    assert [("trunk_agreement" in metrics) == ("int8" in task) for task, metrics in told.items()] == [
        True
    ] * 2
    assert min(metrics.get("trunk_agreement", 1.0) for metrics in told.values()) > 0.8
    assert len({record.prov.weights_sha256 for record in timed.values()}) == 3
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0
