"""Compressed networks end to end: chains on the host, a runtime on a loopback board, records, the report, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.config.tables.test_compress import SUITE
from tests.workloads.deploy.test_deploy import KILLED_AT_IMPORT
from tunebench.harness.artifacts.gather import gather
from tunebench.harness.config.suite import load_suite
from tunebench.reports.render.text import table
from tunebench.reports.summary import summarise

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxruntime", reason="the runtime itself: pip install onnxruntime")


@pytest.mark.slow
@pytest.mark.torch
def test_chains_are_compressed_run_and_told(campaign, lab, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.replace('baseline = "float"', 'baseline = "float"\nblocks = 1'))
    ran = campaign(lab("here"), path)
    records = {record.label: record for record in ran.reader.repetitions}
    assert set(records) == {"float", "float (A/A)", "int8", "pruned"}
    for record in records.values():
        assert record.outcome == "ok", (record.outcome_reason, record.missing)
        assert record.role == "timed"
        assert record.inference is not None
        assert record.inference.runtime == "onnxruntime"
        assert record.quality.after > 0.5
        assert record.wall_s == record.inference.p50_s
        assert record.seen.window_s >= 0.9 * 400 * record.inference.p50_s
    assert records["float"].prov.weights_sha256 == records["float (A/A)"].prov.weights_sha256
    assert len({record.series_key for record in records.values()}) == 4
    pruned, int8 = (records[label].inference for label in ("pruned", "int8"))
    assert pruned.params < pruned.dense_params
    assert int8.claimed == "int8"
    assert int8.parent_agreement > 0.9
    assert [entry["id"] for entry in pruned.log] == ["plain", "half", "tune"]
    text = table(summarise(ran.reader))
    assert "Promise against measurement" in text
    assert "Float and its 8 or 16 bit twin" in text


#: A network of rows alone: no dense convolution for CP; in a runtime that works, and in one that dies at its import.
BAD = """
[suite]
name = "bad"
blocks = 1
aa = false

[compress]
source_steps = 0
rates = [0.005]
tune = { epochs = 1, batch = 20 }

[[transform]]
id = "cp"
kind = "factorize"
how = "cp"
"""
BAD_ROWS = """
[[workload]]
dataset = "digits"
model = "mlp"
runtime = "{runtime}"
chains = {{ "float" = ["tune"]{more} }}
"""


def python_with(folder: Path, python: str, module: str, source: str) -> Path:
    """Write a Python that finds a module of this source before all others, and return its path."""
    (folder / "first").mkdir()
    (folder / "first" / f"{module}.py").write_text(source)
    program = folder / "python-with"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}/first:$PYTHONPATH" exec {python} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.slow
@pytest.mark.torch
def test_a_chain_that_cannot_be_and_a_runtime_that_dies_at_its_import_cost_their_own_rows_alone(
    campaign, lab, workload_python, tmp_path
):
    path = tmp_path / "bad.toml"
    rows = (("ncnn", ""), ("onnxruntime", ', "cp" = ["cp", "tune"]'))
    path.write_text(BAD + "".join(BAD_ROWS.format(runtime=name, more=more) for name, more in rows))
    python = python_with(tmp_path, workload_python, "ncnn", KILLED_AT_IMPORT.format("SIGILL"))
    ran = campaign(lab("here", extra=f'interpreter = "{python}"'), path)
    records = {record.task: record for record in ran.reader.repetitions}
    died = records.pop("digits/mlp [ncnn x1]")
    assert (died.outcome, died.inference) == ("failed", None)
    assert "runtime ncnn died of SIGILL while it was imported" in died.outcome_reason
    assert [(record.label, record.outcome) for record in records.values()] == [("float", "ok")]
    (left_out,) = ran.reader.manifest.skipped
    assert (left_out.label, left_out.task) == ("cp", "digits/mlp [onnxruntime x1]")
    assert left_out.reason.startswith("it cannot be compressed as asked: ")
    assert "no convolution of one group" in left_out.reason


@pytest.mark.torch
def test_a_damaged_network_in_the_hosts_cache_is_made_again_with_the_same_bytes(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(BAD + BAD_ROWS.format(runtime="onnxruntime", more=""))
    suite = load_suite(str(path))
    key = (*suite.workloads[0].key, 0)
    made = gather(suite, cache_dir=tmp_path / "cache").compressed[key]
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    again = gather(suite, cache_dir=tmp_path / "cache").compressed[key]
    assert (again.sha256, again.path.read_bytes()) == (made.sha256, whole)
