"""The LoRAE study by protocol 2: what its suites hold fixed, and what they leave open until rates are searched."""

import pytest

from tunebench.harness.cli import completion
from tunebench.harness.cli.params import count
from tunebench.harness.config.suite import built_in_suites, load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.study import protocol
from tunebench.harness.study.search import candidates
from tunebench.workloads.datasets import start_weights_of

STUDY = [name for name in built_in_suites() if name.startswith("lorae-study-2-")]
CONFIRM = [name for name in STUDY if name.endswith("-confirm")]
MAIN = [name for name in STUDY if name not in CONFIRM]
#: percent fewer updated than full fine-tuning that the candidate must reach
TARGETS = {"classify": 85.0, "turned": 85.0, "new-classes": 85.0, "detect": 90.0, "segment": 90.0}
RANKS = [1, 2, 4, 8, 16, 32]
SHARED = ("lr", "epochs", "batch", "optimizer", "schedule", "clip", "batchnorm")


def task_of(name):
    return name.removeprefix("lorae-study-2-").removesuffix("-confirm")


def shared(row):
    return {key: row.params.get(key) for key in SHARED}


def is_searched(name):
    return "RATES ARE NOT SEARCHED YET" not in completion.suite_file(name).read_text(encoding="utf-8")


def test_every_task_has_its_suite_and_a_confirmation_where_there_are_images_left():
    assert {task_of(name) for name in MAIN} == set(TARGETS)
    assert {task_of(name) for name in CONFIRM} == set(TARGETS) - {"detect", "new-classes"}


@pytest.mark.parametrize("name", STUDY)
def test_a_block_is_a_base_of_its_own_and_a_margin_stands_only_beside_searched_rates(name):
    header = load_suite(name).header
    assert (header.blocks, header.bases, header.study) == (10, 10, "lorae")
    assert (header.baseline, header.candidate) == ("ft-all", "lorae-r4")
    assert header.margin == (protocol.MARGINS["lorae"] if is_searched(name) else None)


@pytest.mark.parametrize("name", STUDY)
def test_all_that_train_have_the_keys_of_the_main_track_and_steps_and_statistics_alike(name):
    rows = [
        row for row in load_suite(name).workloads if row.method not in ("untrained", "reestimated", "tent")
    ]
    for row in rows:
        assert {key: row.params.get(key) for key in protocol.TRACKS["main"]} == protocol.TRACKS["main"]
        assert row.params["batchnorm"] == "reestimated"
        assert row.params["lr"] in protocol.LADDER
    assert len({(row.params["epochs"], row.params["batch"]) for row in rows}) == 1


@pytest.mark.parametrize("name", MAIN)
def test_ranks_share_alpha_and_a_rate_and_controls_stand_beside(name):
    suite = load_suite(name)
    ranks = [row for row in suite.workloads if row.method == "lorae"]
    assert [row.params["rank"] for row in ranks] == RANKS
    assert {row.params["alpha"] for row in ranks} == {4}
    assert all(shared(row) == shared(ranks[0]) for row in ranks)
    controls = {"untrained", "reestimated", "ft-last", "ft-bias"}
    assert controls <= {row.method for row in suite.workloads}
    assert candidates(suite, methods=["ft-all", "lorae-r4", "ft-bias", "ft-last"]), "can be searched"


@pytest.mark.parametrize("name", CONFIRM)
def test_a_confirmation_is_the_main_comparison_on_other_images(name):
    confirmed, main = load_suite(name), load_suite(name.removesuffix("-confirm"))
    by_label = {row.label: row for row in main.workloads}
    assert [row.label for row in confirmed.workloads] == ["ft-all", "lorae-r4", "untrained", "reestimated"]
    for row in confirmed.workloads:
        assert row.dataset == f"{by_label[row.label].dataset}-confirm"
        assert row.params == by_label[row.label].params and row.model == by_label[row.label].model
        assert start_weights_of(row.dataset) == start_weights_of(by_label[row.label].dataset)
    assert is_searched(name) == is_searched(name.removesuffix("-confirm"))


@pytest.mark.parametrize("name", CONFIRM)
def test_nothing_is_chosen_on_a_confirmation_set(name):
    suite = load_suite(name)
    own = str(suite.workloads[0].dataset)
    with pytest.raises(
        UsageError, match=f"'{own}' is for confirmation.* '{own.removesuffix('-confirm')}' and"
    ):
        candidates(suite)


@pytest.mark.parametrize("name", MAIN)
def test_the_candidate_updates_as_few_as_was_asked_for_with_its_statistics_counted(name):
    row = next(row for row in load_suite(name).workloads if row.label == "lorae-r4")
    counts = count(
        row.model,
        "lorae",
        row.params["rank"],
        batchnorm=row.params["batchnorm"],
        head=row.params.get("head", "method"),
    )
    assert counts["statistics"] > 0
    assert counts["reduction_pct"] >= TARGETS[task_of(name)]
