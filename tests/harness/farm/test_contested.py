"""Campaigns on a farm whose boards others take, whose coordinator dies, and whose boards hang: real processes."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests import ctrl_c
from tests.faults.relay import Relay
from tests.harness.farm.lab import add_pair, add_place, add_rack, ask, until
from tests.harness.farm.test_labgrid import seen
from tunebench.harness import verify
from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.drawing import draw
from tunebench.harness.campaign.progress import PlainLines
from tunebench.harness.campaign.run import run
from tunebench.harness.campaign.session import Request
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import EXIT_INTERRUPTED
from tunebench.harness.farm import source
from tunebench.harness.farm.provider import FarmError, Patience
from tunebench.harness.farm.turns import Turns
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunReader

pytestmark = pytest.mark.slow


@pytest.fixture
def when_started(monkeypatch) -> Iterator[Callable[[Callable[[Planned], None]], None]]:
    """Function (action): it is called whenever a repetition is about to start."""

    def call(action: Callable[[Planned], None]) -> None:
        monkeypatch.setattr(PlainLines, "started", lambda _self, planned, _left_s: action(planned))

    yield call


def counts(rep: Repetition) -> bool:
    """Tell whether a repetition stands in comparisons; a busy machine degrades what these tests measure."""
    return rep.outcome == "ok" and rep.verdict != "invalid"


def measured(
    suite: Path, boards: list[BoardEntry], out: Path, *, resume: bool = False
) -> tuple[int, RunReader, str]:
    log = io.StringIO()
    request = Request(load_suite(str(suite)), boards, "lab1", out, resume)
    code, folder = run(request, Console(file=log, width=300))
    assert folder is not None, log.getvalue()
    return code, RunReader(folder), log.getvalue()


def test_a_board_that_is_taken_from_us_is_left_its_repetition_counts_not_and_another_is_measured(
    lab, farms, farm_boards, when_started, sleep_suite, tmp_path
):
    rival = farms()
    add_pair(rival)
    taken: list[str] = []

    def kick(planned: Planned) -> None:
        if planned.block == 1 and not taken:
            taken.append(planned.board_id)
            ask(rival, "ReleasePlace", placename=planned.board_id)
            ask(rival, "AcquirePlace", placename=planned.board_id)

    when_started(kick)
    suite = sleep_suite(["a"], blocks=3)
    code, reader, log = measured(suite, farm_boards(count=1), tmp_path / "out")
    (lost,), (other,) = taken, {"pi-a", "pi-b"} - set(taken)
    assert [(rep.board_id, rep.block, counts(rep)) for rep in reader.repetitions] == [
        (lost, 0, True),
        (lost, 1, False),
        *((other, block, True) for block in range(3)),
    ], log
    contested = reader.repetitions[1]
    (reason,) = [reason for reason in contested.reasons if reason.level == "invalid"]
    assert reason.code == "contested" and reason.message == contested.seen.contested
    assert reason.message.endswith(f"is ours no more; it is held by {rival.identity}")
    assert code == 3 and reader.manifest.boards == ["pi-a", "pi-b"]
    (skip,) = reader.manifest.skipped
    assert skip.board_id == lost and "contested: place" in skip.reason
    assert seen(rival, lost).owner == rival.identity, "what the other has taken stays theirs"
    assert seen(rival, other).owner is None


def test_a_lost_board_is_replaced_while_the_others_measure_and_a_run_that_is_stopped_then_keeps_all_of_them(
    lab, farms, farm_boards, when_started, sleep_suite, tmp_path
):
    rival = farms()
    add_rack(lab, rival)
    # The first draw cannot have pi-a, so that it is the substitute.
    not_yet = rival.take("pi-a", Patience(5.0))
    begun = threading.Barrier(2, action=lambda: rival.give(not_yet))
    substitute_measures, stopped = threading.Event(), threading.Event()

    def strike(planned: Planned) -> None:
        """One board is lost; the other does not end before its substitute has measured, then Ctrl-C."""
        if planned.board_id == "pi-a" and planned.block == 1:
            substitute_measures.set()
            assert stopped.wait(30)
        elif planned.board_id != "pi-a" and planned.block == 0:
            begun.wait(30)
        elif planned.board_id == "pi-b" and planned.block == 1:
            ask(rival, "ReleasePlace", placename="pi-b")
            ask(rival, "AcquirePlace", placename="pi-b")
        elif planned.board_id == "pi-c" and planned.block == 2:
            assert substitute_measures.wait(60), "it is measured at once, not when the others are done"
            os.kill(os.getpid(), signal.SIGINT)
            stopped.set()

    when_started(strike)
    suite = sleep_suite(["a"], blocks=3)
    with ctrl_c.heeded():
        code, reader, log = measured(suite, farm_boards(count=2), tmp_path / "out")
    assert code == EXIT_INTERRUPTED and reader.manifest is None, log
    assert reader.plan_view.boards == ("pi-a", "pi-b", "pi-c")
    assert "pi-b: contested: " in log and "; another board is taken" in log
    assert "pi-b: what is left of its queue is left out; pi-a is measured instead" in log
    before = [rep.rep_id for rep in reader.repetitions]

    when_started(lambda planned: None)
    code, reader, log = measured(suite, farm_boards(count=2), tmp_path / "out", resume=True)
    assert code == 3, log
    assert [rep.rep_id for rep in reader.repetitions][: len(before)] == before
    done = Counter((rep.board_id, rep.block) for rep in reader.repetitions if counts(rep))
    assert done == Counter(
        [("pi-b", 0), *((board, block) for board in ("pi-a", "pi-c") for block in range(3))]
    )
    assert reader.manifest.boards == ["pi-a", "pi-b", "pi-c"]
    (skip,) = reader.manifest.skipped
    assert skip.board_id == "pi-b" and skip.of_whole_board and "contested: place" in skip.reason
    assert list(verify.audit(reader.path)) == []
    held = {board.name: board.owner for board in rival.boards() if board.owner is not None}
    assert held == {"pi-b": rival.identity}


def test_a_coordinator_that_forgets_never_makes_two_owners_and_the_repetition_counts(
    lab, farms, farm_boards, when_started, sleep_suite, tmp_path, monkeypatch
):
    farm = farms()
    add_place(farm, "pi-a", "one", board="rpi4")
    until(lambda: seen(farm, "pi-a").problem is None)
    boards = farm_boards(count=1, patience_s=60)
    time.sleep(16)  # a coordinator saves its places every 15 s
    payload = build_payload()
    rivals: list[str] = []

    def rival() -> None:
        """Another process's draw: it is given the place that the coordinator has forgotten, and meets the lease."""
        other = farms()
        monkeypatch.setitem(source._open, lab.address, other)
        try:
            with Turns() as turns, pytest.raises(FarmError, match="contested") as refusal:
                draw(boards, turns, payload, rivals.append)
            rivals.append(str(refusal.value))
        finally:
            ended.set()

    ended = threading.Event()

    def restart(planned: Planned) -> None:
        if planned.block != 1:
            return
        lab.coordinator.kill()
        lab.coordinator.wait()
        lab.start_coordinator()
        lab.exporters["one"].wait(timeout=30)  # it ends with its coordinator; a supervisor starts it again
        lab.start_exporter("one")
        threading.Thread(target=rival).start()

    when_started(restart)
    suite = sleep_suite(["a"], blocks=2, sleep_s=8.0)
    code, reader, log = measured(suite, boards, tmp_path / "out")
    assert ended.wait(60)
    assert rivals and "contested: pi-a" in rivals[-1], rivals
    assert code == 0 and [counts(rep) for rep in reader.repetitions] == [True] * 2, log
    assert until(lambda: seen(farms(), "pi-a").owner is None)


def test_a_board_that_hangs_is_power_cycled_once_no_repetition_can_run_there_and_its_record_says_so(
    lab, farms, farm_boards, when_started, sleep_suite, tmp_path, power_relay, monkeypatch
):
    monkeypatch.setattr("tunebench.harness.planning.job.LEASE_MARGIN_S", 6.0)
    cable = Relay(lab.ssh.endpoint.port)
    lab.start_exporter("rack", ports=[cable.port])
    farm = farms()
    add_place(farm, "pi", "rack", board="rpi4")
    until(lambda: seen(farm, "pi") and seen(farm, "pi").problem is None)
    known_hosts = tmp_path / "known_hosts"
    _, key = Path(lab.ssh.endpoint.known_hosts).read_text().split(" ", 1)
    known_hosts.write_text(f"[127.0.0.1]:{cable.port} {key}")
    hung_s: list[float] = []
    cycled_s: list[float] = []

    def hang(planned: Planned) -> None:
        if planned.block == 1 and not hung_s:
            hung_s.append(time.monotonic())
            cable.unplug()

    def switched(value: str) -> None:
        if value == "1":
            cycled_s.append(time.monotonic())
            cable.plug_in()

    when_started(hang)
    monkeypatch.setattr(power_relay, "switched", staticmethod(switched))
    boards = farm_boards(
        power="place", timeouts={"comeback_s": 2.0, "connect_s": 1.0}, known_hosts=str(known_hosts)
    )
    suite = sleep_suite(["a"], blocks=3, deadline_s=5.0)
    code, reader, log = measured(suite, boards, tmp_path / "out")
    cable.close()
    assert code == 0 and [counts(rep) for rep in reader.repetitions] == [True] * 3, log
    assert [value for _, value in power_relay.asked] == ["0", "1"], "once, and by the place's own relay"
    # Deadline and half of the margin: until then the board might have been measuring, only its link gone.
    assert cycled_s[0] - hung_s[0] >= 5.0 + 3.0
    cycles = [rep.seen.power_cycled for rep in reader.repetitions]
    assert cycles[0] is cycles[2] is None and cycles[1].startswith("place pi cycled its power after ")
    assert "a repetition may be running for" in log
    assert seen(farm, "pi").owner is None
