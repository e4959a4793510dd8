"""An adapter_config.json of peft in a suite: what it says is what is run, and what is not run is refused by its key."""

from __future__ import annotations

import json

import pytest

from tunebench.harness.config.peft_file import peft_keys
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError

CONFIG = {
    "peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.0,
    "bias": "none", "task_type": None, "modules_to_save": None, "use_dora": False, "init_lora_weights": True,
    "rank_pattern": {}, "base_model_name_or_path": "org/model", "inference_mode": True, "megatron_core": "megatron.core",
}  # fmt: skip
SUITE = """
[suite]
name = "mine"
aa = false

[[workload]]
task = "mails"
dataset = "spam-mail"
model = "{model}"
engine = "transformers"
epochs = 1
{more}
"""


def write(folder, *, model="shape:smollm2-135m", more='peft = "mine.json"', **changed):
    (folder / "mine.json").write_text(json.dumps({**CONFIG, **changed}))
    path = folder / "suite.toml"
    path.write_text(SUITE.format(model=model, more=more))
    return str(path)


def test_a_file_is_a_method_of_its_own_with_its_rank_alpha_and_layers(tmp_path):
    (cell,) = load_suite(write(tmp_path)).workloads
    assert (cell.label, cell.method) == ("mine", "lora-all")
    assert (cell.params["rank"], cell.params["alpha"]) == (16, 32.0)
    assert cell.params["targets"] == ["q_proj", "v_proj"] and "head" not in cell.params


@pytest.mark.parametrize("changed", [{"task_type": "SEQ_CLS"}, {"modules_to_save": ["score"]}])
def test_the_head_of_a_classifier_trains_as_with_peft(tmp_path, changed):
    (cell,) = load_suite(write(tmp_path, more='peft = "mine.json"\nlabel = "rank 16"', **changed)).workloads
    assert (cell.label, cell.params["head"]) == ("rank 16", "trained")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"lora_dropout": 0.1},
            r"mine\.json: lora_dropout is 0\.1, which is not run here; leave the key out",
        ),
        ({"use_dora": True}, "use_dora is true"),
        ({"bias": "all"}, 'bias is "all"'),
        ({"init_lora_weights": "pissa"}, 'init_lora_weights is "pissa"'),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern is"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": 0}, "r is 0, expected a whole number from 1"),
        ({"lora_alpha": "x"}, "lora_alpha is 'x'"),
        ({"target_modules": []}, r"target_modules is \[\]"),
        ({"task_type": "SEQ_2_SEQ_LM"}, "task_type is 'SEQ_2_SEQ_LM'"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save names 'embed_tokens'"),
        (
            {"target_modules": ["query"]},
            "'query', which names no linear layer of model .*names end in: .*q_proj",
        ),
        (
            {
                "target_modules": "(",
            },
            "no regular expression",
        ),
    ],
)
def test_what_is_not_run_is_refused_by_its_key(tmp_path, changed, message):
    with pytest.raises(UsageError, match=message):
        load_suite(write(tmp_path, **changed))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('peft = "mine.json"\nrank = 4', "'rank' beside 'peft': mine.json says it, leave 'rank' out"),
        (
            'peft = "none.json"',
            r"none\.json: No such file or directory: 'peft' names an adapter_config\.json",
        ),
        ('methods = ["ft-last"]\ntargets = ["q_proj"]', "'targets' names layers.*that take it: lora-all"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(tmp_path, more, message):
    with pytest.raises(UsageError, match=message):
        load_suite(write(tmp_path, more=more))


def test_a_model_that_is_read_later_is_checked_later(tmp_path):
    (cell,) = load_suite(write(tmp_path, model="folder:mine", target_modules="all-linear")).workloads
    assert cell.params["targets"] == "all-linear"


def test_a_file_that_is_no_json_is_told(tmp_path):
    (tmp_path / "mine.json").write_text("r = 4")
    with pytest.raises(UsageError, match="no JSON"):
        peft_keys(tmp_path / "mine.json")
    (tmp_path / "mine.json").write_text("[4]")
    with pytest.raises(UsageError, match="no JSON object"):
        peft_keys(tmp_path / "mine.json")
