"""Compressed networks end to end: chains on the host, a runtime on a loopback board, records, the report."""

from __future__ import annotations

import pytest

from tests.harness.config.tables.test_compress import SUITE
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
