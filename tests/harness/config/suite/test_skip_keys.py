"""Keys of skip adapters and checkpointing in a suite: they reach the methods that honour them, or are refused."""

from __future__ import annotations

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError

SUITE = """
[suite]
name = "skips"
baseline = "{baseline}"
aa = false

[[workload]]
dataset = "{dataset}"
model = "{model}"
methods = {methods}
{keys}
"""


def suite(tmp_path, *methods, model="resnet-small", dataset="mnist", keys=""):
    path = tmp_path / "skips.toml"
    path.write_text(
        SUITE.format(
            baseline=methods[0], methods=list(methods), model=model, dataset=dataset, keys=keys
        ).replace("'", '"')
    )
    return load_suite(str(path))


def params_of(loaded):
    return {workload.label: workload.params for workload in loaded.workloads}


def test_the_keys_go_to_the_methods_of_skip_adapters_alone(tmp_path):
    keys = 'skip_grid = "2x2"\nskip_blocks = 3'
    params = params_of(suite(tmp_path, "lora-all", "skip2-lora", keys=keys))
    assert (params["skip2-lora"]["skip_grid"], params["skip2-lora"]["skip_blocks"]) == ("2x2", 3)
    assert params["lora-all"] == params_of(suite(tmp_path, "lora-all"))["lora-all"]


@pytest.mark.parametrize("keys", ["", 'skip_grid = "1x1"\nskip_blocks = "all"'])
def test_without_them_or_with_the_defaults_nothing_is_written(tmp_path, keys):
    params = params_of(suite(tmp_path, "skip2-lora", keys=keys))["skip2-lora"]
    assert not [key for key in params if key.startswith("skip_")]


@pytest.mark.parametrize(("methods", "model", "dataset", "keys", "message"), [
    (["lora-all"], "resnet-small", "mnist", 'skip_grid = "2x2"', "'lora-all' has no skip adapters"),
    (["skip2-lora"], "mlp", "har-hapt", "skip_blocks = 2", "'mlp' is a chain"),
    (["skip2-lora"], "resnet-small", "mnist", "skip_blocks = 8", "has 7 blocks"),
    (["skip2-lora"], "resnet-small", "mnist", 'skip_grid = "4x4"', "allowed: 1x1, 2x2"),
    (["skip2-lora"], "resnet-small", "mnist", 'skip_blocks = "last"', "allowed: 'all'"),
    (["ft-all", "skip2-lora"], "unet-small", "shapes", "", "whose outputs are maps"),
])  # fmt: skip
def test_what_no_method_honours_is_refused_with_what_would_be_right(
    tmp_path, methods, model, dataset, keys, message
):
    with pytest.raises(UsageError, match=message):
        suite(tmp_path, *methods, model=model, dataset=dataset, keys=keys)


def test_checkpointing_goes_to_the_methods_that_keep_blocks(tmp_path):
    params = params_of(suite(tmp_path, "ft-all", "ft-last", "skip2-lora", keys="checkpoint = true"))
    assert [name for name in params if "checkpoint" in params[name]] == ["ft-all"]
    assert (
        params_of(suite(tmp_path, "ft-all", keys="checkpoint = false"))["ft-all"].keys()
        == params["ft-last"].keys()
    )


@pytest.mark.parametrize(("method", "model", "dataset", "message"), [
    ("ft-last", "resnet-small", "mnist", "keeps nothing of the blocks"),
    ("ft-all", "mlp", "har-hapt", "'mlp' has no blocks"),
])  # fmt: skip
def test_checkpointing_that_no_method_can_use_is_refused(tmp_path, method, model, dataset, message):
    with pytest.raises(UsageError, match=message):
        suite(tmp_path, method, model=model, dataset=dataset, keys="checkpoint = true")
