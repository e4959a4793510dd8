"""Leases: never two owners, whatever races; an expired one is taken over, and that is on record."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from tunebench.targets.agent import lease, workdir
from tunebench.targets.agent.workdir import AgentError, Workdir
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Owner
from tunebench.targets.errors import ConditionError, LinkError

MINE = {"user": "me", "host": "here", "pid": 1, "token": "mine"}
HERS = {"user": "eve", "host": "there", "pid": 2, "token": "hers"}


@pytest.fixture
def place(tmp_path):
    for name in ("blobs", "jobs"):
        (tmp_path / name).mkdir()
    return Workdir(str(tmp_path))


def change(place: Workdir, **fields) -> None:
    """Change the lease's file as passing time or a reboot would have changed it."""
    workdir.write_json(place.lease, {**workdir.read_json(place.lease), **fields})


def test_who_holds_the_board_and_until_when_is_told(place):
    lease.take(place, HERS, "rep-7", 30)
    with pytest.raises(AgentError) as refusal:
        lease.take(place, MINE, "rep-1", 30)
    assert refusal.value.kind == "lease"
    assert "eve@there (process 2) for 30 s more, repetition rep-7" in str(refusal.value)
    seen = lease.described(place)
    assert (seen["owner"], seen["rep_id"]) == ({"user": "eve", "host": "there", "pid": 2}, "rep-7")
    assert 29 < seen["expires_in_s"] <= 30


def test_an_expired_lease_is_taken_over_and_says_from_whom(place):
    lease.take(place, HERS, "rep-7", 30)
    change(place, expires_boottime_s=workdir.boottime_s() - 12)
    assert lease.holder(place) is None
    origin = lease.take(place, MINE, "rep-1", 30)["taken_over_from"]
    assert (origin["owner"], origin["rep_id"], origin["rebooted"]) == (HERS, "rep-7", False)
    assert 12 <= origin["expired_s"] < 20
    assert "eve@there" in lease.describe(origin) and "expired 12 s before" in lease.describe(origin)
    # It stays on record for as long as the new owner keeps the board, and no longer.
    assert lease.take(place, MINE, "rep-2", 30)["taken_over_from"] == origin
    lease.ended(place, "rep-2", hold_s=30)
    assert lease.described(place)["taken_over_from"]["owner"]["user"] == "eve"
    lease.release(place, MINE)
    assert "taken_over_from" not in lease.take(place, HERS, "rep-9", 30)


def test_a_reboot_ends_a_lease_whatever_its_clock_says(place):
    lease.take(place, HERS, "rep-7", 1e6)
    change(place, boot_id="an earlier boot")
    assert lease.holder(place) is None
    origin = lease.take(place, MINE, "rep-1", 30)["taken_over_from"]
    assert (origin["rebooted"], origin["expired_s"]) == (True, None)
    assert "rebooted" in lease.describe(origin)


def test_a_lease_that_was_given_back_is_not_taken_over(place):
    lease.take(place, HERS, "rep-7", 30)
    lease.ended(place, "rep-7")
    assert "taken_over_from" not in lease.take(place, MINE, "rep-1", 30)


def test_the_same_token_takes_the_lease_again_from_another_process(place):
    lease.take(place, HERS, "rep-7", 30)
    again = {**HERS, "pid": 99, "host": "elsewhere"}
    assert lease.take(place, again, "rep-8", 30)["owner"] == again


def test_between_repetitions_the_board_is_kept_for_a_short_gap(place):
    lease.take(place, HERS, "rep-7", 300)
    lease.ended(place, "rep-7", hold_s=5)
    assert lease.described(place)["rep_id"] is None
    assert lease.described(place)["expires_in_s"] <= 5
    with pytest.raises(AgentError, match="between two repetitions"):
        lease.take(place, MINE, "rep-1", 30)


def test_holding_the_board_never_cuts_a_running_repetition_short(place):
    lease.take(place, HERS, "rep-7", 300)
    held = lease.take(place, HERS, None, 5)
    assert held["rep_id"] == "rep-7"
    assert held["expires_boottime_s"] - workdir.boottime_s() > 290


def test_only_ones_own_or_an_expired_lease_is_released_and_force_is_on_record(place):
    assert lease.release(place, MINE) is None
    lease.take(place, HERS, "rep-7", 30)
    with pytest.raises(AgentError, match="eve@there"):
        lease.release(place, MINE)
    lease.release(place, MINE, force=True)
    assert lease.holder(place) is None
    origin = lease.take(place, MINE, "rep-1", 30)["taken_over_from"]
    assert origin["released_by"] == MINE
    assert "ended it by force" in lease.describe(origin)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"owner": 3, "expires_boottime_s": "x"}', '{"a": 1}'])
def test_a_damaged_lease_neither_blocks_the_board_nor_invents_an_owner(place, content):
    Path(place.lease).write_text(content)
    assert lease.holder(place) is None
    assert "taken_over_from" not in lease.take(place, MINE, "rep-1", 30)


def test_a_host_that_waits_gets_the_board_when_it_is_given_back(place):
    lease.take(place, HERS, "rep-7", 30)

    def give_back():
        time.sleep(0.3)
        with place.locked():
            lease.ended(place, "rep-7")

    threading.Thread(target=give_back).start()

    def attempt():
        with place.locked():
            return lease.take(place, MINE, None, 30)

    started_s = time.monotonic()
    assert lease.wait_for(place, attempt, 10)["owner"] == MINE
    assert time.monotonic() - started_s < 3
    with pytest.raises(AgentError):
        lease.wait_for(place, lambda: lease.take(place, HERS, None, 30), 0.2)


# -- races ----------------------------------------------------------------------------------------

ROUNDS = 100


def _race(root: str, me: int, barrier, log: str) -> None:
    """Act as one of N agents that all ask for the lease at once in every round; the winner gives it back."""
    place, owner = Workdir(root), {"user": f"u{me}", "host": "h", "pid": os.getpid(), "token": str(me)}
    with open(log, "w") as file:
        for round_no in range(ROUNDS):
            barrier.wait(30)
            won, taken = True, {}
            try:
                with place.locked():
                    taken = lease.take(place, owner, f"round-{round_no}", 30)
            except AgentError as error:
                won = False
                assert "is leased to u" in str(error), error
            barrier.wait(30)
            if won and round_no % 2:
                with place.locked():
                    lease.ended(place, f"round-{round_no}")
            elif won:  # its host dies, and time passes
                change(place, expires_boottime_s=workdir.boottime_s() - 1)
            file.write(json.dumps([round_no, me, won, taken.get("taken_over_from")]) + "\n")


def test_of_eight_agents_that_race_a_hundred_times_one_wins_each_time(place, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    logs = [str(tmp_path / f"log-{me}") for me in range(8)]
    racers = [context.Process(target=_race, args=(place.root, me, barrier, logs[me])) for me in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    rows = [json.loads(line) for log in logs for line in Path(log).read_text().splitlines()]
    assert len(rows) == 8 * ROUNDS
    winners = {}
    for round_no in range(ROUNDS):
        (winners[round_no],) = [row for row in rows if row[0] == round_no and row[2]]
    for round_no in range(1, ROUNDS):
        before, (_, me, _, origin) = winners[round_no - 1][1], winners[round_no]
        if round_no % 2 and me != before:  # the one before let it run out
            assert (origin["owner"]["token"], origin["rep_id"]) == (str(before), f"round-{round_no - 1}")
        else:
            assert origin is None


def _host(spec, payload, me: str, rounds: int, barrier, results) -> None:
    """Act as one of two hosts, with a connection of its own."""
    owner = Owner(user=me, host="host-" + me, pid=os.getpid(), token=me)
    with Board(spec) as board:
        board.sync([payload])
        for round_no in range(rounds):
            barrier.wait(60)
            try:
                board.occupy(owner, 60)
                results.put((round_no, me, None))
            except ConditionError as error:
                results.put((round_no, me, str(error)))
            barrier.wait(60)
            try:
                board.release(owner)
            except ConditionError:
                pass  # the other's, still in force
            barrier.wait(60)


def race_of_hosts(board, payload, rounds: int) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    hosts = [
        context.Process(target=_host, args=(board.spec, payload, me, rounds, barrier, results))
        for me in ("ann", "bob")
    ]
    for host in hosts:
        host.start()
    replies = [results.get(timeout=60) for _ in range(2 * rounds)]
    for host in hosts:
        host.join(60)
        assert host.exitcode == 0
    for round_no in range(rounds):
        refusals = {me: said for number, me, said in replies if number == round_no}
        winners = [me for me, said in refusals.items() if said is None]
        assert len(winners) == 1, refusals
        (loser,) = set(refusals) - set(winners)
        assert f"{winners[0]}@host-{winners[0]}" in refusals[loser]


@pytest.mark.slow
def test_two_hosts_race_for_one_board_and_the_loser_is_told_who_has_it(board, payload):
    race_of_hosts(board, payload, 8)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hosts_race_for_one_board_a_hundred_times_and_never_both_have_it(board, payload):
    race_of_hosts(board, payload, 100)


def _start_one(spec, payload, job, barrier, results) -> None:
    with Board(spec) as board:
        board.sync([payload])
        barrier.wait(60)
        try:
            results.put((job["rep_id"], board.start(job).state))
        except ConditionError as error:
            results.put((job["rep_id"], error.kind))


@pytest.mark.slow
def test_of_two_hosts_that_start_a_repetition_at_once_one_runs(board, payload, make_job):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    jobs = [
        make_job(name, "import time; time.sleep(1)", owner={**MINE, "token": name})
        for name in ("rep-a", "rep-b")
    ]
    hosts = [
        context.Process(target=_start_one, args=(board.spec, payload, job, barrier, results)) for job in jobs
    ]
    for host in hosts:
        host.start()
    ended = dict(results.get(timeout=60) for _ in jobs)
    for host in hosts:
        host.join(60)
    assert sorted(ended.values()) == ["lease", "running"]
    loser = next(rep_id for rep_id, state in ended.items() if state == "lease")
    assert board.wait(loser, 0.1) == "unknown"


# -- over the link --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_taken_over_lease_is_in_the_reply_the_journal_and_the_probe(board, make_job, tmp_path):
    board.occupy(Owner(**HERS), 0.05)
    time.sleep(0.1)
    reply = board.start(make_job("rep-1", program="import time; time.sleep(0.5)", owner=MINE))
    assert [warning.code for warning in reply.warnings] == [lease.TAKEN_OVER]
    assert "eve@there" in reply.warnings[0].message
    assert board.probe().lease.taken_over_from.owner.user == "eve"
    board.wait("rep-1", 10)
    files = board.harvest("rep-1").files
    events = [json.loads(line) for line in files["journal.jsonl"].decode().splitlines()]
    (event,) = [event for event in events if event["event"] == "lease-taken-over"]
    assert event["taken_over_from"]["owner"] == HERS
    assert json.loads(files["exit.json"])["lease_taken_over_from"]["owner"] == HERS


def test_a_repetition_that_may_not_start_yet_keeps_the_board_for_its_owner(board, make_job):
    gates = {"policy": "enforce", "max_load_1m": -1.0}
    with pytest.raises(ConditionError, match="load"):
        board.start(make_job("rep-1", gates=gates, hold_s=20.0, owner=MINE))
    with pytest.raises(ConditionError, match="me@here") as refusal:
        board.occupy(Owner(**HERS), 10)
    assert refusal.value.kind == "lease"
    assert board.release(Owner(**MINE)).owner.stored() == MINE
    assert board.occupy(Owner(**HERS), 10).owner.stored() == HERS


@pytest.mark.slow
def test_an_agent_whose_host_has_gone_does_not_take_the_board_for_nobody(make_board):
    ours, theirs = make_board(), make_board()
    theirs.occupy(Owner(**HERS), 60)
    threading.Timer(0.7, ours.ssh.close).start()
    with pytest.raises(LinkError):
        ours.occupy(Owner(**MINE), 10, wait_s=20)
    time.sleep(0.8)
    theirs.release(Owner(**HERS))
    time.sleep(0.8)
    assert theirs.probe().lease is None


@pytest.mark.slow
def test_a_host_that_waits_on_the_board_opens_one_channel_and_gets_its_turn(make_board):
    ours, theirs = make_board(), make_board()
    theirs.occupy(Owner(**HERS), 60)
    opened = ours.ssh.channels_opened
    threading.Timer(0.7, lambda: theirs.release(Owner(**HERS))).start()
    assert ours.occupy(Owner(**MINE), 10, wait_s=20).owner.stored() == MINE
    assert ours.ssh.channels_opened == opened + 1


def test_a_lease_is_kept_renewed_by_its_owner_and_released(place):
    mine, hers = {"token": "mine"}, {"token": "hers", "user": "eve", "host": "there"}
    lease.take(place, hers, "rep-1", 30)
    with pytest.raises(AgentError, match="eve@there"):
        lease.take(place, mine, "rep-2", 30)
    lease.take(place, hers, "rep-3", 60)
    lease.ended(place, "rep-1")  # not the lease of this repetition any more
    assert lease.holder(place)["rep_id"] == "rep-3"
    lease.ended(place, "rep-3")
    assert lease.holder(place) is None
    lease.take(place, mine, "rep-2", 30)


def test_a_torn_lease_does_not_lock_the_board_for_ever(place):
    with open(place.lease, "w") as file:
        file.write('{"owner": ')
    assert lease.holder(place) is None


KNOWN = {**HERS, "boot_id": "b", "pid_ns": "pid:[4]", "started_ticks": 5}


def without_token(owner: dict) -> dict:
    return {key: value for key, value in owner.items() if key != "token"}


def test_the_lease_of_an_owner_that_its_host_found_dead_is_taken_over_at_once(place):
    lease.take(place, KNOWN, None, 600)
    with pytest.raises(AgentError) as refusal:
        lease.take(place, MINE, None, 30)
    assert refusal.value.holder == without_token(KNOWN), "who holds it is told, the token is not"
    origin = lease.take(place, MINE, None, 30, refusal.value.holder)["taken_over_from"]
    assert (origin["owner"], origin["dead"]) == (KNOWN, True)
    assert lease.describe(origin).endswith("was taken over: that process is dead")
    assert lease.described(place)["expires_in_s"] <= 30, "the dead one's time is not inherited"


@pytest.mark.parametrize("key", lease.IDENTITY)
def test_only_exactly_the_dead_owner_loses_its_lease(place, key):
    """The run may have been resumed, and the lease renewed, between the look and the request."""
    lease.take(place, KNOWN, None, 600)
    with pytest.raises(AgentError, match="leased to eve@there"):
        lease.take(place, MINE, None, 30, {**without_token(KNOWN), key: "another"})
    with pytest.raises(AgentError):
        lease.release(place, MINE, False, {**without_token(KNOWN), key: "another"})


def test_an_owner_of_an_earlier_version_is_never_taken_for_dead(place):
    lease.take(place, HERS, None, 600)
    with pytest.raises(AgentError) as refusal:
        lease.take(place, MINE, None, 30)
    with pytest.raises(AgentError):
        lease.take(place, MINE, None, 30, refusal.value.holder)


def test_a_dead_owners_lease_is_given_up_without_force(place):
    lease.take(place, KNOWN, None, 600)
    assert lease.release(place, MINE, False, without_token(KNOWN)) is not None
    assert lease.holder(place) is None
