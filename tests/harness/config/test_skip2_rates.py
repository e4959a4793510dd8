"""The Skip2-LoRA study's suites of quality hold what protocol 2 chooses from the kept scores of the search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.study import protocol

KEPT = json.loads((Path(__file__).parents[3] / "benchmarks" / "skip2_rates.json").read_text(encoding="utf-8"))
SUITES = {
    "fan-damage1": "skip2-quality-damage1",
    "fan-damage2": "skip2-quality-damage2",
    "har-hapt": "skip2-quality-har",
}
TRAINED = ("ft-all", "lora-all", "skip2-lora", "ft-last", "ft-bias")
BLOCKS = {"fan-damage1": 50, "fan-damage2": 50, "har-hapt": 10}


def kept(dataset, track, label):
    """Return the kept scores of a method: rate -> cell -> score, and epochs -> mean."""
    of_label = KEPT["scores"][dataset][track][label]
    rates = {float(rate): dict(enumerate(scores)) for rate, scores in of_label["rates"].items()}
    means = {int(epochs): sum(scores) / len(scores) for epochs, scores in of_label["steps"].items()}
    chosen = protocol.choose(rates)
    means[KEPT["epochs"][dataset]] = chosen.mean
    return rates, chosen, means


def row(dataset, track, label):
    rows = load_suite(SUITES[dataset]).workloads
    (found,) = [row for row in rows if row.label == label and row.task.startswith(f"{dataset}/mlp, {track}")]
    return found


@pytest.mark.parametrize("track", ["main", "paper"])
@pytest.mark.parametrize("dataset", SUITES)
def test_rates_and_epochs_of_a_suite_are_those_that_the_protocol_chooses(dataset, track):
    by_label = {label: kept(dataset, track, label) for label in TRAINED}
    assert len({tuple(rates) for rates, _, _ in by_label.values()}) == 1, (
        "all were searched at the same rates"
    )
    epochs = protocol.steps_for_all({label: means for label, (_, _, means) in by_label.items()})
    for label, (_, choice, _) in by_label.items():
        workload = row(dataset, track, label)
        assert choice.stands
        assert (workload.params["lr"], workload.params["epochs"]) == (pytest.approx(choice.rate), epochs)
        usual = {"optimizer": "sgd", "schedule": "constant", "clip": None}
        assert {key: workload.params.get(key, usual[key]) for key in usual} == protocol.TRACKS[track]


@pytest.mark.parametrize("dataset", SUITES)
def test_candidate_margin_and_bases_stand_in_the_suite(dataset):
    header = load_suite(SUITES[dataset]).header
    assert (header.candidate, header.baseline) == ("skip2-lora", "lora-all")
    assert header.margin == protocol.MARGINS["skip2-lora"]
    assert header.blocks == header.bases == BLOCKS[dataset]


def test_the_confirmation_takes_the_first_sets_rates_as_they_are():
    confirm = load_suite("skip2-confirm")
    for name in ("fan-damage1", "fan-damage2"):
        for label in ("ft-all", "lora-all", "skip2-lora"):
            (again,) = [r for r in confirm.workloads if (r.dataset, r.label) == (f"{name}-quiet", label)]
            assert again.params == row(name, "main", label).params
    assert (confirm.header.margin, confirm.header.bases) == (1.5, 50)
