"""The LoRAE study's rates: chosen on parts of the fine-tuning images, never on the test set; suites hold them."""

import json

import numpy as np
import pytest

from benchmarks import lorae_rates
from benchmarks.lorae_rates import LADDER, LARGER, RANK, RANKS, TASKS, Runs, climb, part_of, rate_of
from tunebench.harness.config.suite import built_in_suites, load_suite
from tunebench.workloads.artefact import Artefact, Tensor

KEPT = lorae_rates.KEEP


def tensor(values, kind):
    raw = np.asarray(values, dtype={"uint8": "|u1", "int32": "<i4", "float32": "<f4"}[kind])
    return Tensor(kind, raw.shape, raw.tobytes())


def values(item):
    return np.array(item.array()).reshape(item.shape)


@pytest.fixture
def boxes():
    """Five images to detect in, each of its own grey, and a test set of grey 99; image 3 has no box."""
    pool = {
        "finetune_x": tensor([[[[10 * i]]] for i in range(5)], "uint8"),
        "finetune_y": tensor([[0, 1], [1, 0], [1, 2], [2, 0], [4, 1]], "int32"),
        "finetune_boxes": tensor([[i, i, i + 1, i + 1] for i in range(5)], "float32"),
        "test_x": tensor([[[[99]]]] * 3, "uint8"),
        "test_y": tensor([[0, 0]], "int32"),
        "test_boxes": tensor([[9, 9, 10, 10]], "float32"),
    }
    return Artefact("data", {"task": "detect"}, pool)


def test_a_part_is_held_out_and_the_rest_trains(boxes):
    parts = [part_of(boxes, part) for part in range(2)]
    assert [values(artefact.need("test_x")).ravel().tolist() for artefact in parts] == [[0, 10], [20, 30, 40]]
    assert [values(artefact.need("finetune_x")).ravel().tolist() for artefact in parts] == [
        [20, 30, 40],
        [0, 10],
    ]


def test_nothing_of_the_test_set_is_left(boxes):
    for part in range(2):
        made = part_of(boxes, part)
        assert 99 not in values(made.need("test_x"))
        assert 9.0 not in values(made.need("test_boxes"))


def test_boxes_go_with_their_images(boxes):
    made = part_of(boxes, 1)
    assert values(made.need("test_y")).tolist() == [[0, 0], [2, 1]]  # of images 2 and 4
    assert values(made.need("test_boxes"))[:, 0].tolist() == [3.0, 4.0]
    assert values(made.need("finetune_y")).tolist() == [[0, 1], [1, 0], [1, 2]]


@pytest.mark.parametrize("best", [0, 3, len(LADDER) - 1])
@pytest.mark.parametrize("begin", [0, 4, len(LADDER) - 1])
def test_the_search_finds_a_single_peak_and_knows_its_neighbours(best, begin):
    asked = set()

    def score(rate):
        asked.add(LADDER.index(rate))
        return -abs(LADDER.index(rate) - best)

    assert climb(score, begin) == best
    assert {at for at in (best - 1, best + 1) if 0 <= at < len(LADDER)} <= asked


def test_of_equal_scores_the_smaller_rate_is_taken():
    assert climb(lambda rate: 1.0 if rate >= 0.003 else 0.0, 4) == LADDER.index(0.003)


def test_scores_are_kept_and_a_search_that_was_stopped_goes_on(tmp_path):
    kept = tmp_path / "scores.json"
    Runs(kept).add(("detect", "ft-all", 4, 0.01, 0), 0.5)
    again = Runs(kept)
    assert again.mean("detect", "ft-all", 4, 0.01) is None  # half of it
    again.add(("detect", "ft-all", 4, 0.01, 1), 0.7)
    assert Runs(kept).choice("detect", "ft-all", 4) == (0.01, pytest.approx(0.6))
    assert len(json.loads(kept.read_text())) == 2


def test_larger_ranks_and_cached_methods_follow_another_choice(tmp_path):
    runs = Runs(tmp_path / "scores.json")
    for part in range(2):
        runs.add(("segment", "lorae", RANK, 0.1, part), 0.5)
        runs.add(("segment", "lora-last", RANK, 0.3, part), 0.4)
    assert rate_of("segment", "lorae", 16, runs) == pytest.approx(0.025)
    assert rate_of("segment", "lora-last-cached", RANK, runs) == 0.3


def test_only_ranks_that_meet_the_target_can_be_chosen():
    for task, study_task in TASKS.items():
        assert all(lorae_rates.reduction(task, "lorae", rank) >= study_task.target for rank in RANKS)
        assert all(lorae_rates.reduction(task, "lorae", rank) < study_task.target for rank in LARGER)


@pytest.mark.parametrize("task", [task for task in TASKS if f"lorae-study-{task}" in built_in_suites()])
def test_a_suite_holds_what_was_chosen(task):
    suite, runs, study_task = load_suite(f"lorae-study-{task}"), Runs(KEPT), TASKS[task]
    assert suite.header.candidate == f"lorae-r{lorae_rates.best_rank(task, runs)}"
    assert suite.header.blocks >= 6
    assert {workload.params["rank"] for workload in suite.workloads if workload.method == "lorae"} == {
        1,
        2,
        4,
        8,
        16,
        32,
    }
    for workload in suite.workloads:
        rate = rate_of(task, workload.method, workload.params["rank"], runs)
        assert workload.params["lr"] == pytest.approx(rate), workload.label
        assert (workload.dataset, workload.model) == (study_task.dataset, study_task.model)
        assert (workload.params["epochs"], workload.params["batch"]) == (study_task.epochs, study_task.batch)
