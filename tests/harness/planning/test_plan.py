"""The plan: pure, seeded, complete."""

from __future__ import annotations

from collections import Counter

from tunebench.harness.config.inventory import BoardEntry, Capabilities
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.durations import estimate
from tunebench.harness.planning.plan import differences, make_plan


def _board(name: str, **capabilities) -> BoardEntry:
    return BoardEntry(id=name, kind="linux", host=name, capabilities=Capabilities(**capabilities))


def _plan(run_id: str = "r1", suite: str = "quick", boards=("a", "b"), **options):
    return make_plan(
        load_suite(suite), [_board(name) for name in boards], run_id=run_id, lab="lab", **options
    )


def test_a_block_holds_every_cell_once_with_the_block_as_seed():
    plan = _plan()
    suite = plan.suite
    for board in ("a", "b"):
        for block in range(suite.header.blocks):
            timed = [
                planned
                for planned in plan.of_board(board)
                if planned.role == "timed" and planned.block == block
            ]
            assert Counter(planned.workload.key for planned in timed) == Counter(
                workload.key for workload in suite.workloads
            )
            assert {planned.seed for planned in timed} == {block}
            assert [planned.slot for planned in timed] == list(range(len(timed)))


def test_order_within_blocks_is_random_and_repeatable():
    orders = {
        (board, block): [
            planned.workload.key
            for planned in _plan().of_board(board)
            if planned.role == "timed" and planned.block == block
        ]
        for board in ("a", "b")
        for block in range(3)
    }
    assert len({tuple(order) for order in orders.values()}) > 1
    assert _plan().repetitions == _plan().repetitions


def test_checks_come_first_and_instrumented_repetitions_last():
    roles = [planned.role for planned in _plan(boards=("a",)).repetitions]
    assert roles == sorted(roles, key=["check", "timed", "instrumented"].index)
    checked = [
        planned.workload.method for planned in _plan(boards=("a",)).repetitions if planned.role == "check"
    ]
    assert checked == ["skip2-lora"]


def test_a_float16_cache_is_not_held_to_exactness(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        '[suite]\nname = "s"\nblocks = 1\naa = false\ninstrumented = false\n'
        '[[workload]]\ndataset = "digits"\nmodel = "mlp"\nengine = "native"\nmethods = ["skip2-lora"]\n'
        '[[workload]]\ndataset = "digits"\nmodel = "mlp"\nengine = "native"\nmethods = ["skip2-lora"]\n'
        'label = "skip2-lora f16"\ncache_dtype = "float16"\n'
    )
    plan = make_plan(load_suite(str(path)), [_board("a")], run_id="r", lab="lab")
    assert [
        (planned.role, planned.workload.label) for planned in plan.repetitions if planned.role == "check"
    ] == [("check", "skip2-lora")]
    assert {planned.workload.label for planned in plan.repetitions} == {"skip2-lora", "skip2-lora f16"}


def test_repetition_ids_are_unique_and_safe():
    from tunebench.targets.agent.protocol import check_rep_id

    ids = [planned.rep_id for planned in _plan().repetitions]
    assert len(set(ids)) == len(ids)
    assert all(check_rep_id(rep_id) for rep_id in ids)


def test_a_task_without_its_data_is_skipped_with_the_reason():
    plan = _plan(suite="paper", boards=("a",), unavailable={"har-hapt/mlp": "hapt_har561.npz is not there"})
    assert {skip.reason for skip in plan.skipped} == {"hapt_har561.npz is not there"}
    assert {skip.task for skip in plan.skipped} == {"har-hapt/mlp"}
    assert not any(planned.workload.task == "har-hapt/mlp" for planned in plan.repetitions)


def test_needs_are_held_against_capabilities(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        '[suite]\nname = "s"\n[[workload]]\ndataset = "digits"\nmodel = "mlp"\nmethods = ["ft-all"]\n'
        "needs = { ram_gb = 4, gpu = true }\n"
    )
    suite = load_suite(str(path))
    boards = [_board("small", ram_gb=1, gpu=True), _board("unknown", gpu=True), _board("no-gpu", ram_gb=8)]
    plan = make_plan(suite, [*boards, _board("fits", ram_gb=8, gpu=True)], run_id="r", lab="lab")
    reasons = {skip.board_id: skip.reason for skip in plan.skipped}
    assert reasons["small"] == "needs 4 GiB of memory; it has 1"
    assert "does not say how much" in reasons["unknown"]
    assert "needs a GPU" in reasons["no-gpu"]
    assert {planned.board_id for planned in plan.repetitions} == {"fits"}


def test_without_history_no_eta_is_claimed():
    plan = _plan(boards=("a",))
    assert estimate(plan.repetitions, {}).total_s is None
    history = {("a", "digits/mlp", "ft-all", ""): 2.0}
    guess = estimate(plan.repetitions, history)
    assert guess.n_known == 4  # three blocks and the instrumented one
    assert guess.total_s == 2.0 * len(plan.repetitions)


def test_the_plan_hash_knows_suite_and_boards_but_not_the_run():
    assert _plan("r1").sha256 == _plan("r2").sha256
    assert _plan(boards=("a",)).sha256 != _plan(boards=("b",)).sha256
    assert _plan(suite="quick").sha256 != _plan(suite="demo").sha256


def test_differences_name_the_path_and_both_values():
    old = {"suite": {"blocks": 3, "cells": 1}, "boards_sha256": "x"}
    new = {"suite": {"blocks": 5, "cells": 1}, "boards_sha256": "y"}
    assert differences(old, new) == ["boards: changed in the inventory", "suite.blocks: 3 -> 5"]


def test_the_stored_plan_holds_no_address_or_key():
    board = BoardEntry(id="a", kind="linux", host="secret-host.example", user="root", key="~/.ssh/private")
    text = str(make_plan(load_suite("smoke"), [board], run_id="r", lab="lab").as_dict())
    assert "secret-host" not in text
    assert "private" not in text


def test_added_blocks_stand_behind_all_that_was_there_and_go_on_with_ids_and_seeds():
    short, whole = _sized(3), _sized(7, earlier_blocks=(3,))
    before, after = short.of_board("a"), whole.of_board("a")
    assert after[: len(before)] == before
    added = after[len(before) :]
    assert {(planned.role, planned.block, planned.seed) for planned in added} == {
        ("timed", block, block) for block in range(3, 7)
    }
    ids = [planned.rep_id for planned in after]
    assert ids == [f"r1.a.{number:04d}" for number in range(len(ids))]
    # The order within a block is that of a run with seven blocks from the start.
    at_once = [(p.block, p.slot, p.workload.key) for p in _sized(7).of_board("a") if p.role == "timed"]
    assert [(p.block, p.slot, p.workload.key) for p in after if p.role == "timed"] == at_once


def test_blocks_may_be_added_again_and_energy_has_its_baselines_each_time():
    whole = _sized(9, earlier_blocks=(5, 7), suite="nightly")
    rows = [(p.role, p.block) for p in whole.of_board("a") if p.role in ("idle", "energy")]
    idle = [block for role, block in rows if role == "idle"]
    assert idle == [0, 1, 2, 3, 4, 5, 5, 6, 7, 7, 8, 9]
    instrumented = [p for p in whole.of_board("a") if p.role == "instrumented"]
    before = [p for p in _sized(5, suite="nightly").of_board("a") if p.role == "instrumented"]
    assert instrumented == before


def test_a_task_with_blocks_of_its_own_leaves_the_others_alone():
    plan = _plan(suite="demo", boards=("a",))
    blocks = {
        task: {p.block for p in plan.of_board("a") if p.role == "timed" and p.workload.task == task}
        for task in plan.suite.tasks
    }
    assert [len(of_task) for of_task in blocks.values()] == [8, 3, 6]
    for block in range(8):
        slots = [p.slot for p in plan.of_board("a") if p.role == "timed" and p.block == block]
        assert slots == list(range(len(slots)))


def _sized(blocks: int, *, earlier_blocks=(), suite: str = "quick"):
    loaded = load_suite(suite).with_blocks(blocks)
    return make_plan(loaded, [_board("a")], run_id="r1", lab="lab", earlier_blocks=earlier_blocks)
