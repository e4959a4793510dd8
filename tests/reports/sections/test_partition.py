"""The section on partition: the best cut over each link, in every form of the report. All numbers are made up."""

from __future__ import annotations

import pytest

from tests.reports.sections.test_runtimes import inference
from tunebench.reports.records import Partition, PartitionCall, PartitionCut, PartitionLink
from tunebench.reports.render.html import render
from tunebench.reports.render.text import table
from tunebench.reports.sections.partition import SECTION
from tunebench.reports.summary import as_json, summarise

TASK = "mnist/resnet-small [onnxruntime x1 cut auto]"
#: cut -> bytes, seconds on the board, seconds on the host
CUTS = {"input": (784, 0.0, 0.001), "pool": (256, 0.070, 0.0005), "classifier": (0, 0.080, 0.0)}
#: link -> round trip; cut -> seconds of a call
TOTALS = {
    "own": (0.0002, {"input": 0.002, "pool": 0.072, "classifier": 0.081}),
    "lte": (0.050, {"input": 0.060, "pool": 0.130, "classifier": 0.081}),
    # Here the prediction is wrong: it foretells the input.
    "odd": (0.060, {"input": 0.100, "pool": 0.150, "classifier": 0.080}),
    "50k": (0.400, {"input": None, "pool": 0.500, "classifier": 0.081}),
}


def partition(factor: float = 1.0, *, energy_j: float | None = None, equal: bool = True) -> Partition:
    """Return what one repetition measured."""
    cuts = [
        PartitionCut(
            cut=cut, shape=[size_b or 10], dtype="uint8" if cut == "input" else "float32", size_b=size_b,
            device_s=device_s * factor, device_calls=50, remote_s=remote_s, max_difference=1e-6,
            equal=equal or cut != "input", device_j=energy_j and energy_j * (1 + device_s),
            device_j_scope="board_input" if energy_j else None,
        )
        for cut, (size_b, device_s, remote_s) in CUTS.items()
    ]  # fmt: skip
    links = [
        PartitionLink(
            link=link, how="measured" if link == "own" else "shaped", up_bit_s=1e7, down_bit_s=2e7, rtt_s=rtt_s,
            calls=[
                PartitionCall(
                    cut=cut, n=9 if total_s else 0, total_s=total_s and total_s * factor, transfer_s=rtt_s,
                    device_s=CUTS[cut][1], remote_s=CUTS[cut][2],
                    predicted_s=(CUTS[cut][1] + CUTS[cut][2] + (rtt_s if CUTS[cut][0] else 0.0)) * factor,
                    reason=None if total_s else "its bytes alone need 4 s",
                )
                for cut, total_s in totals.items()
            ],
        )
        for link, (rtt_s, totals) in TOTALS.items()
    ]  # fmt: skip
    return Partition(
        cut="auto", answer_b=40, tolerance=1e-3, host_runtime="onnxruntime 1.32.0", host_threads=1, cuts=cuts,
        links=[] if energy_j else links,
    )  # fmt: skip


@pytest.fixture
def reader(make_record, store_reps):
    """Return a run of eight blocks, and an energy repetition."""
    fields = {"task": TASK, "label": "plain", "method": "plain", "engine": "onnxruntime", "wall_s": 0.08}
    reps = [
        make_record(
            rep_id=f"r{block}", block=block, inference=inference(["tune"], 0.08),
            partition=partition(1 + 0.001 * block), **fields,
        )
        for block in range(8)
    ]  # fmt: skip
    energy = make_record(
        rep_id="e0", block=0, role="energy", inference=inference(["tune"], 0.08), partition=partition(energy_j=0.5),
        **fields,
    )  # fmt: skip
    return store_reps([*reps, energy])


def test_the_best_cut_over_each_link_stands_beside_the_predicted_one(reader):
    numbers = summarise(reader).rows[0].partition
    best = {link.link: (link.predicted_best, link.measured_best) for link in numbers.links}
    assert best == {
        "own": ("input", "input"),
        "lte": ("input", "input"),
        "odd": ("input", "classifier"),
        "50k": ("classifier", "classifier"),
    }
    odd = next(link for link in numbers.links if link.link == "odd")
    assert odd.excess == pytest.approx(0.25)
    assert odd.calls[0].calls == 8 * 9
    assert odd.calls[0].total_s.median == pytest.approx(0.1, rel=0.01)


def test_energy_of_a_part_comes_from_energy_repetitions(reader):
    cuts = summarise(reader).rows[0].partition.cuts
    assert [cut.device_j.median for cut in cuts] == pytest.approx([0.5, 0.535, 0.54])
    assert cuts[0].device_j_scope == "board_input"


def test_a_cut_whose_outputs_differed_once_is_no_best(make_record, store_reps):
    reps = [
        make_record(
            rep_id=f"r{block}", block=block, task=TASK, label="plain", method="plain", wall_s=0.08,
            inference=inference(["tune"], 0.08), partition=partition(equal=block != 2),
        )
        for block in range(4)
    ]  # fmt: skip
    numbers = summarise(store_reps(reps)).rows[0].partition
    assert numbers.cuts[0].equal is False
    assert {link.measured_best for link in numbers.links} == {"pool", "classifier"}


def test_every_form_of_the_report_tells_it(reader):
    summary = summarise(reader)
    text = "\n".join(SECTION.text(summary))
    assert "all on the host" in text
    assert "+25.0%" in text
    assert "odd (shaped)" in text
    assert "not called: its bytes alone need 4 s" in text
    assert "board input" in text
    assert "Partition: the network runs on the board" in table(summary)
    assert '<section id="partition">' in render(reader)
    markdown = SECTION.markdown(summary, 5000)
    assert "odd (shaped): all on the board 80.3 ms (all on the host)" in markdown.replace("\\", "")
    assert SECTION.markdown(summary, 20) == ""
    stored = as_json(summary)["rows"][0]["partition"]
    assert stored["links"][1]["measured_best"] == "input"


def test_runs_without_a_cut_have_no_such_section_and_no_such_key(demo):
    summary = summarise(demo)
    assert list(SECTION.text(summary)) == []
    assert all("partition" not in row for row in as_json(summary)["rows"])
