"""Shapes: the graph's layers are Hugging Face's modules in every architecture, and random weights have no quality."""

from __future__ import annotations

import json

import pytest

for package in ("torch", "transformers"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'tunebench[language]'")

from tests.workloads.tiny_transformer import write_mails  # noqa: E402
from tunebench.workloads.engines.transformers import classifier  # noqa: E402
from tunebench.workloads.models import language  # noqa: E402
from tunebench.workloads.prepare.artefacts import prepare  # noqa: E402
from tunebench.workloads.run.job import main  # noqa: E402

pytestmark = pytest.mark.torch
SMALL = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32,
}  # fmt: skip


@pytest.mark.parametrize("name", ["distilbert", "smollm2-135m", "qwen2.5-0.5b", "gemma-3-270m"])
def test_every_layer_of_the_graph_is_a_module_and_nothing_is_left_over(name):
    published = language.SHAPES[name]
    config = {**published, **{key: value for key, value in SMALL.items() if key in published}}
    graph = language.build(name, config, 8, 2)
    trunk = classifier._trunk(config)
    assert classifier._places(trunk, graph.layers)
    modules = dict(trunk.named_modules())
    assert {language.module_name(node.name) for node in graph.layers} - {language.HEAD} <= set(modules)
    head = 2 * 16 + 2
    assert sum(item.numel() for item in trunk.parameters()) == graph.n_params - head


def test_random_weights_have_time_memory_of_every_phase_and_no_quality(tmp_path, monkeypatch):
    mails = write_mails(tmp_path / "mails.jsonl")
    made = prepare(f"file:{mails}", "shape:minilm-tiny", cache_dir=tmp_path / "cache")
    workload = {
        "mode": "instrumented", "method": "lora-all", "model": "shape:minilm-tiny", "dataset": "mails",
        "engine": "transformers", "epochs": 2, "batch": 5,
    }  # fmt: skip
    paths = {"data": str(made.data), "weights": str(made.weights)}
    (tmp_path / "out").mkdir()
    (tmp_path / "job.json").write_text(json.dumps({"workload": workload, "paths": paths}))
    monkeypatch.setenv("TUNEBENCH_JOB", str(tmp_path))
    assert main() == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["outcome"], result["before"], result["after"], result["curve"]) == ("ok", None, None, [])
    assert "its quality is none" in result["reason"] and result["metrics"]["tokens_per_s"] > 0
    assert not (tmp_path / "out" / "preds.jsonl").exists()
    for phase in ("load", "first_step", "steady_step", "merge", "save", "reload"):
        assert result["metrics"][phase + "_s"] > 0
        assert result["metrics"][phase + "_peak_b"] > 50e6
    assert result["missing"] == {} and not (tmp_path / "kept").exists()
    assert result["peak_rss_b"] >= result["metrics"]["first_step_peak_b"]
