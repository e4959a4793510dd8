"""Boards drawn by their tags before a run is planned: from a real coordinator, with leases on the boards themselves."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.harness.farm.lab import add_pair, add_place, add_rack, all_there, until
from tests.harness.farm.test_labgrid import holding, seen
from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.drawing import draw
from tunebench.harness.board.environment import owner
from tunebench.harness.campaign import session as sessions
from tunebench.harness.campaign.run import run
from tunebench.harness.campaign.session import Request
from tunebench.harness.config.inventory import BoardEntry, load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.farm.provider import AnyOf, FarmError, Patience
from tunebench.harness.farm.source import Pool, parse
from tunebench.harness.farm.turns import Turns
from tunebench.reports.results import RunReader
from tunebench.targets.client.board import Board

pytestmark = pytest.mark.slow

#: Takes a place and ends without giving it back.
FORGETS = (
    "import sys\n"
    "from tunebench.harness.farm.labgrid_farm import LabgridFarm\n"
    "from tunebench.harness.farm.provider import Patience\n"
    "farm = LabgridFarm(sys.argv[1]); farm.take(sys.argv[2], Patience(20.0)); sys.exit(farm.identity)"
)


def test_a_run_takes_any_boards_with_the_tags_leaves_a_contested_one_and_gives_all_back(
    lab, farms, farm_boards, sleep_suite, tmp_path, monkeypatch
):
    farm = farms()
    add_rack(lab, farm)
    add_place(farm, "orin", "two", board="orin")
    all_there(farm, 4)
    boards = farm_boards(count=2)
    assert [board.id for board in boards] == ["pi-a", "pi-b", "pi-c"] and boards[0].pool.count == 2
    wrong = rf"lab\.toml: labgrid://{lab.address}: .*nosuch:tag; .*: board:orin \(1\), board:rpi4 \(3\)$"
    with pytest.raises(UsageError, match=wrong):
        farm_boards(source=f"labgrid://{lab.address}?tag=nosuch:tag")
    suite = load_suite(str(sleep_suite(["a"], blocks=1)))
    # The coordinator allots whichever it likes: until pi-a was drawn and left, somebody has the others.
    rival = farms()
    others = [rival.take(name, Patience(5.0)) for name in ("pi-b", "pi-c")]

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            while others and "contested" in text:
                rival.give(others.pop())
            return super().write(text)

    log = Log()

    def measured(boards: list[BoardEntry]) -> RunReader:
        request = Request(suite, boards, "lab1", tmp_path / "out")
        code, folder = run(request, Console(file=log, width=200))
        assert (code, folder is not None) == (0, True), log.getvalue()
        assert all(board.owner is None for board in farm.boards()), "every turn is given back"
        return RunReader(folder)

    # Somebody outside the farm measures on one of them: its place is free, its lease is not.
    stranger = owner("somebody-else")
    with Board(boards[0].spec()) as board:
        board.sync([build_payload()])
        board.occupy(stranger, 600.0)
        reader = measured(boards)
        board.release(stranger)
    assert reader.manifest.boards == ["pi-b", "pi-c"]
    assert {rep.board_id for rep in reader.repetitions} == {"pi-b", "pi-c"}
    (left_out,) = reader.manifest.skipped
    assert left_out.board_id == "pi-a" and left_out.reason.startswith("contested: pi-a: ")
    assert "another board is taken" in log.getvalue()
    # A run that is continued keeps its boards, whatever else is free.
    again = sessions._on_its_boards(Request(suite, farm_boards(count=2), "lab1", tmp_path), reader)
    assert [board.id for board in again.boards] == ["pi-b", "pi-c"]
    # Whatever ends a run before its boards' queues begin: what was drawn goes back.
    monkeypatch.setattr(
        sessions.RunWriter, "create", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        run(Request(suite, farm_boards(count=3), "lab1", tmp_path / "out"), Console(file=log))
    assert all(board.owner is None for board in farm.boards())


def test_a_draw_waits_in_the_farms_queue_says_for_whom_and_how_long_and_takes_nothing_if_it_fails(
    lab, farms, farm_boards
):
    farm, rival = farms(), farms()
    add_pair(farm)
    other, identity = holding(lab.address, "pi-b")
    try:
        lines: list[str] = []
        boards = farm_boards(count=2, patience_s=3.0)
        with Turns() as turns, pytest.raises(FarmError, match=f"held: 1 by us, 1 by {identity}; waited"):
            draw(boards, turns, build_payload(), lines.append)
        assert any(line.startswith("waiting, at most 3 s: ") and identity in line for line in lines)
        assert seen(farm, "pi-a").owner is None
        # First come, first served: whoever came later gets it later, though both look for it all the time.
        order: list[str] = []
        begun = [threading.Event(), threading.Event()]

        def wait_for(which: int, at) -> None:
            patience = Patience(60.0, lambda _: begun[which].set())
            ticket = at.take(AnyOf(("pi-a", "pi-b"), (("board", "rpi4"),)), patience)
            order.append(ticket.identity)
            at.give(ticket)

        mine = farm.take("pi-a", Patience(5.0))
        waiters = [threading.Thread(target=wait_for, args=(n, at)) for n, at in enumerate((rival, farm))]
        for waiter, event in zip(waiters, begun, strict=True):
            waiter.start()
            assert event.wait(20)
        farm.give(mine)
        for waiter in waiters:
            waiter.join(30)
        assert order == [rival.identity, farm.identity]
    finally:
        other.kill()
        other.communicate()
    # A process that ends gives back what it holds; nothing waits in the queue any more.
    done = subprocess.run(
        [sys.executable, "-c", FORGETS, lab.address, "pi-a"], capture_output=True, text=True, check=False
    )
    assert "/tunebench-" in done.stderr and seen(farm, "pi-a").owner is None
    reservations = farm._run(
        farm._ask(farm._connected(), "GetReservations", _messages().GetReservationsRequest())
    ).reservations
    assert list(reservations) == []


def _messages():
    from tunebench.harness.farm.labgrid_farm import messages

    return messages


def test_a_run_goes_on_with_the_boards_it_had_and_waits_for_one_whose_exporter_is_down(
    lab, farms, farm_boards, sleep_suite, tmp_path
):
    farm = farms()
    add_pair(farm)
    suite = load_suite(str(sleep_suite(["a"], blocks=1)))
    begun = SimpleNamespace(path=tmp_path / "run", plan_view=SimpleNamespace(boards=["pi-a", "pi-b"]))

    def goes_on() -> list[str]:
        request = sessions._on_its_boards(Request(suite, farm_boards(), "lab1", tmp_path), begun)
        return [board.id for board in request.boards]

    def end_exporter(name: str, usable: int) -> None:
        lab.exporters[name].kill()
        lab.exporters[name].wait()
        until(lambda: sum(board.problem is None for board in farm.boards()) == usable)

    end_exporter("two", 1)
    with pytest.raises(FarmError, match=r"cannot go on now: pi-b of .*0 usable .*give the command again"):
        goes_on()
    end_exporter("one", 0)
    with pytest.raises(FarmError, match="has no board for us: pi-a: has 0 usable"):
        goes_on()
    for name in ("one", "two"):
        lab.start_exporter(name)
    add_place(farm, "pi-c", "one", board="rpi4")  # one that came later is no board of that run
    all_there(farm, 3)
    assert goes_on() == ["pi-a", "pi-b"]


def test_a_dry_run_of_drawn_boards_plans_the_first_of_them(sleep_suite, tmp_path):
    pool = Pool(parse("labgrid://lab?tag=board:rpi4"), 2)
    boards = [BoardEntry(id=name, kind="linux", host="h").of_pool(pool) for name in ("a", "b", "c")]
    request = Request(load_suite(str(sleep_suite(["x"], blocks=1))), boards, "lab1", tmp_path)
    plan = sessions.dry_run(request).plan
    assert [board.id for board in plan.boards] == ["a", "b"]
    fixed = sessions.dry_run(replace(request, boards=[boards[2].of_pool(None)])).plan
    assert [board.id for board in fixed.boards] == ["c"]


def test_a_count_that_no_choice_can_meet_or_that_is_none_is_told(tmp_path: Path):
    pool = Pool(parse("labgrid://lab?tag=board:rpi4"), 2)
    with (
        Turns() as turns,
        pytest.raises(UsageError, match=r"count = 2, but only a may be taken \(--boards\)"),
    ):
        draw([BoardEntry(id="a", kind="linux", host="h").of_pool(pool)], turns, build_payload(), print)
    path = tmp_path / "lab.toml"
    path.write_text('[[farm]]\nsource = "labgrid://lab"\ncount = 0\nkind = "linux"\n')
    with pytest.raises(UsageError, match="count"):
        load_inventory(path)
