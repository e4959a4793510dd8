"""The study of mails by protocol 2: its suite holds what the protocol chooses from the kept scores of the search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.study import protocol
from tunebench.reports.stats.non_inferiority import judge_non_inferiority, points_apart

KEPT = Path(__file__).parents[3] / "benchmarks" / "skip2_mails"
LORA, SKIP, LONGER = "lora-all", "skip2-lora", "skip2-lora-long"
#: Folds leave half of the pool, so twice the epochs make the suite's steps.
PER_EPOCH = 2


def searched(label):
    """Return the kept scores of a method: epochs on a fold -> rate -> cell -> score."""
    content = json.loads((KEPT / "rates.json").read_text(encoding="utf-8"))
    by_epochs: dict[int, dict[float, dict[int, float | None]]] = {}
    for key, cells in content["scores"].items():
        of_label, epochs, rate = key.split(" | ")
        if of_label == label:
            by_epochs.setdefault(int(epochs), {})[float(rate)] = dict(enumerate(cells))
    return by_epochs


def rows():
    return {row.label: row for row in load_suite("skip2-mails").workloads}


def test_rates_are_those_that_the_protocol_chooses_and_both_were_searched_at_the_same_ones():
    (at_suite,) = {rows()[label].params["epochs"] * PER_EPOCH for label in (LORA, SKIP)}
    rates = {label: searched(label)[at_suite] for label in (LORA, SKIP)}
    assert len({tuple(scores) for scores in rates.values()}) == 1
    for label, scores in rates.items():
        choice = protocol.choose(scores)
        assert choice.stands
        assert rows()[label].params["lr"] == pytest.approx(choice.rate)


def test_the_longer_row_has_the_searched_rate_and_steps_and_nothing_else_of_its_own():
    short, longer = rows()[SKIP], rows()[LONGER]
    assert {**short.params, "epochs": longer.params["epochs"]} == longer.params
    kept = searched(SKIP)
    rate = short.params["lr"]
    means = {
        epochs // PER_EPOCH: sum(scores[rate].values()) / len(scores[rate]) for epochs, scores in kept.items()
    }
    assert longer.params["epochs"] == (protocol.plateau(means).steps or max(means))


def test_candidate_margin_and_bases_stand_in_the_suite_and_all_rows_have_the_main_tracks_keys():
    header = load_suite("skip2-mails").header
    assert (header.baseline, header.candidate, header.margin) == (LORA, LONGER, 1.0)
    assert header.blocks == header.bases >= 6
    for row in rows().values():
        assert {key: row.params[key] for key in protocol.TRACKS["main"]} == protocol.TRACKS["main"]
        assert (row.dtype, row.params["seq_len"], row.params["batch"]) == ("bfloat16", 32, 8)


def test_what_the_page_claims_follows_from_the_kept_scores_at_the_suites_margin():
    header = load_suite("skip2-mails").header
    scores: dict[str, dict[int, float]] = {}
    for key, (_, after, _) in json.loads((KEPT / "quality.json").read_text(encoding="utf-8")).items():
        _, label, block = key.split(" | ")
        scores.setdefault(label, {})[int(block)] = after
    theirs, mine = scores[header.baseline], scores[header.candidate]
    assert len(theirs) == len(mine) == header.bases
    apart = points_apart(theirs, mine)
    assert (apart.shift, apart.low, apart.high) == pytest.approx((-1.93, -2.27, 2.40), abs=0.006)
    assert judge_non_inferiority(theirs, mine, header.margin).verdict == "OPEN"
