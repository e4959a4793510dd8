"""The sampler: a steady pace whatever a source does, no value twice, every null with its reason."""

from __future__ import annotations

import gc
import json
import os
import threading
import time

import pytest

from tunebench.targets.agent.job.sampler import MAX_HANGS, Sampler, summary
from tunebench.targets.agent.linux.sysfs import File, bounded
from tunebench.targets.agent.sensors.base import Channel, FileSensor, Sensor
from tunebench.targets.agent.sensors.discover import discover

PERIOD_S = 0.02


def channel(identifier: str) -> Channel:
    return Channel(identifier, identifier, "power", "W", "module", "test", None)


def steady(identifier: str = "steady_w") -> Sensor:
    return Sensor([channel(identifier)], lambda: [1.0])


class Hanging(Sensor):
    """A source whose reads wait for ever, as in a driver that lost its chip; ``answers`` lets it come back."""

    def __init__(self, after: int = 0) -> None:
        self.reads, self.answers, self.after = 0, threading.Event(), after
        super().__init__([channel("hanging_w")])

    def read(self) -> list[float | None]:
        self.reads += 1
        if self.reads > self.after:
            self.answers.wait(30)
        return [float(self.reads)]


def run(tmp_path, sensors, *, seconds, period_s=PERIOD_S, during=None):
    """Sample at a pace as the supervisor does; returns rows, what the exit record says, and the longest call."""
    path = tmp_path / "samples.jsonl"
    sampler = Sampler(str(path), sensors, period_s)
    end, longest = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        before = time.monotonic()
        due_ns = sampler.sample()
        longest = max(longest, time.monotonic() - before)
        if during is not None:
            during(sampler)
        time.sleep(max(0.0, due_ns / 1e9 - time.monotonic()))
    sampler.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return sampler, rows, longest


def test_a_source_that_hangs_costs_its_own_values_and_nothing_else(tmp_path):
    hanging = Hanging(after=3)
    sampler, rows, longest = run(tmp_path, [steady("a_w"), hanging, steady("b_w")], seconds=1.5)
    report = summary(sampler, 0.0)
    assert longest < 0.2  # nobody waits for it
    assert [row[2] for row in rows[:3]] == [1.0, 2.0, 3.0]
    assert {row[2] for row in rows[3:]} == {None}
    assert all(row[1] == 1.0 for row in rows)
    # One sample is lost until the source is known to hang; after that the others keep their pace.
    assert sum(row[3] is None for row in rows) == 1
    assert report["max_gap_s"] < 0.3 + 5 * PERIOD_S
    assert report["channels"]["hanging_w"]["n"] == 3
    (reason,) = {name.split(",")[0] for name in report["channels"]["hanging_w"]["reasons"]}
    assert reason == "no answer within 0.3 s"
    assert hanging.reads == 4
    hanging.answers.set()


@pytest.mark.slow
def test_what_never_answered_is_missing_by_name(tmp_path):
    hanging = Hanging()
    sampler, _, _ = run(tmp_path, [hanging, steady()], seconds=1.6)
    assert set(sampler.silent()) == {"hanging_w"}
    assert "no answer within 0.3 s" in sampler.silent()["hanging_w"]
    assert "given up" in " ".join(sampler.counts["hanging_w"].reasons)
    hanging.answers.set()


@pytest.mark.slow
def test_a_source_that_comes_back_is_read_again_and_its_late_answer_is_dropped(tmp_path):
    hanging = Hanging(after=2)

    def revive(sampler: Sampler) -> None:
        if sampler.counts["hanging_w"].errors > 3:
            hanging.answers.set()

    _, rows, _ = run(tmp_path, [steady(), hanging], seconds=1.2, during=revive)
    values = [row[2] for row in rows]
    assert values[:2] == [1.0, 2.0]
    assert 3.0 not in values  # answered long after it was asked
    assert values[-1] is not None
    known = [value for value in values if value is not None]
    assert known == sorted(set(known))  # nothing twice


@pytest.mark.slow
def test_a_source_that_hangs_again_and_again_is_given_up(tmp_path):
    class Lame(Sensor):
        def __init__(self) -> None:
            self.reads = 0
            super().__init__([channel("lame_w")])

        def read(self) -> list[float | None]:
            self.reads += 1
            time.sleep(0.45)
            return [1.0]

    lame = Lame()
    sampler, rows, longest = run(tmp_path, [lame, steady()], seconds=2.5)
    assert lame.reads == MAX_HANGS
    assert longest < 0.2
    assert {row[1] for row in rows} == {None}
    assert f"{MAX_HANGS} times: given up" in " ".join(sampler.counts["lame_w"].reasons)


def test_a_sensor_that_raises_is_a_reason_and_no_end(tmp_path):
    def broken() -> list[float | None]:
        raise ValueError("three bytes of nothing")

    sampler, rows, _ = run(tmp_path, [Sensor([channel("x_w")], broken), steady()], seconds=0.2)
    assert {row[1] for row in rows} == {None}
    assert {row[2] for row in rows} == {1.0}
    assert sampler.silent() == {"x_w": "ValueError: three bytes of nothing"}


def test_errors_and_refusals_are_counted_apart_with_their_reasons(tmp_path):
    class Moody(Sensor):
        def __init__(self) -> None:
            self.turn = -1
            super().__init__([channel("x_w")])

        def read(self) -> list[float | None]:
            self.turn += 1
            if self.turn == 1:
                self.reason = "the driver timed out (ETIMEDOUT)"
                return [None]
            if self.turn == 2:
                self.refused, self.reason = True, "labels swapped"
                return [None]
            return [1.0]

    sampler = Sampler(str(tmp_path / "s"), [Moody()], PERIOD_S)
    for _ in range(4):
        sampler.sample()
    sampler.close()
    assert summary(sampler, 0.0)["channels"]["x_w"] == {
        "n": 2,
        "errors": 1,
        "refused": 1,
        "reasons": {"the driver timed out (ETIMEDOUT)": 1, "labels swapped": 1},
    }


def test_what_changes_slowly_is_read_rarely_and_is_null_between(tmp_path):
    reads = []
    slow = Sensor([channel("slow_w")], lambda: [float(len(reads) or reads.append(1) or 0)], every_s=0.2)
    sampler, rows, _ = run(tmp_path, [slow, steady()], seconds=0.5)
    known = [row[0] for row in rows if row[1] is not None]
    assert 2 <= len(known) <= 4
    assert known[1] - known[0] >= 0.2e9
    counts = sampler.counts["slow_w"]
    assert (counts.n, counts.errors) == (len(known), 0)  # what was not asked is no error


def test_the_rate_is_the_one_that_was_kept(tmp_path):
    # On a machine that is busy with other things nobody keeps a pace all the time: one second of five.
    for _ in range(5):
        sampler, rows, _ = run(tmp_path, [steady()], seconds=1.0)
        rate_hz = summary(sampler, 0.0)["rate_hz"]
        # What is told is what was kept, and never more than was asked for.
        assert rate_hz == pytest.approx((len(rows) - 1) / ((rows[-1][0] - rows[0][0]) / 1e9))
        assert sampler.n == len(rows)
        assert rate_hz <= 1.01 / PERIOD_S
        if rate_hz >= 0.8 / PERIOD_S:
            break
    else:
        pytest.fail(f"{rate_hz:.1f} Hz, {1 / PERIOD_S:.0f} were asked for")


def test_a_rail_that_dies_in_mid_run_leaves_the_rest_of_the_board(tmp_path, simulated):
    tree = simulated("orin-nano-jp6")
    discovery = discover(str(tree))
    tree.power["VDD_SOC"][0].write_text("")  # after it was found
    sampler, rows, longest = run(tmp_path, discovery.sensors, seconds=0.5)
    column = [channel.id for channel in sampler.channels].index("cpu_temp_c") + 1
    assert {row[column] for row in rows} == {47.687}
    assert longest < 0.2
    assert sampler.silent() == {"vdd_soc_w": "VDD_SOC: the file is empty"}
    assert sampler.counts["vdd_in_w"].n == sampler.n


def test_a_file_says_why_it_gives_nothing(tmp_path):
    path = tmp_path / "value"
    file = File(str(path))
    assert (file.number(), file.error) == (None, "no such file")
    path.write_text("12\n")
    assert (file.number(0.5), file.error) == (6.0, None)
    path.write_text("")
    assert (file.number(), file.error) == (None, "the file is empty")
    path.write_text("nothing")
    assert (file.number(), file.error) == (None, "not a number: 'nothing'")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    sensor = FileSensor(channel("x_w"), File(str(fifo)))
    assert (sensor.read(), sensor.reason) == ([None], "no answer: the read would block")


def test_a_call_that_hangs_is_left_behind():
    release = threading.Event()
    start = time.monotonic()
    assert bounded(lambda: release.wait(30), 0.1, "late") == "late"
    assert time.monotonic() - start < 5
    release.set()
    assert bounded(lambda: 7, 5) == 7


def test_a_descriptor_is_closed_by_the_process_that_opened_it_only(tmp_path):
    """A job's supervisor is forked by a process that has looked at sensors; it reuses their numbers."""
    path = tmp_path / "value"
    path.write_text("1\n")
    file = File(str(path))
    assert file.number() == 1
    child = os.fork()
    if child == 0:
        os.closerange(3, 64)
        reused = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
        file.close()
        alive = all(os.fstat(descriptor) for descriptor in reused)
        os._exit(0 if alive else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert file.number() == 1


def test_sensors_free_their_descriptors_without_the_garbage_collector(simulated):
    tree = simulated("orin-nano-jp6")
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        discovery = discover(str(tree))
        assert len(os.listdir("/proc/self/fd")) > before
        del discovery
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()
