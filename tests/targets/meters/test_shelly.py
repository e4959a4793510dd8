"""Shelly plugs over real HTTP on loopback, answering with captured replies."""

from __future__ import annotations

import time

import pytest

from tunebench.targets.meters import MeterError, open_meter


def _spec(plug, **more) -> dict:
    return {
        "kind": "shelly",
        "scope": "wall_ac",
        "host": plug.host,
        "rate_hz": 10.0,
        "timeout_s": 0.5,
        **more,
    }


def test_the_captured_gen2_answer_is_power_in_watts_and_a_counter_in_joules(plug):
    device = plug()
    with open_meter(_spec(device)) as meter:
        assert meter.info.scope == "wall_ac"
        assert meter.info.quantum_w == 0.1
        meter.start()
        time.sleep(0.35)
        trace = meter.stop()
    assert set(trace.power_w) == {25.7}
    assert trace.energy_j == pytest.approx([913.252 * 3600] * trace.n)
    assert 3 <= trace.n <= 5
    assert trace.errors == []
    assert 0 < trace.t_bound_s < 0.1
    assert set(device.asked) == {"/rpc/Switch.GetStatus?id=0"}


def test_the_captured_gen1_answer_counts_watt_minutes(plug):
    device = plug("shelly_gen1_status.json.txt")
    with open_meter(_spec(device, generation=1)) as meter:
        reading = meter.read()
    assert reading.power_w == 2.21
    assert reading.energy_j == 439237 * 60


def test_digest_authentication_takes_the_password_from_the_environment_and_keeps_the_challenge(
    plug, monkeypatch
):
    device = plug()
    device.password = 's3cret, "quoted"'
    monkeypatch.setenv("PLUG_PASSWORD", device.password)
    with open_meter(_spec(device, password_env="PLUG_PASSWORD")) as meter:
        assert meter.read().power_w == 25.7
        assert meter.read().power_w == 25.7
    assert device.unauthorised == 1


def test_a_missing_or_wrong_password_is_told_and_never_shown(plug, monkeypatch):
    device = plug()
    device.password = "right"
    with pytest.raises(MeterError, match="HTTP 401: it wants a password: set key 'password_env'"):
        open_meter(_spec(device))
    monkeypatch.delenv("PLUG_PASSWORD", raising=False)
    with pytest.raises(
        MeterError, match=r"environment variable PLUG_PASSWORD \(key 'password_env'\) is not set"
    ):
        open_meter(_spec(device, password_env="PLUG_PASSWORD"))
    monkeypatch.setenv("PLUG_PASSWORD", "hunter2")
    with pytest.raises(MeterError, match="HTTP 401: its password is wrong") as caught:
        open_meter(_spec(device, password_env="PLUG_PASSWORD"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (503, "HTTP 503: busy"),
        ("hang", "no answer: timed out"),
        ("cut", "no answer: "),
        ("not json", "not a JSON answer of a Shelly"),
        ('{"id":0,"output":true}', "no power meter in this answer"),
        ("x" * 100_000, "an answer of more than 65536 bytes"),
        ('{"id":0,"apower":null,"errors":["power_meter:failure"]}', "the meter reports: power_meter:failure"),
    ],
    ids=["503", "hang", "cut", "garbage", "no-meter", "huge", "errors"],
)
def test_a_faulty_answer_is_a_gap_with_its_reason_and_the_next_one_counts(plug, fault, reason):
    device = plug()
    with open_meter(_spec(device)) as meter:
        device.faults = [fault]
        meter.start()
        give_up_s = time.monotonic() + 3
        while time.monotonic() < give_up_s and len(device.asked) < 4:
            time.sleep(0.02)
        time.sleep(0.1)
        trace = meter.stop()
    assert trace.power_w[0] is None
    assert 25.7 in trace.power_w
    assert reason in trace.errors[0]
    assert len(trace.errors) == 1


def test_a_read_that_was_broken_off_is_one_gap_and_the_meter_reads_on(plug):
    device = plug()
    with open_meter(_spec(device, timeout_s=5.0)) as meter:
        device.faults = ["hang"]
        meter.start()
        time.sleep(0.2)
        meter.abort()
        assert meter.read().power_w == 25.7
        meter.stop()


@pytest.mark.parametrize("host", ["no such plug", "127.0.0.1:port", "::1"])
def test_a_host_that_is_none_is_told(host):
    with pytest.raises(MeterError, match=f"shelly meter {host}: no answer: "):
        open_meter({"kind": "shelly", "scope": "wall_ac", "host": host})


def test_a_plug_that_is_not_there_is_told(plug):
    device = plug()
    device.close()
    with pytest.raises(MeterError, match=f"shelly meter {device.host}: no answer: .*refused"):
        open_meter(_spec(device))


@pytest.mark.parametrize(
    ("name", "generation"), [("shelly_gen2_switch_getstatus.json.txt", 2), ("shelly_gen1_status.json.txt", 1)]
)
def test_power_is_cut_and_given_back_and_both_are_verified(plug, name, generation):
    device = plug(name)
    with open_meter(_spec(device, generation=generation)) as meter:
        device.asked.clear()
        meter.power_cycle(off_s=0.05)
    assert device.output is True
    off, on = ("on=false", "on=true") if generation == 2 else ("turn=off", "turn=on")
    switched = [uri.split("&")[-1].split("?")[-1] for uri in device.asked if "turn" in uri or "Set" in uri]
    assert switched == [off, on]


def test_a_relay_that_does_not_obey_is_an_error(plug, monkeypatch):
    monkeypatch.setattr("tunebench.targets.meters.shelly._SWITCH_S", 0.3)
    device = plug()
    with open_meter(_spec(device)) as meter:
        device.sticky = True
        with pytest.raises(MeterError, match="was told to switch off and has not within"):
            meter.power_cycle(off_s=0.0)
