"""Transformers on torch: logits as Hugging Face's, LoRA as peft's, caches that are exact, every method of the table."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'tunebench[language]'"
)
import torch.nn.functional as F  # noqa: E402

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.workloads.engines import load_engine  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.methods import table  # noqa: E402
from tunebench.workloads.run.correctness import check  # noqa: E402

pytestmark = pytest.mark.torch
METHODS = table.methods_of("folder:model")
TRAINED = [name for name in METHODS if table.method(name).labels]


def session_of(task, cache=None):
    return load_engine("transformers", "folder:model").Session(task, cache)


def reference(folder, tokens, mask, head):
    """Return the scores of Hugging Face's model with a masked mean, written without our graph."""
    trunk = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        states = trunk(input_ids=tokens, attention_mask=mask).last_hidden_state
        share = mask.unsqueeze(2).to(torch.float32)
        return head((states * share).sum(1) / share.sum(1))


def test_the_scores_are_those_of_hugging_faces_own_model(made, task_of):
    session = session_of(task_of("ft-last"))
    tokens, mask = session._batch(session.batches[0][0])
    with torch.no_grad():
        ours = session.model(tokens, mask)
    assert torch.allclose(ours, reference(made.folder, tokens, mask, session.model.head), atol=1e-6)
    assert mask.sum() < mask.numel()  # some texts are padded


def test_padding_changes_no_score(task_of):
    session = session_of(task_of("ft-last"))
    texts = session.texts["test"]
    rows = torch.arange(len(texts.lengths))
    with torch.no_grad():
        together = session.model(*texts.batch(rows, max(texts.lengths)))
        for row, length in enumerate(texts.lengths):
            alone = session.model(*texts.batch(rows[row : row + 1], length))
            assert torch.allclose(alone[0], together[row], atol=1e-5)


def test_a_text_that_is_cut_still_ends_with_the_tokenizers_end(made, task_of):
    session = session_of(task_of("ft-last", seq_len=5))
    texts = session.texts["finetune"]
    assert max(texts.lengths) == 5
    ends = {int(texts.tokens[row, length - 1]) for row, length in enumerate(texts.lengths)}
    assert ends == {3}  # [SEP]


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_learns_and_changes_only_what_its_plan_names(task_of, name):
    keys = {"lr": 0.001, "optimizer": "sgd", "epochs": 2} if name == "mezo" else {}
    task = task_of(name, **keys)
    session = session_of(task)
    before = {path: item.detach().clone() for path, item in session.model.named_parameters()}
    own = {id(item) for item in session.trained}
    losses = losses_of(session)
    assert name == "mezo" or sum(losses[-3:]) < sum(losses[:3])
    changed = {path for path, item in session.model.named_parameters() if not torch.equal(item, before[path])}
    assert changed <= {path for path, item in session.model.named_parameters() if id(item) in own}
    assert changed
    facts = session.facts()
    assert facts["params_trainable"] == sum(item.numel() for item in session.trained)
    assert facts["params_total"] == sum(item.numel() for item in session.model.parameters())


@pytest.mark.parametrize("name", [name for name in METHODS if table.method(name).cache])
def test_a_cache_is_what_would_be_computed_again(task_of, name):
    result = check(task_of(name))
    assert result["passed"] and result["max_activation_diff"] <= 1e-6


def test_skip2_runs_the_trunk_once(task_of, monkeypatch):
    session = session_of(task_of("skip2-lora"))
    runs = []
    inner = session.model.trunk.forward
    monkeypatch.setattr(session.model.trunk, "forward", lambda **keys: runs.append(1) or inner(**keys))
    for epoch in range(3):
        session.train_epoch(epoch, no_mark)
    assert len(runs) == session.task.steps_per_epoch
    assert session.facts()["cache_hit_ratio"] == pytest.approx(2 / 3)


def test_tokens_are_counted_without_padding(task_of):
    session = session_of(task_of("ft-last", epochs=2))
    losses_of(session)
    metrics, lengths = session.facts()["metrics"], session.texts["finetune"].lengths
    assert metrics["train_tokens"] == 2 * sum(lengths)
    assert metrics["padded_tokens"] >= metrics["train_tokens"]
    assert metrics["tokens_per_s"] > 0 and metrics["first_step_s"] > 0 and metrics["steady_step_s"] > 0
    session.hold_start()
    session.restart()
    assert session.facts()["metrics"]["train_tokens"] == 0


def test_quality_is_balanced_over_the_classes(task_of):
    evaluation = session_of(task_of("ft-last")).evaluate()
    assert evaluation.metric == "balanced accuracy" and evaluation.n_items == len(evaluation.labels)
    shares = [
        sum(p == c for y, p in zip(evaluation.labels, evaluation.predictions, strict=True) if y == c)
        / evaluation.labels.count(c)
        for c in (0, 1)
    ]
    assert evaluation.accuracy == pytest.approx(sum(shares) / 2)


def test_a_warm_up_changes_nothing(task_of):
    warmed, plain = session_of(task_of("lora-all")), session_of(task_of("lora-all"))
    warmed.warm_up(2)
    assert losses_of(warmed, 1) == losses_of(plain, 1)


def test_lora_of_ours_and_of_peft_agree_over_50_steps(made, task_of):
    peft = pytest.importorskip("peft", reason="peft is not installed: pip install 'tunebench[language]'")
    session = session_of(task_of("lora-all", epochs=15, clip=1.0, weight_decay=0.01))
    adapted = [adapter.end for adapter in session.plan.adapters]
    theirs = Peft(peft, made.folder, session, adapted)
    steps = [rows for epoch in session.batches for rows in epoch][:50]
    assert len(steps) == 50
    ours = [float(session.step(rows, no_mark)) for rows in steps]
    assert ours == pytest.approx([theirs.step(rows) for rows in steps], rel=2e-4)
    assert ours[-1] < ours[0]


def test_a_users_adapter_config_loses_what_it_loses_with_peft_over_50_steps(made, task_of, tmp_path):
    peft = pytest.importorskip("peft", reason="peft is not installed: pip install 'tunebench[language]'")
    from tunebench.harness.config.peft_file import peft_keys

    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["query", "attention.output.dense"])
    config.save_pretrained(tmp_path)  # all keys that peft writes
    keys = peft_keys(tmp_path / "adapter_config.json")
    session = session_of(task_of("lora-all", epochs=15, clip=1.0, weight_decay=0.01, **keys))
    adapted = [adapter.end for adapter in session.plan.adapters]
    assert len(adapted) == 4 and session.model.scale == 3.0
    theirs = Peft(peft, made.folder, session, adapted, config)
    steps = [rows for epoch in session.batches for rows in epoch][:50]
    ours = [float(session.step(rows, no_mark)) for rows in steps]
    assert ours == pytest.approx([theirs.step(rows) for rows in steps], rel=2e-4)
    assert ours[-1] < ours[0]


class Peft:
    """The same fine-tuning by peft and torch's own AdamW, from the same start values."""

    def __init__(self, peft, folder, session, adapted, config=None):
        self.session = session
        trunk = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)
        self.model = torch.nn.ModuleDict({"trunk": trunk, "classifier": torch.nn.Linear(16, 2)})
        head = session.model.head
        head = getattr(head, "base", head)  # without an adapter of its own it is the layer itself
        with torch.no_grad():
            self.model["classifier"].weight.copy_(head.weight)
            self.model["classifier"].bias.copy_(head.bias)
        config = config or peft.LoraConfig(
            r=4, lora_alpha=4, target_modules=".*(query|key|value|dense|classifier)$", lora_dropout=0.0
        )
        self.model = peft.LoraModel(self.model, config, "default").eval()
        named = {
            path.removeprefix("model.").removeprefix("trunk.").replace(".", "_"): module
            for path, module in self.model.named_modules()
            if hasattr(module, "lora_A")
        }
        assert sorted(named) == sorted(adapted)
        places = {
            id(layer.extractor): layer for layer in session.model.modules() if hasattr(layer, "extractor")
        }
        ours = [places[id(item)] for item in session.trained if id(item) in places]
        with torch.no_grad():
            for name, layer in zip(adapted, ours, strict=True):
                named[name].lora_A["default"].weight.copy_(layer.extractor)
        trained = [item for item in self.model.parameters() if item.requires_grad]
        assert sum(item.numel() for item in trained) == sum(item.numel() for item in session.trained)
        self.trained = trained
        self.optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.01)

    def step(self, rows):
        tokens, mask = self.session._batch(rows)
        inner = self.model.model
        states = inner["trunk"](input_ids=tokens, attention_mask=mask).last_hidden_state
        share = mask.unsqueeze(2).to(torch.float32)
        scores = inner["classifier"]((states * share).sum(1) / share.sum(1))
        loss = F.cross_entropy(scores, self.session.texts["finetune"].y[rows])
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        return float(loss.detach())
