"""Language models: the loss is Hugging Face's own, methods learn, memory as foretold, random weights tell nothing."""

from __future__ import annotations

import json
import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'tunebench[language]'"
)

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tests.workloads.engines.transformers.sizes import kept_b  # noqa: E402
from tunebench.workloads.engines import load_engine  # noqa: E402
from tunebench.workloads.methods import memory  # noqa: E402
from tunebench.workloads.methods.table import UnsupportedMethod  # noqa: E402
from tunebench.workloads.run.job import main  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402

pytestmark = pytest.mark.torch


def session_of(task, cache=None):
    return load_engine("transformers", "folder:model").Session(task, cache)


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_the_loss_is_that_of_hugging_faces_own_model(decoders, language_task_of, name):
    session = session_of(language_task_of("lora-all", name))
    rows = session.batches[0][0]
    tokens, mask = session._batch(rows)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(decoders[name].folder).eval()
    with torch.no_grad():
        expected = float(theirs(input_ids=tokens, attention_mask=mask, labels=tokens).loss)
        assert float(session._loss(rows, lambda phase: None)) == pytest.approx(expected, rel=1e-5)
        test, mask = session.texts["test"].batch(torch.arange(len(session.texts["test"].lengths)), 16)
        loss = float(theirs(input_ids=test, attention_mask=mask, labels=test).loss)
    evaluation = session.evaluate()
    assert evaluation.metric == "next-token accuracy" and 0 <= evaluation.accuracy <= 1
    assert evaluation.metrics["test_loss"] == pytest.approx(loss, rel=1e-5)
    assert evaluation.metrics["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    counted = sum(item.numel() for item in theirs.parameters())
    adapters = sum(item.numel() for item in session.trained)
    assert session.facts()["params_total"] == counted + adapters


@pytest.mark.parametrize("name", ["ft-all", "lora-all", "lora-last", "mezo"])
@pytest.mark.parametrize("model", ["tied", "untied"])
def test_every_method_learns_and_changes_only_what_its_plan_names(language_task_of, model, name):
    keys = {"lr": 1e-4, "optimizer": "sgd"} if name == "mezo" else {}
    session = session_of(language_task_of(name, model, **keys))
    before = {path: item.detach().clone() for path, item in session.model.named_parameters()}
    first, losses = session.evaluate().metrics["test_loss"], losses_of(session)
    own = {id(item) for item in session.trained}
    changed = {path for path, item in session.model.named_parameters() if not torch.equal(item, before[path])}
    assert changed and changed <= {path for path, item in session.model.named_parameters() if id(item) in own}
    facts = session.facts()
    assert facts["params_trainable"] == sum(item.numel() for item in session.trained)
    if name != "mezo":
        after = session.evaluate().metrics
        assert sum(losses[-3:]) < sum(losses[:3]) and after["test_loss"] < first
        assert after["test_loss_before"] == first


def test_batches_added_up_lose_what_one_as_large_as_all_of_them_does(language_task_of):
    whole = session_of(language_task_of("lora-all", batch=8))
    parted = session_of(language_task_of("lora-all", batch=3, accumulate=1))
    assert losses_of(parted) != losses_of(whole)
    parted = session_of(language_task_of("lora-all", batch=4, accumulate=2))
    assert losses_of(parted) == pytest.approx(
        losses_of(session_of(language_task_of("lora-all", batch=8))), rel=1e-4
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["lora-all", "ft-all"])
def test_autograd_keeps_what_was_predicted(language_task_of, name, dtype):
    session = session_of(language_task_of(name, "shape", dtype=dtype, batch=8))
    predicted = memory.predict(session.plan, 8)
    assert kept_b(session, session.batches[0][0]) == pytest.approx(predicted.saved_b, rel=0.2)


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        (
            "ft-last",
            {},
            "its last layer is the output over all it knows; for it use one of: ft-all, lora-all",
        ),
        ("skip2-lora", {}, "skip adapters end at scores of classes"),
        ("ft-bias", {}, "which has no biases"),
        ("lora-all", {"head": "trained"}, "has no head of its own"),
    ],
)
def test_what_a_language_model_does_not_have_is_refused_by_name(language_task_of, name, keys, message):
    with pytest.raises(UnsupportedMethod, match=message):
        language_task_of(name, **keys)


def test_less_text_than_one_row_of_tokens_is_told(language_task_of, decoders):
    from tunebench.workloads import artefact
    from tunebench.workloads.tasks.spec import parse
    from tunebench.workloads.tasks.task import make_task

    made = decoders["shape"]
    data = artefact.read(str(made.data))
    short = data._replace(tensors={**data.tensors, "test_x": artefact.tensor("int32", (9,), range(9))})
    keys = {
        "model": made.model,
        "dataset": "corpus",
        "engine": "transformers",
        "method": "lora-all",
        "seq_len": 16,
    }
    with pytest.raises(
        SpecError, match="seq_len is 16, part test has 9 tokens: give at most so many, or more text"
    ):
        make_task(parse(keys), short, artefact.read(str(made.weights)))


def test_random_weights_have_time_and_no_loss(decoders, tmp_path, monkeypatch):
    made = decoders["shape"]
    workload = {
        "mode": "timed", "method": "lora-all", "model": made.model, "dataset": "corpus",
        "engine": "transformers", "epochs": 1, "batch": 4, "seq_len": 16,
    }  # fmt: skip
    paths = {"data": str(made.data), "weights": str(made.weights)}
    (tmp_path / "out").mkdir()
    (tmp_path / "job.json").write_text(json.dumps({"workload": workload, "paths": paths}))
    monkeypatch.setenv("TUNEBENCH_JOB", str(tmp_path))
    assert main() == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["outcome"], result["before"], result["after"]) == ("ok", None, None)
    assert "its quality is none" in result["reason"]
    assert not {"perplexity", "test_loss", "test_loss_before"} & set(result["metrics"])
    assert result["metrics"]["padded_tokens"] == result["metrics"]["train_tokens"] > 0
