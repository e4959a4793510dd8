"""Blocks that begin from several pretraining bases: planned, carried to boards, told apart from series of one base."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tunebench.harness.artifacts.gather import Artifacts
from tunebench.harness.campaign.session import _as_before
from tunebench.harness.cli.plan import plan_text
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.job import BoardContext, make_job
from tunebench.harness.planning.plan import make_plan
from tunebench.targets.client.replies import Owner
from tunebench.targets.payload import Blob

TASK = "digits/mlp"


@pytest.fixture
def suite_of(tmp_path):
    """Function (lines of [suite]) -> suite of two methods on digits."""

    def make(more=""):
        path = tmp_path / "s.toml"
        path.write_text(
            f'[suite]\nname = "s"\nblocks = 5\naa = false\ninstrumented = false\n{more}\n'
            '[[workload]]\ndataset = "digits"\nmodel = "mlp"\nmethods = ["ft-all", "ft-last"]\n'
        )
        return load_suite(str(path))

    return make


def planned_of(suite):
    return make_plan(suite, [BoardEntry(id="here", kind="loopback")], run_id="r", lab="l")


def context_of(suite):
    def blob(text):
        return Blob.of_bytes(text.encode(), ".tbx")

    bases = {(TASK, base): blob(f"base {base}") for base in suite.bases_of(TASK)[1:]}
    artifacts = Artifacts(blob("payload"), {TASK: blob("data")}, {TASK: blob("base 0")}, bases)
    owner, count = Owner(token="t"), suite.header.bases
    return BoardContext("r", "l", "loopback", ("python3",), artifacts, owner=owner, bases=count)


def test_block_k_begins_from_base_k_modulo_the_number_of_bases(suite_of):
    plan = planned_of(suite_of("bases = 3"))
    assert {planned.block: planned.base for planned in plan.repetitions} == {0: 0, 1: 1, 2: 2, 3: 0, 4: 1}
    for block in range(5):  # what is compared stands on the same start weights, and the seed goes on
        of_block = [planned for planned in plan.repetitions if planned.block == block]
        assert {(planned.base, planned.seed) for planned in of_block} == {(block % 3, block)}
    assert plan.as_dict()["repetitions"][2]["base"] == 1


def test_each_block_is_given_the_weights_of_its_base(suite_of):
    suite = suite_of("bases = 3")
    context = context_of(suite)
    for planned in planned_of(suite).repetitions:
        expected = Blob.of_bytes(f"base {planned.base}".encode(), ".tbx").sha256
        assert make_job(planned, context).blobs["weights"].sha256 == expected


def test_without_the_key_nothing_changes(suite_of):
    plain, one = suite_of(), suite_of("bases = 1")
    plan = planned_of(plain)
    assert plan.sha256 == planned_of(one).sha256
    assert "bases" not in plain.as_dict()
    assert all("base" not in planned.as_dict() for planned in plan.repetitions)
    key = make_job(plan.repetitions[0], context_of(plain)).series_key
    assert key == make_job(planned_of(one).repetitions[0], context_of(one)).series_key
    assert "bases" not in context_of(plain).artifacts.hashes()


def test_a_series_over_several_bases_is_one_series_and_another_than_that_of_one_base(suite_of):
    several, one = suite_of("bases = 3"), suite_of()
    keys = {
        make_job(planned, context_of(several)).series_key
        for planned in planned_of(several).repetitions
        if planned.workload.label == "ft-all"
    }
    assert len(keys) == 1
    assert make_job(planned_of(one).repetitions[0], context_of(one)).series_key not in keys


@pytest.mark.parametrize("count", [101, 5000])
def test_development_bases_are_refused(suite_of, count):
    with pytest.raises(UsageError, match="development bases: learning rates are chosen on them"):
        suite_of(f"bases = {count}")
    assert suite_of("bases = 100").header.bases == 100


@pytest.mark.parametrize("count", ["0", "-1", "1.5", '"two"', "true"])
def test_a_number_that_is_none_is_refused(suite_of, count):
    with pytest.raises(UsageError, match="bases"):
        suite_of(f"bases = {count}")


def test_only_bases_that_a_block_begins_from_are_made(suite_of):
    suite = suite_of("bases = 20")
    assert suite.bases_of(TASK) == range(5)
    assert suite.with_blocks(2).bases_of(TASK) == range(2)
    assert suite.resized(30).bases_of(TASK) == range(20)
    fewer = replace(suite, workloads=tuple(replace(workload, blocks=3) for workload in suite.workloads))
    assert fewer.bases_of(TASK) == range(3)


def test_bases_that_are_added_with_blocks_are_no_change_but_other_weights_are(suite_of):
    before = context_of(suite_of("bases = 3")).artifacts.hashes()
    more = context_of(suite_of("bases = 5")).artifacts.hashes()
    assert _as_before(more, before) == before
    other = {**more, "bases": {**more["bases"], f"{TASK} base 1": "f" * 64}}
    assert _as_before(other, before) != before
    plain = context_of(suite_of()).artifacts.hashes()
    assert _as_before(plain, plain) == plain


def test_the_dry_run_tells_what_is_to_be_trained():
    summary = {
        "suite": "s", "blocks": 50, "looks": [], "verdicts_text": [], "boards": [], "skipped": [], "eta_s": None,
        "workloads": [],
        "bases": {"a/mlp": {"bases": 50, "to_train": 49}, "b/mlp": {"bases": 10, "to_train": 0}},
    }  # fmt: skip
    lines = plan_text(summary).splitlines()
    assert lines[1].startswith(
        "  a/mlp: start weights of 50 pretraining bases, 49 are to be trained on this host"
    )
    assert lines[2] == "  b/mlp: start weights of 10 pretraining bases, all are there"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("margin = 1.0", "'margin' goes with 'study'"),
        ('margin = 1.0\nstudy = "lorae"', "'margin' goes with 'candidate'"),
        ('margin = 0\nstudy = "skip2-lora"', "margin"),
        ('margin = "one"\nstudy = "skip2-lora"', "margin"),
    ],
)
def test_a_margin_is_committed_with_what_it_judges(suite_of, more, message):
    with pytest.raises(UsageError, match=message):
        suite_of(more)


def test_a_committed_margin_stands_in_the_plan_and_only_then(suite_of):
    suite = suite_of('margin = 1.5\nstudy = "lorae"\ncandidate = "ft-last"')
    assert suite.as_dict()["margin"] == 1.5
    assert "margin" not in suite_of().as_dict()
