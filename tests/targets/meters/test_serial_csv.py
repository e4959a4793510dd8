"""A microcontroller on a serial port, which is a real pty here: its own clock, wraps, torn lines, unplugging."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from tunebench.targets.meters import MeterError, open_meter
from tunebench.targets.meters.arrival import to_host
from tunebench.targets.meters.serial_csv import Sample, Unwrapper, parse_line


def _spec(device, **more) -> dict:
    return {"kind": "serial-csv", "scope": "dc_input", "port": str(device.link), **more}


def _read(meter, seconds: float):
    meter.start()
    time.sleep(seconds)
    return meter.stop()


def test_lines_become_power_on_the_hosts_clock_within_the_bound(serial):
    device = serial(hz=200.0, ppm=400.0)
    step_s = time.monotonic() + 1.2
    device.milliwatts = lambda now_s: 3000.0 if now_s < step_s else 7000.0
    with open_meter(_spec(device)) as meter:
        assert meter.info.clock == "host"
        assert 100 < meter.info.rate_hz < 250
        time.sleep(max(0.0, step_s - time.monotonic() - 0.5))
        trace = _read(meter, 1.2)
    assert trace.errors == []
    assert {round(power, 6) for power in trace.power_w} == {3.0, 7.0}
    assert trace.gpio[:2] in ([0, 1], [1, 0])
    first_high = next(i for i, p in enumerate(trace.power_w) if p > 5)
    assert 0.01 <= trace.t_bound_s < 0.04
    slack_s = trace.t_bound_s + 0.03  # the fake's own loop on a busy machine
    assert trace.t_s[first_high - 1] - slack_s <= step_s <= trace.t_s[first_high] + slack_s


@pytest.mark.slow
def test_the_32_bit_microsecond_counter_may_wrap(serial):
    device = serial(hz=200.0, start_us=(1 << 32) - 1_000_000)
    with open_meter(_spec(device)) as meter:
        trace = _read(meter, max(0.5, device._begun_s + 1.5 - time.monotonic()))
    assert trace.errors == []
    assert max(b - a for a, b in zip(trace.t_s, trace.t_s[1:], strict=False)) < 0.3
    assert all(b > a for a, b in zip(trace.t_s, trace.t_s[1:], strict=False))


@pytest.mark.slow
def test_torn_lines_and_garbage_are_gaps_and_never_values(serial):
    device = serial(hz=100.0)

    def mangle(index: int, line: bytes) -> bytes:
        if index % 10 == 3:
            return line[: len(line) // 2]  # its end is lost: it runs into the next line
        if index % 10 == 7:
            return b"\xff\x00#!\n"
        if index % 10 == 9:
            return line[3:]  # the first digits of the time are lost
        return line

    with open_meter(_spec(device)) as meter:
        device.mangle = mangle
        trace = _read(meter, 1.0)
    assert {None if p is None else round(p, 6) for p in trace.power_w} == {5.0, None}
    assert trace.n > 40
    assert any("not a line t_us,mV,mA[,gpio]" in error for error in trace.errors)
    assert any("does not follow the line before" in error for error in trace.errors)


@pytest.mark.slow
def test_a_device_that_is_unplugged_leaves_a_gap_and_is_read_again_when_it_is_back(serial):
    device = serial(hz=100.0)
    with open_meter(_spec(device)) as meter:
        meter.start()
        time.sleep(0.3)
        device.unplug()
        time.sleep(0.4)
        device.restart(1_000)
        device.plug()
        time.sleep(1.2)
        trace = meter.stop()
    assert any("unplugged: " in error for error in trace.errors)
    assert any("restarted" in error for error in trace.errors)
    assert trace.max_gap_s > 0.3
    assert trace.power_w[0] is not None
    assert trace.power_w[-1] is not None
    assert all(b >= a for a, b in zip(trace.t_s, trace.t_s[1:], strict=False))


def test_a_port_that_says_nothing_or_something_else_is_told(serial, tmp_path, monkeypatch):
    monkeypatch.setattr("tunebench.targets.meters.serial_csv.FIRST_LINE_S", 0.4)
    device = serial(hz=50.0)
    device.mangle = lambda _, line: b"hello\n"
    with pytest.raises(
        MeterError, match=r"no lines t_us,mV,mA within 0.4 s at 115200 baud; the last line was b'hello'"
    ):
        open_meter(_spec(device))
    with pytest.raises(MeterError, match="No such file"):
        open_meter({"kind": "serial-csv", "scope": "dc_input", "port": str(tmp_path / "none")})
    (tmp_path / "file").write_text("1,2,3\n")
    with pytest.raises(MeterError, match="not a serial port"):
        open_meter({"kind": "serial-csv", "scope": "dc_input", "port": str(tmp_path / "file")})
    with pytest.raises(MeterError, match="key 'baud' is 12345"):
        open_meter(_spec(device, baud=12345))


def test_the_port_runs_raw_at_the_wanted_speed(serial):
    import termios

    device = serial(hz=100.0)
    with open_meter(_spec(device, baud=230400)):
        port = (
            os.open(device.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            if os.geteuid() == 0
            else device._slave
        )
        mode = termios.tcgetattr(port)
        if port != device._slave:
            os.close(port)
    assert mode[4] == mode[5] == termios.B230400
    assert mode[3] & (termios.ECHO | termios.ICANON) == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"12,5000,1000", 5.0),
        (b" 12 , 5000.5 , 1000.25 , 1 \r", 5000.5 * 1000.25e-6),
        (b"12,5000", "not a line"),
        (b"12,5000,1e3", "not a line"),
        (b"12,5000,nan", "not a line"),
        (b"-12,5000,1000", "not a line"),
        (b"12,5000,-900", "wrong way round"),
        (b"12,5000,-3", -0.015),
        (b"99999999999999999999999,5000,1", "not a line"),
    ],
)
def test_a_line_is_read_or_refused(line, expected):
    reading = parse_line(line, 0.0)
    if isinstance(expected, str):
        assert expected in reading
    else:
        assert reading.power_w == pytest.approx(expected)


def test_a_jump_of_the_devices_time_is_refused_until_two_lines_agree():
    unwrapper = Unwrapper()
    assert unwrapper.add(Sample(10_000_000, 0.0, 1.0, None)) is None
    assert unwrapper.add(Sample(10_100_000, 0.1, 1.0, None)) is None
    assert "does not follow" in unwrapper.add(Sample(910_200_000, 0.2, 1.0, None))
    assert unwrapper.add(Sample(10_300_000, 0.3, 1.0, None)) is None
    assert "does not follow" in unwrapper.add(Sample(5_000, 0.4, 1.0, None))
    assert "restarted" in unwrapper.add(Sample(105_000, 0.5, 1.0, None))
    assert [len(segment) for segment in unwrapper.segments] == [3, 2]


def test_device_times_are_laid_over_the_hosts_within_the_bound_for_any_drift_and_delay():
    random = np.random.default_rng(11)
    for _ in range(200):
        n, rate, ppm = int(random.integers(30, 400)), random.uniform(5, 200), random.uniform(-20_000, 20_000)
        offset, least_s = random.uniform(-1e5, 1e5), random.uniform(0, 0.02)
        true = 100.0 + np.arange(n) / rate
        own = (true - offset) * (1 + ppm * 1e-6)
        delay = least_s + random.exponential(0.01, n)
        # The premise: near the start and near the end some line was quick.
        delay[int(random.integers(0, n // 4))] = random.uniform(least_s, 0.02)
        delay[-1 - int(random.integers(0, n // 4))] = random.uniform(least_s, 0.02)
        host_s, bound_s = to_host(list(own), list(true + delay), 0.02)
        assert np.max(np.abs(np.array(host_s) - true)) <= bound_s + 1e-9
        assert bound_s <= 0.06
