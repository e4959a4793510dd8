"""A network cut between board and host, end to end: a slowed loopback board, five shaped links, the real SSH."""

from __future__ import annotations

import pytest

from benchmarks.partition import shaped_best, slow_interpreter, suite_text
from tunebench.harness.artifacts import compressed
from tunebench.harness.campaign.over_links import partition
from tunebench.reports.render.text import table
from tunebench.reports.summary import summarise

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxruntime", reason="the runtime itself: pip install onnxruntime")

#: On the first two the host wins against a board that is so slow, on the others the round trip alone is too long.
LINKS = (
    '{ name = "near", up_bit_s = 1e8, down_bit_s = 1e8, rtt_s = 0.0002 }',
    '{ name = "lan2", up_bit_s = 1e8, down_bit_s = 1e8, rtt_s = 0.001 }',
    '{ name = "far", up_bit_s = 1e7, down_bit_s = 1e7, rtt_s = 0.1 }',
    "250k",
    "50k",
)


@pytest.mark.slow
@pytest.mark.torch
def test_the_predicted_best_cut_is_the_measured_best(campaign, lab, workload_python, tmp_path, monkeypatch):
    monkeypatch.setattr(partition, "ROUNDS", 3)
    path = tmp_path / "cutting.toml"
    path.write_text(suite_text("digits", "cnn", LINKS).replace("calls = 50", "calls = 10"))
    slow = slow_interpreter(tmp_path, 500, workload_python)
    ran = campaign(lab("here", extra=f'interpreter = "{slow}"'), path)
    record = next(record for record in ran.reader.repetitions if record.role == "timed")
    assert record.outcome == "ok", (record.outcome_reason, record.missing)
    assert "partition" not in record.missing
    cuts = record.partition.cuts
    assert [cut.cut for cut in cuts] == ["input", "layer0", "layer1", "layer2"]
    assert all(cut.equal for cut in cuts)
    assert max(cut.max_difference for cut in cuts) < 1e-3
    own = record.partition.links[0]
    assert (own.link, own.how) == ("own", "measured")
    assert own.rtt_s < 0.1
    for link in record.partition.links[1:]:
        crossing = next(call for call in link.calls if call.cut == "input")
        assert crossing.n == 3
        # The link is really there: no call is faster than its round trip and its bytes.
        assert crossing.total_min_s > link.rtt_s + 8 * 256 / link.up_bit_s
        assert crossing.total_s == pytest.approx(
            crossing.device_s + crossing.transfer_s + crossing.remote_s, rel=0.5
        )
    best = shaped_best(ran.reader)
    assert len(best) == 5
    assert sum(predicted == measured for _, predicted, measured, _ in best) >= 4, best
    assert {measured for _, _, measured, _ in best} == {"input", "layer2"}
    assert "Partition: the network runs on the board" in table(summarise(ran.reader))


@pytest.mark.torch
def test_a_host_without_its_runtime_leaves_the_row_out_before_anything_is_measured(
    campaign, lab, tmp_path, monkeypatch
):
    monkeypatch.setattr(compressed, "find_spec", lambda name: None)
    path = tmp_path / "cutting.toml"
    path.write_text(suite_text("digits", "cnn"))
    ran = campaign(lab("here"), path)
    assert ran.reader.repetitions == []
    reasons = [skip.reason for skip in ran.reader.manifest.skipped]
    assert any("tunebench[onnxruntime]" in reason for reason in reasons), reasons
