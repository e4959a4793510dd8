"""``tunebench params``: the accounting, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tunebench.harness.cli.app import app
from tunebench.harness.cli.params import count, table
from tunebench.harness.errors import UsageError
from tunebench.workloads.tasks.training import OPTIMIZERS


def test_json_tells_what_the_issue_asks_for():
    result = CliRunner().invoke(
        app,
        ["params", "--model", "yolov8x", "--task", "detect", "--method", "lorae", "--rank", "4", "--json"],
    )
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)
    assert (counts["params"], counts["trainable"]) == (68_229_648, 973_036)
    assert counts["reduction_pct"] == pytest.approx(98.5739, abs=1e-4)
    assert counts["update_b"] == 4 * counts["trainable"]
    assert counts["madds"] > counts["madds_base"] > 0
    assert (counts["classes"], counts["input"]) == (80, [3, 640, 640])


def test_the_table_names_what_was_counted():
    result = CliRunner().invoke(app, ["params", "--model", "mobilenetv2"])
    assert result.exit_code == 0
    assert "mobilenetv2 (classify, 1000 classes), lorae, rank 4" in result.stdout
    assert "3,504,872" in result.stdout and "depthwise" in result.stdout


def test_full_fine_tuning_reduces_nothing_but_the_fixed_layer():
    counts = count("yolov8x", "ft-all", 4)
    assert counts["params"] - counts["trainable"] == 16
    assert counts["rank"] is None


@pytest.mark.parametrize(
    ("model", "method", "task"),
    [("yolov9", "lorae", None), ("resnet18", "lorae", "pose"), ("resnet18", "x", None)],
)
def test_what_is_not_there_is_a_usage_error(model, method, task):
    with pytest.raises(UsageError, match="use"):
        count(model, method, 4, task=task)


def test_keys_of_skip_adapters_and_checkpoints_change_what_is_counted():
    every, four = (
        count("mobilenetv2", "skip2-lora", 4, size=64, batch=8, skip_grid="2x2", skip_blocks=blocks)
        for blocks in (None, 4)
    )
    assert (every["skip_blocks"], four["skip_blocks"], four["adapted"]) == ("all", 4, 4)
    assert 0 < four["cache_sample_b"] < every["cache_sample_b"] and four["trainable"] < every["trainable"]
    plain, again = (
        count("mobilenetv2", "lora-fa", 4, size=224, batch=8, checkpoint=flag) for flag in (False, True)
    )
    assert again["memory"]["saved_b"] < plain["memory"]["saved_b"]
    assert (plain["skip_grid"], plain["cache_sample_b"], again["checkpoint"]) == (None, 0, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--method", "skip2-lora", "--skip-blocks", "last"],
            r"skip_blocks is 'last', allowed: 'all', or the number",
        ),
        (
            ["--method", "skip2-lora", "--skip-blocks", "99"],
            r"skip_blocks is 99, model 'mobilenetv2' has \d+ blocks",
        ),
        (
            ["--method", "lorae", "--skip-grid", "2x2"],
            r"skip_grid is '2x2': method 'lorae' has no skip adapters",
        ),
        (
            ["--method", "ft-last", "--checkpoint"],
            r"checkpoint is true: method 'ft-last' keeps nothing of the blocks",
        ),
    ],
)
def test_a_key_that_the_method_does_not_honour_is_refused(options, words):
    result = CliRunner().invoke(app, ["params", "--model", "mobilenetv2", *options])
    assert result.exit_code != 0
    with pytest.raises(UsageError, match=words):
        raise result.exception


def test_it_imports_no_torch():
    program = "import sys; sys.modules['torch'] = None\n"
    program += "from tunebench.harness.cli.params import count; count('yolov8n', 'lorae', 4)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_memory_is_predicted_where_a_batch_is_named():
    assert "memory" not in count("unet-small", "lorae", 4)
    memory = count("unet-small", "lorae", 4, batch=10, free_mb=200)["memory"]
    assert memory["total_b"] == memory["weights_b"] + memory["optimiser_b"] + memory["step_b"]
    assert memory["saved_b"] <= memory["step_b"] and memory["optimiser_b"] == 0
    assert memory["fits"] == "yes" and 10 < memory["batch_safe"] < memory["batch_at_most"] < 100
    assert 64 <= memory["side_safe_px"] < memory["side_at_most_px"] and memory["side_at_most_px"] % 32 == 0
    nothing = count("unet-small", "lorae", 4, free_mb=0.001)["memory"]
    assert (nothing["fits"], nothing["batch_at_most"], nothing["side_at_most_px"]) == ("no", 0, 0)
    assert count("unet-small", "lorae", 4, batch=10, free_mb=100)["memory"]["fits"] == "perhaps"


def test_the_native_engines_memory_hardly_grows_with_the_batch_and_fits_where_torchs_does_not():
    keys = {"size": 64, "batch": 20, "classes": 2}
    boards = {
        engine: count("mobilenetv2", "skip2-lora", 4, board="raspberry-pi-zero-2-w", engine=engine, **keys)[
            "memory"
        ]
        for engine in ("torch", "native")
    }
    native, torch = boards["native"], boards["torch"]
    assert native["total_b"] < 26e6 and (native["engine"], torch["engine"]) == ("native", "torch")
    assert (native["taken_mb"], torch["taken_mb"]) == (223.0, 430.0)
    assert native["boards"][0]["batch_safe"] > 10 * torch["boards"][0]["batch_safe"]
    own = count("mobilenetv2", "skip2-lora", 4, board="all", taken_mb=7, engine="native", **keys)["memory"]
    assert own["taken_mb"] == 7


def test_a_head_in_numpy_is_predicted_beside_the_runtime_that_a_board_has_loaded():
    keys = {
        "size": 64,
        "batch": 20,
        "classes": 2,
        "board": "raspberry-pi-zero-2-w",
        "engine": "onnxruntime-head",
    }
    counted = count("mobilenetv2", "skip2-lora", 4, **keys)
    memory = counted["memory"]
    assert (memory["engine"], memory["taken_mb"], memory["boards"][0]["fits"]) == (
        "onnxruntime-head",
        256.0,
        "yes",
    )
    assert 2 * 4 * 2_200_000 < memory["weights_b"] < memory["total_b"] < 26e6
    assert "data not in it" in table(counted)


@pytest.mark.parametrize(
    ("model", "method", "engine", "words"),
    [
        ("mobilenetv2", "ft-all", "native", "keeps a network's trunk frozen, method 'ft-all' trains it"),
        ("unet-small", "ft-last", "native", "classifiers of images whose trunk stays frozen"),
        ("yolov8n", "ft-last", "native", "not model 'yolov8n'"),
        ("mobilenetv2", "tent", "native", "leaves BatchNorm frozen"),
        ("mobilenetv2", "ft-last", "jax", "--engine 'jax': use one of: torch, native"),
    ],
)
def test_what_an_engine_does_not_run_is_not_predicted(model, method, engine, words):
    with pytest.raises(UsageError, match=words):
        count(model, method, 4, batch=2, engine=engine)


def test_an_optimizers_state_stands_in_the_memory_and_in_what_fits():
    counted = {name: count("unet-small", "ft-all", 4, optimizer=name, free_mb=100) for name in OPTIMIZERS}
    memory = {name: numbers["memory"] for name, numbers in counted.items()}
    trained_b = counted["sgd"]["update_b"]
    assert [memory[name]["optimiser_b"] for name in OPTIMIZERS] == [0, trained_b, 2 * trained_b]
    assert memory["adamw"]["total_b"] - memory["sgd"]["total_b"] == 2 * trained_b
    assert memory["adamw"]["batch_at_most"] < memory["sgd"]["batch_at_most"]
    assert (memory["adamw"]["optimizer"], memory["adamw"]["batch"]) == ("adamw", 1)
    on_board = count("yolov8x", "ft-all", 4, optimizer="adamw", board="raspberry-pi-zero-2-w")["memory"][
        "boards"
    ]
    assert {row["fits"] for row in on_board} == {"no"}
    with pytest.raises(UsageError, match=r"--optimizer 'adam': use one of: sgd, momentum, adamw"):
        count("unet-small", "ft-all", 4, optimizer="adam")
    result = CliRunner().invoke(app, ["params", "--model", "unet-small", "--optimizer", "adamw"])
    assert "state of adamw" in result.stdout and "at batch 1" in result.stdout


def test_the_table_says_whether_a_batch_fits():
    result = CliRunner().invoke(app, ["params", "--model", "yolov8x", "--batch", "8", "--free-mb", "4000"])
    assert result.exit_code == 0, result.output
    assert "does not fit into 4000.0 MB; largest batch safe: 1, at most 2" in result.stdout


def test_what_fits_on_a_board_is_told_for_every_memory_size_and_marked_as_predicted():
    memory = count("resnet-small", "lorae", 4, batch=500, board="raspberry-pi-4")["memory"]
    rows = memory["boards"]
    assert [row["ram_gb"] for row in rows] == [1.0, 2.0, 4.0, 8.0]
    assert {row["basis"] for row in rows} == {"predicted"}
    assert [row["fits"] for row in rows] == sorted(
        (row["fits"] for row in rows), key=["no", "perhaps", "yes"].index
    )
    assert [row["batch_at_most"] for row in rows] == sorted(row["batch_at_most"] for row in rows)
    assert all(row["batch_safe"] <= row["batch_at_most"] for row in rows)
    every = count("resnet-small", "ft-all", 4, board="all", taken_mb=1e6)["memory"]["boards"]
    assert {row["board"] for row in every} >= {"raspberry-pi-5", "jetson-nano", "jetson-agx-orin"}
    assert {row["fits"] for row in every} == {"no"}


def test_boards_stand_in_the_table_and_an_unknown_one_is_refused():
    result = CliRunner().invoke(
        app, ["params", "--model", "unet-small", "--batch", "10", "--board", "jetson-nano"]
    )
    assert result.exit_code == 0, result.output
    assert "predicted: 430 MB are not ours" in result.stdout and "Jetson Nano" in result.stdout
    with pytest.raises(UsageError, match="unknown board 'raspi4', use one of: all, raspberry-pi-zero-2-w"):
        count("unet-small", "lorae", 4, board="raspi4")
