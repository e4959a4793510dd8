"""Formats of ``export``: each is read by the tool that it is for, or held against that tool's own schema."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import duckdb
import jsonschema
import pandas as pd
import pytest

from tests.reports.campaigns import Campaign
from tunebench.reports.exports import bmf, github_benchmark, mlflow, openmetrics
from tunebench.reports.exports.registry import FORMATS, format_module
from tunebench.reports.records import Skip
from tunebench.reports.results import ResultsError, RunReader
from tunebench.reports.results.export import write_table
from tunebench.reports.summary import summarise

#: https://bencher.dev/bmf.json, as Bencher's reference prints it.
BMF_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema",
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "number"},
                        "lower_value": {"type": "number"},
                        "upper_value": {"type": "number"},
                    },
                    "required": ["value"],
                }
            },
        }
    },
}
#: What github-action-benchmark reads of an entry (its type CustomBenchmarkResult), and nothing else.
ACTION_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def exported(lab_run: Path, tmp_path: Path):
    """Export the lab's run in one format; return the file's bytes."""

    def export(form: str, run: Path = lab_run) -> bytes:
        file = tmp_path / "exported"
        format_module(form).export(RunReader(run), str(file))
        return file.read_bytes()

    return export


def _linted(text: bytes) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here: apt-get install prometheus")
    return subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )


def test_prometheus_own_tool_finds_nothing_wrong_with_openmetrics(exported):
    done = _linted(exported("openmetrics"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_openmetrics_is_read_by_its_reference_parser_and_holds_the_reports_medians(exported, lab: RunReader):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="needs prometheus-client")
    families = {
        family.name: family
        for family in parser.text_string_to_metric_families(exported("openmetrics").decode())
    }
    seconds = {
        (sample.labels["board"], sample.labels["method"]): sample.value
        for sample in families["tunebench_finetuning_seconds"].samples
    }
    rows = [row for row in summarise(lab).rows if row.wall_s is not None]
    assert seconds == {(row.board_id, row.label): row.wall_s.median for row in rows}
    assert families["tunebench_finetuning_peak_memory_bytes"].unit == "bytes"
    (end,) = families["tunebench_run_end_time_seconds"].samples
    assert end.value == pd.Timestamp(lab.manifest.ended_utc).timestamp()


def test_openmetrics_has_no_time_stamps_which_the_textfile_collector_refuses(exported):
    samples = [line for line in exported("openmetrics").decode().splitlines() if not line.startswith("#")]
    assert samples and all(len(line.rpartition("}")[2].split()) == 1 for line in samples)


@pytest.mark.parametrize("name", ['a"b', "back\\slash", "two\nlines", "schön 😀", "}"])
def test_a_hostile_label_stays_one_label_of_openmetrics(
    exported, campaign: Campaign, tmp_path: Path, name: str
):
    campaign.rename = {"lora-last": name}
    text = exported("openmetrics", campaign.write(tmp_path / "hostile"))
    assert _linted(text).returncode == 0
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="needs prometheus-client")
    families = parser.text_string_to_metric_families(text.decode())
    assert name in {sample.labels.get("method") for family in families for sample in family.samples}


def test_bmf_fits_benchers_schema_and_its_latency_is_in_nanoseconds(exported, lab: RunReader):
    value = json.loads(exported("bmf"))
    jsonschema.validate(value, BMF_SCHEMA)
    row = next(row for row in summarise(lab).rows if row.wall_s is not None)
    metric = value[f"{row.board_id} / {row.task} / {row.label}"]
    assert metric["latency"]["value"] == pytest.approx(row.wall_s.median * 1e9)
    assert metric["latency"]["lower_value"] <= metric["latency"]["value"] <= metric["latency"]["upper_value"]
    assert 0 < metric["accuracy"]["value"] <= 1


def test_github_benchmark_has_what_its_action_reads_and_only_what_is_better_when_smaller(exported):
    value = json.loads(exported("github-benchmark"))
    jsonschema.validate(value, ACTION_SCHEMA)
    assert len({entry["name"] for entry in value}) == len(value)
    assert {entry["unit"] for entry in value} == {"s", "J", "B"}
    assert not any(entry["name"].endswith("accuracy") for entry in value)


def test_csv_and_parquet_are_the_table_of_table(exported, lab_run: Path, tmp_path: Path):
    rows = write_table([lab_run], tmp_path / "t.csv")
    assert exported("csv") == (tmp_path / "t.csv").read_bytes()
    (tmp_path / "p.parquet").write_bytes(exported("parquet"))
    with duckdb.connect() as database:
        count = database.execute(f"SELECT count(*) FROM '{tmp_path}/p.parquet'").fetchone()
    assert count == (rows,)


def test_parquet_is_not_printed(lab: RunReader):
    with pytest.raises(ResultsError, match="--format parquet --to repetitions"):
        format_module("parquet").export(lab, None)


def test_a_run_without_any_figure_is_exported_without_one(campaign: Campaign, tmp_path: Path):
    campaign.failed = {f"b0-t{block}-m{i}" for block in range(3) for i in range(5)}
    campaign.blocks, campaign.skipped = 1, [Skip(board_id="x", reason="off")]
    summary = summarise(RunReader(campaign.write(tmp_path / "none")))
    assert _linted(openmetrics.text_of(summary).encode()).returncode == 0
    assert all(row for row in bmf.value_of(summary).values())
    assert isinstance(github_benchmark.value_of(summary), list)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_list_has_a_module(name):
    assert callable(format_module(name).export)


def test_mlflow_is_told_where_to_or_refused(lab: RunReader, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ResultsError, match="--to file:mlruns"):
        mlflow.export(lab, None)


def test_without_mlflow_one_sentence_has_the_pip_line(lab: RunReader, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ResultsError, match=r"pip install 'tunebench\[mlflow\]'"):
        mlflow.export(lab, "file:mlruns")


@pytest.mark.slow
def test_mlflow_reads_back_what_was_logged_and_a_second_export_adds_nothing(lab: RunReader, tmp_path: Path):
    client_of = pytest.importorskip(
        "mlflow", reason="needs MLflow: pip install 'tunebench[mlflow]'"
    ).MlflowClient
    address = f"file:{tmp_path}/mlruns"
    rows = summarise(lab).rows
    assert f"{len(rows)} runs of MLflow added, 0 were there" in mlflow.export(lab, address)
    assert f"0 runs of MLflow added, {len(rows)} were there" in mlflow.export(lab, address)
    client = client_of(tracking_uri=address)
    experiment = client.get_experiment_by_name("tunebench/demo")
    runs = client.search_runs([experiment.experiment_id])
    medians = {
        (run.data.tags["tunebench.board"], run.data.tags["tunebench.method"]): run.data.metrics
        for run in runs
    }
    for row in rows:
        if row.wall_s is not None:
            assert medians[row.board_id, row.label]["duration_seconds"] == row.wall_s.median
    assert {run.info.status for run in runs} == {"FINISHED"}
