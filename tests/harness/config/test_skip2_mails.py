"""The studies of mails by protocol 2: their suites hold what the protocol chooses from the kept scores of the search."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.study import protocol
from tunebench.reports.stats.non_inferiority import judge_non_inferiority, points_apart

KEPT = Path(__file__).parents[3] / "benchmarks" / "skip2_mails"
LORA, SKIP, LONGER = "lora-all", "skip2-lora", "skip2-lora-long"
#: Folds leave half of the pool, so twice the epochs make the suite's steps.
PER_EPOCH = 2


#: suite -> the kept scores of its search
SEARCHES = {"skip2-mails": "rates.json", "skip2-mails-96": "rates-96.json"}


def searched(suite, label):
    """Return the kept scores of a method: epochs on a fold -> rate -> cell -> score."""
    content = json.loads((KEPT / SEARCHES[suite]).read_text(encoding="utf-8"))
    by_epochs: dict[int, dict[float, dict[int, float | None]]] = {}
    for key, cells in content["scores"].items():
        of_label, epochs, rate = key.split(" | ")
        if of_label == label:
            by_epochs.setdefault(int(epochs), {})[float(rate)] = dict(enumerate(cells))
    return by_epochs


def rows(suite):
    return {row.label: row for row in load_suite(suite).workloads}


@pytest.mark.parametrize("suite", SEARCHES)
def test_rates_are_those_that_the_protocol_chooses_and_both_were_searched_at_the_same_ones(suite):
    (epochs,) = {rows(suite)[label].params["epochs"] for label in (LORA, SKIP)}
    rates = {}
    for label in (LORA, SKIP):
        # Whole batches leave one epoch more on some folds: the fewest that are as many steps.
        rates[label] = searched(suite, label)[
            min(at for at in searched(suite, label) if at >= PER_EPOCH * epochs)
        ]
    assert len({tuple(scores) for scores in rates.values()}) == 1
    for label, scores in rates.items():
        choice = protocol.choose(scores)
        assert choice.stands
        assert rows(suite)[label].params["lr"] == pytest.approx(choice.rate)


def test_the_longer_row_has_the_searched_rate_and_steps_and_nothing_else_of_its_own():
    short, longer = rows("skip2-mails")[SKIP], rows("skip2-mails")[LONGER]
    assert {**short.params, "epochs": longer.params["epochs"]} == longer.params
    kept = searched("skip2-mails", SKIP)
    rate = short.params["lr"]
    means = {
        epochs // PER_EPOCH: sum(scores[rate].values()) / len(scores[rate]) for epochs, scores in kept.items()
    }
    assert longer.params["epochs"] == (protocol.plateau(means).steps or max(means))


@pytest.mark.parametrize(
    ("suite", "candidate", "dtype", "seq_len", "batch"),
    [("skip2-mails", LONGER, "bfloat16", 32, 8), ("skip2-mails-96", SKIP, "float32", 96, 16)],
)
def test_candidate_margin_and_bases_stand_in_the_suite_and_all_rows_have_the_main_tracks_keys(
    suite, candidate, dtype, seq_len, batch
):
    header = load_suite(suite).header
    assert (header.baseline, header.candidate, header.margin) == (LORA, candidate, 1.0)
    assert header.blocks == header.bases >= 6
    for row in rows(suite).values():
        assert {key: row.params[key] for key in protocol.TRACKS["main"]} == protocol.TRACKS["main"]
        assert (row.dtype, row.params["seq_len"], row.params["batch"]) == (dtype, seq_len, batch)


@pytest.mark.parametrize(
    ("suite", "scored", "points"),
    [
        ("skip2-mails", "quality.json", (-1.93, -2.27, 2.40)),
        ("skip2-mails-96", "quality-96.json", (-1.00, -1.46, -0.49)),
    ],
)
def test_what_the_page_claims_follows_from_the_kept_scores_at_the_suites_margin(suite, scored, points):
    header = load_suite(suite).header
    scores: dict[str, dict[int, float]] = {}
    for key, (_, after, *_) in json.loads((KEPT / scored).read_text(encoding="utf-8")).items():
        _, label, block = key.split(" | ")
        scores.setdefault(label, {})[int(block)] = after
    theirs, mine = scores[header.baseline], scores[header.candidate]
    assert len(theirs) == len(mine) == header.bases
    apart = points_apart(theirs, mine)
    assert (apart.shift, apart.low, apart.high) == pytest.approx(points, abs=0.006)
    assert judge_non_inferiority(theirs, mine, header.margin).verdict == "OPEN"


def test_the_time_that_the_page_claims_is_a_tenth_in_every_block():
    wall_s: dict[tuple[str, str], float] = {}
    for key, (*_, seconds) in json.loads((KEPT / "quality-96.json").read_text(encoding="utf-8")).items():
        _, label, block = key.split(" | ")
        wall_s[label, block] = seconds
    shares = [wall_s[SKIP, block] / wall_s[LORA, block] for label, block in wall_s if label == SKIP]
    assert len(shares) == 10
    assert median(shares) == pytest.approx(0.100, abs=0.001) and max(shares) < 0.111
