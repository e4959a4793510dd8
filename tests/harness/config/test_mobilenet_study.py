"""The suite of MobileNetV2 holds what the protocol chooses from kept scores, and its page says what came out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.study import protocol
from tunebench.reports.stats.non_inferiority import points_apart

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SUITE = "mobilenet-pneumonia"


def test_rates_are_those_that_the_protocol_chooses_from_folds_without_test_images():
    searched = json.loads((BENCHMARKS / "mobilenet_rates.json").read_text(encoding="utf-8"))["scores"]
    scores: dict[str, dict[float, dict[int, float]]] = {}
    for key, cells in searched.items():
        label, rate = key.split(" | ")
        scores.setdefault(label, {})[float(rate)] = dict(enumerate(cells))
    compared = {label: by_rate for label, by_rate in scores.items() if label != "ft-all"}
    assert len({tuple(sorted(by_rate)) for by_rate in compared.values()}) == 1, "all at the same rates"
    rows = {row.label: row for row in load_suite(SUITE).workloads}
    assert set(compared) == set(rows) - {"untrained", "reestimated"}
    for label, by_rate in compared.items():
        assert rows[label].params["lr"] == pytest.approx(protocol.choose(by_rate).rate), label


@pytest.mark.parametrize(
    ("label", "other", "told"),
    [
        ("skip2-lora", "lora-all", (1.04, 0.08, 2.08)),
        ("skip2-lora 5x epochs", "lora-all", (1.52, 0.24, 2.56)),
        ("ft-bias", "lora-all", (9.37, 7.61, 11.06)),
        ("skip2-lora", "ft-last", (5.85, 5.53, 6.41)),
        ("skip2-lora", "ft-bias", (-7.93, -9.29, -6.57)),
    ],
)
def test_what_the_page_claims_follows_from_the_scores_of_the_run(label, other, told):
    by_label: dict[str, dict[int, float]] = {}
    for key, (_, after, _) in json.loads((BENCHMARKS / "mobilenet_study.json").read_text("utf-8")).items():
        _, of_label, block = key.split(" | ")
        by_label.setdefault(of_label, {})[int(block)] = after
    assert {len(by_label[name]) for name in (label, other)} == {load_suite(SUITE).header.bases}
    apart = points_apart(by_label[other], by_label[label])
    assert (apart.shift, apart.low, apart.high) == pytest.approx(told, abs=0.006)
