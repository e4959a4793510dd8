"""Suites of compressed networks as they ship, but for one block and few images: no row is missing without its reason."""

from __future__ import annotations

import pytest

from tunebench.harness.campaign.session import exit_code
from tunebench.harness.config.suite import load_suite
from tunebench.reports.render.text import table
from tunebench.reports.summary import summarise
from tunebench.workloads.deploy import RUNTIMES


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("runtimes", ["Runtimes: what each takes"]),
        ("torch-free", []),
        ("edge-workflow", ["Step upon step", "Promise against measurement"]),
    ],
)
def test_every_row_of_a_shipped_suite_is_measured_or_left_out_with_the_reason(
    campaign, lab, few_images, name, told
):
    rows = {row.key: row for row in load_suite(name).workloads}
    for runtime in {row.runtime or row.trunk or "torch" for row in rows.values()}:
        if not RUNTIMES[runtime].nowhere:
            pytest.importorskip(RUNTIMES[runtime].packages[0], reason=f"a runtime of suite {name}")
    ran = campaign(lab("here"), name, blocks=1)
    records = ran.reader.repetitions
    assert [record.outcome_reason for record in records if record.outcome != "ok"] == []
    left_out = {(skip.task, skip.label): skip.reason for skip in ran.reader.manifest.skipped}
    nowhere = {key: RUNTIMES[row.runtime].nowhere for key, row in rows.items() if row.runtime}
    assert left_out == {key: reason for key, reason in nowhere.items() if reason}
    timed = [(record.task, record.label) for record in records if record.role == "timed"]
    assert sorted(timed) == sorted(rows.keys() - left_out.keys())
    for record in records:
        if record.inference is not None:
            assert record.inference.runtime == rows[record.task, record.label].runtime
            assert (record.inference.parent_agreement is None) is (record.inference.claimed is None)
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0
    text = table(summarise(ran.reader))
    assert [words for words in told if words not in text] == []
