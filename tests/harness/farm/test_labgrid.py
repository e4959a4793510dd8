"""A labgrid coordinator as a provider: real processes, killed, frozen and started again."""

from __future__ import annotations

import inspect
import json
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.farm.lab import add_pair, add_place, ask, until
from tunebench.harness.farm.identity import PREFIX
from tunebench.harness.farm.provider import FarmError, Patience, Ticket

pytestmark = pytest.mark.slow

#: Takes a place, says so, and holds it until it is killed.
HOLD = (
    "import sys, time\n"
    "from tunebench.harness.farm.labgrid_farm import LabgridFarm\n"
    "from tunebench.harness.farm.provider import Patience\n"
    "farm = LabgridFarm(sys.argv[1])\n"
    "farm.take(sys.argv[2], Patience(20.0)); print(farm.identity, flush=True); time.sleep(120)"
)


def holding(address: str, name: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, address, name], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def seen(farm, name: str):
    return next((board for board in farm.boards() if board.name == name), None)


def test_boards_are_told_taken_waited_for_and_given_back(lab, farms):
    farm = farms()
    add_place(farm, "pi", "one", board="rpi4")
    add_place(farm, "orin", "two", board="orin")
    ask(farm, "AddPlace", name="bare")
    board = until(lambda: (b := seen(farm, "pi")) and b.problem is None and b)
    assert (board.address, board.port, board.user) == (
        "127.0.0.1",
        lab.ssh.endpoint.port,
        lab.ssh.endpoint.user,
    )
    assert (board.tags, board.owner, board.held_s) == ({"board": "rpi4"}, None, None)
    assert "0 usable NetworkServices" in seen(farm, "bare").problem
    with pytest.raises(FarmError, match="0 usable NetworkServices"):
        farm.take("bare", Patience(0.3))
    assert seen(farm, "bare").owner is None, "what cannot be used is given back"
    with pytest.raises(FarmError, match="no such place"):
        farm.take("none", Patience(5.0))
    other, identity = holding(lab.address, "pi")
    try:
        notes: list[str] = []
        with pytest.raises(FarmError, match="is held by"):
            farm.take("pi", Patience(0.6, notes.append))
        (note,) = notes
        assert re.match(r"waiting, at most \d s: ", note)
        assert note.endswith(f": place pi of labgrid://{lab.address} is held by {identity}")
        farm.give(Ticket("pi", farm.identity))
        assert seen(farm, "pi").owner == identity, "another's place is not ours to give back"
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    # Killed, it holds the place all the same: no lock of labgrid's expires.
    assert seen(farm, "pi").owner == identity and f"/{PREFIX}{other.pid}-" in identity
    # But the next command of its host that wants it knows that it is dead.
    ticket = farm.take("pi", Patience(20.0))
    assert farm.check(ticket) == "held" and seen(farm, "pi").held_s < 20
    farm.give(ticket)
    farm.give(ticket)
    assert seen(farm, "pi").owner is None


#: A process of another host, as far as anybody can tell: it draws so many boards, and holds what it has.
DRAW = (
    "import socket, sys, time\n"
    "from pathlib import Path\n"
    "socket.gethostname = lambda: 'host-b'\n"
    "from tunebench.harness.artifacts.gather import build_payload\n"
    "from tunebench.harness.board.drawing import draw\n"
    "from tunebench.harness.config.inventory import load_inventory\n"
    "from tunebench.harness.farm.turns import Turns\n"
    "boards = load_inventory(Path(sys.argv[1])).boards\n"
    "draw(boards, Turns(), build_payload(), lambda line: print(line, flush=True)); time.sleep(120)"
)


def test_a_draw_that_waits_for_its_second_board_keeps_its_first_one_whatever_reap_is_told(
    lab, farms, farm_inventory, cli, tmp_path
):
    farm = farms()
    add_pair(farm)
    mine = farm.take("pi-b", Patience(5.0))
    inventory = str(farm_inventory(count=2, patience_s=100, workdir=f"{tmp_path}/work"))

    def reap() -> tuple[int, str]:
        done = cli("farm", "reap", "-i", inventory, "--older-min", "0")
        return done.returncode, done.stdout

    with subprocess.Popen(
        [sys.executable, "-c", DRAW, inventory], stdout=subprocess.PIPE, text=True
    ) as drawing:
        try:
            assert until(lambda: (board := seen(farm, "pi-a")).owner_waits and board.owner)
            until(lambda: "pi-a: place pi-a of" in drawing.stdout.readline())  # so its lease is given back
            owner = seen(farm, "pi-a").owner
            assert owner.startswith("host-b/")
            waits = (
                f"pi-a: kept: {owner} has it and waits in the farm's queue for another board, so it lives\n"
            )
            assert waits in reap()[1]
            told = cli("farm", "status", "-i", inventory).stdout
            assert f"held by {owner} for 0 min, who waits for another board;" in told
            # It has all that it wants, and no lease yet: for so long as it may wait for anything else, it lives.
            farm.give(mine)
            until(lambda: seen(farm, "pi-b").owner == owner)
            until(lambda: "pi-b: place pi-b of" in drawing.stdout.readline())
            code, told = reap()
            assert code == 4 and told.count("held for less than patience_s = 100") == 2, told
        finally:
            drawing.kill()
    # Its host cannot be asked; after that time the boards decide.
    inventory = str(farm_inventory(count=2, patience_s=0.5, workdir=f"{tmp_path}/work"))
    assert reap() == (0, f"pi-a: freed: {owner} had it\npi-b: freed: {owner} had it\n")


def test_power_is_switched_only_while_the_place_is_ours(lab, farms, power_relay):
    farm = farms()
    add_place(farm, "pi", "one")
    until(lambda: seen(farm, "pi").problem is None)
    ticket = farm.take("pi", Patience(5.0))
    farm.power(ticket, "cycle")
    assert power_relay.asked == [("/relay/3/value", "0"), ("/relay/3/value", "1")]
    ask(farm, "ReleasePlace", placename="pi")
    assert farm.check(ticket) == "lost", "whoever has released it wants it: it is not acquired again"
    other, identity = holding(lab.address, "pi")
    with pytest.raises(FarmError, match="its power is left alone"):
        farm.power(ticket, "off")
    other.kill()
    other.communicate()
    assert len(power_relay.asked) == 2
    farm.release("pi", identity)
    # A relay that refuses is told.
    power_relay.do_PUT, do_put = lambda handler: handler.send_error(500), power_relay.do_PUT
    ticket = farm.take("pi", Patience(5.0))
    with pytest.raises(FarmError, match="pi: power off: "):
        farm.power(ticket, "off")
    power_relay.do_PUT = do_put


def test_an_exporter_that_dies_leaves_the_turn_but_no_power_and_one_that_is_gone_gives_none(
    lab, farms, power_relay
):
    farm = farms()
    add_place(farm, "pi", "one")
    until(lambda: seen(farm, "pi").problem is None)
    ticket = farm.take("pi", Patience(5.0))
    lab.exporters["one"].kill()
    lab.exporters["one"].wait()
    until(lambda: seen(farm, "pi").problem is not None)
    assert farm.check(ticket) == "held"
    with pytest.raises(FarmError, match="pi: has 0 NetworkPowerPorts"):
        farm.power(ticket, "cycle")
    farm.give(ticket)
    with pytest.raises(FarmError, match="0 usable NetworkServices"):
        farm.take("pi", Patience(0.3))
    assert seen(farm, "pi").owner is None and power_relay.asked == []
    lab.start_exporter("one")
    ticket = farm.take("pi", Patience(60.0))
    farm.power(ticket, "cycle")
    assert [value for _, value in power_relay.asked] == ["0", "1"]


def test_boards_threads_cycle_their_power_at_one_time(lab, farms, power_relay):
    """labgrid's own drivers share one stack of steps: most of their cycles fail under threads."""
    farm = farms()
    lab.start_exporter("rack", boards=8)
    for number in range(8):
        add_place(farm, f"pi-{number}", f"rack/rack-{number}")
    until(lambda: len(farm.boards()) == 8 and all(board.problem is None for board in farm.boards()))
    tickets = [farm.take(f"pi-{number}", Patience(5.0)) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda ticket: farm.power(ticket, "cycle"), [*tickets, *tickets]))
    assert sorted(value for _, value in power_relay.asked) == ["0"] * 16 + ["1"] * 16
    for ticket in tickets:
        farm.give(ticket)


def test_what_is_used_of_labgrid_is_there():
    """Its remote client is no fixed API: another version is to fail here, not in a night."""
    pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'tunebench[labgrid]'")
    from labgrid.driver.power import rest
    from labgrid.remote.client import ClientSession

    from tunebench.harness.farm.labgrid_farm import messages, services

    for name in ("start", "stop", "close", "sync_with_coordinator", "gethostname", "getuser"):
        assert callable(getattr(ClientSession, name)), name
    verbs = ("CreateReservation", "PollReservation", "CancelReservation", "AcquirePlace", "ReleasePlace")
    for verb in verbs:
        assert hasattr(messages, f"{verb}Request") and hasattr(services.CoordinatorServicer, verb), verb
    assert list(inspect.signature(rest.power_set).parameters) == ["host", "port", "index", "value"]


def test_a_coordinator_that_forgets_gives_the_turn_back_or_another_has_it(lab, farms):
    farm = farms()
    add_place(farm, "pi", "one")
    add_place(farm, "orin", "two")
    until(lambda: all(board.problem is None for board in farm.boards()))
    tickets = [farm.take(name, Patience(5.0)) for name in ("pi", "orin")]
    time.sleep(16)  # a coordinator saves its places every 15 s
    lab.coordinator.kill()
    lab.coordinator.wait()
    assert farm.check(tickets[0]) == "unknown"
    lab.start_coordinator()
    for name in ("one", "two"):
        lab.exporters[name].wait(timeout=30)  # it ends with its coordinator; a supervisor starts it again
        lab.start_exporter(name)
    assert until(lambda: farm.check(tickets[0]) == "held", 70.0)
    assert farm.check(tickets[1]) == "held"
    # Somebody releases it, as anybody can, and another takes it.
    ask(farm, "ReleasePlace", placename="orin")
    other, identity = holding(lab.address, "orin")
    try:
        assert identity and farm.check(tickets[1]) == "lost"
    finally:
        other.kill()
        other.communicate()


def test_a_coordinator_that_hangs_is_unknown_and_holds_nothing_afterwards(lab, farms):
    farm = farms()
    add_place(farm, "pi", "one")
    until(lambda: seen(farm, "pi").problem is None)
    lab.coordinator.send_signal(signal.SIGSTOP)
    begun_s = time.monotonic()
    with pytest.raises(FarmError):
        farm.take("pi", Patience(1.0))
    assert time.monotonic() - begun_s < 40
    lab.coordinator.send_signal(signal.SIGCONT)
    until(lambda: seen(farm, "pi") is not None)
    ticket = farm.take("pi", Patience(20.0))
    farm.give(ticket)
    assert until(lambda: seen(farm, "pi").owner is None)


#: Takes a place, and gives it back once it is told so; the coordinator may not answer then.
GIVE = (
    "import sys\n"
    "from tunebench.harness.farm.labgrid_farm import LabgridFarm\n"
    "from tunebench.harness.farm.provider import Patience\n"
    "farm = LabgridFarm(sys.argv[1])\n"
    "ticket = farm.take(sys.argv[2], Patience(20.0)); print(farm.identity, flush=True); input(); farm.give(ticket)\n"
    "print('given', flush=True)"
)


def test_what_a_coordinator_did_not_hear_is_given_back_when_the_process_ends(lab, farms):
    farm = farms()
    add_place(farm, "pi", "one")
    until(lambda: seen(farm, "pi").problem is None)
    words = [sys.executable, "-c", GIVE, lab.address, "pi"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        identity = process.stdout.readline().strip()
        assert seen(farm, "pi").owner == identity
        lab.coordinator.send_signal(signal.SIGSTOP)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "given\n", "whoever gives does not wait"
        lab.coordinator.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=90)
    assert f"labgrid://{lab.address}: does not answer; waiting, at most 30 s, to give back pi" in errors
    assert until(lambda: seen(farms(), "pi").owner is None, 10.0)


def test_nobody_there_is_one_sentence():
    pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'tunebench[labgrid]'")
    from tunebench.harness.farm.labgrid_farm import LabgridFarm

    with pytest.raises(FarmError, match=r"labgrid://127\.0\.0\.1:9.*is labgrid-coordinator running there"):
        LabgridFarm("127.0.0.1:9")


def test_a_campaign_takes_the_place_measures_and_gives_it_back_and_reap_frees_what_the_dead_left(
    lab, farms, farm_inventory, sleep_suite, cli, tmp_path
):
    farm = farms()
    add_place(farm, "pi", "one", board="rpi4")
    add_place(farm, "orin", "two", board="orin")
    until(lambda: all(board.problem is None for board in farm.boards()))
    inventory = farm_inventory(workdir=f"{tmp_path}/work", patience_s=3)
    ran = cli(
        "run",
        "-i",
        str(inventory),
        "-s",
        str(sleep_suite(["a"], blocks=2)),
        "-o",
        str(tmp_path / "out"),
        "--no-html",
    )
    assert ran.returncode == 0, ran.stderr
    assert (
        f"pi: place pi of labgrid://{lab.address} is ours, as {socket.gethostname()}/{PREFIX}" in ran.stderr
    )
    assert seen(farm, "pi").owner is None
    held, identity = holding(lab.address, "pi")
    ask(farm, "AcquirePlace", placename="orin")
    told = json.loads(cli("farm", "status", "-i", str(inventory), "--json").stdout)
    assert {board["name"]: board["owner"] for board in told} == {"pi": identity, "orin": farm.identity}
    refused = cli(
        "run", "-i", str(inventory), "-s", str(sleep_suite(["a"], blocks=2)), "-o", str(tmp_path / "out")
    )
    assert refused.returncode == 4 and f"is held by {identity}" in refused.stderr
    alive = cli("farm", "reap", "-i", str(inventory), "--older-min", "0")
    assert alive.returncode == 4 and f"process {held.pid} of this host has it and lives" in alive.stdout
    held.kill()
    held.communicate()
    young = cli("farm", "reap", "-i", str(inventory))
    assert young.returncode == 4 and "held for less than 15 minutes" in young.stdout
    freed = cli("farm", "reap", "-i", str(inventory), "--older-min", "0")
    assert (freed.returncode, freed.stdout) == (0, f"pi: freed: {identity} had it\n")
    assert seen(farm, "pi").owner is None
    assert seen(farm, "orin").owner == farm.identity
