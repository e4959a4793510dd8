"""hwmon meters on a simulated sysfs tree: found by name, label and address; a wrong shunt is an error."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tunebench.targets.meters import MeterError, open_meter
from tunebench.targets.meters import polled as polled_module


def _spec(root: Path, chip: str, **more) -> dict:
    return {"kind": "hwmon", "scope": "dc_input", "chip": chip, "root": str(root), "rate_hz": 200.0, **more}


def _ina226(sysfs, address="1-0040", power_uw=5_125_000, **more):
    return sysfs(
        "ina226",
        address,
        in0_input=2,
        in1_input=5100,
        curr1_input=1004,
        power1_input=power_uw,
        shunt_resistor=10000,
        **{"update_interval": 2, **more},
    )


def test_power_comes_from_the_power_register_with_the_drivers_quantum(sysfs, tmp_path):
    sysfs("nvme", None, in1_input=1)
    _ina226(sysfs)
    with open_meter(_spec(tmp_path, "ina226", shunt_uohm=10000)) as meter:
        assert meter.info.source == "hwmon ina226 power1_input"
        assert meter.info.id == "ina226 1-0040"
        assert meter.info.quantum_w == pytest.approx(0.00625)
        meter.start()
        time.sleep(0.15)
        trace = meter.stop()
    assert set(trace.power_w) == {5.125}
    assert trace.n > 10
    assert trace.errors == []
    assert trace.energy_j is None
    assert trace.rate_hz > 60
    assert trace.max_gap_s < 0.1


def test_volts_times_amperes_where_there_is_no_power_register(sysfs, tmp_path):
    sysfs("ina3221", "1-0041", in1_input=5000, curr1_input=2500, in1_label="VDD_IN")
    with open_meter(_spec(tmp_path, "ina3221", label="VDD_IN")) as meter:
        assert meter.read().power_w == pytest.approx(12.5)
        assert meter.info.source == "hwmon ina3221 in1_input x curr1_input"
        assert meter.info.quantum_w == pytest.approx(0.005)


def test_the_ina228_counter_is_kept_in_joules(sysfs, tmp_path):
    folder = sysfs(
        "ina228",
        "1-0045",
        in1_input=5000,
        power1_input=3_000_000,
        energy1_input=7_500_000,
        shunt_resistor=15000,
    )
    with open_meter(_spec(tmp_path, "ina228", shunt_uohm=15000)) as meter:
        meter.start()
        time.sleep(0.05)
        (folder / "energy1_input").write_text("9000000\n")
        time.sleep(0.05)
        trace = meter.stop()
    assert trace.energy_j[0] == pytest.approx(7.5)
    assert trace.energy_j[-1] == pytest.approx(9.0)


def test_a_channel_is_found_by_its_label_wherever_it_moved(sysfs, tmp_path):
    sysfs(
        "ina3221",
        "7-0040",
        index=9,
        in1_label="VDD_SOC",
        in1_input=5000,
        curr1_input=100,
        in3_label="VDD_IN",
        in3_input=5000,
        curr3_input=1000,
        in7_label="sum of shunt voltages",
        in7_input=8,
    )
    with open_meter(_spec(tmp_path, "ina3221", label="VDD_IN")) as meter:
        assert meter.read().power_w == pytest.approx(5.0)
    with pytest.raises(MeterError, match="no channel with label 'VDD_GPU'; labels: VDD_SOC, VDD_IN"):
        open_meter(_spec(tmp_path, "ina3221", label="VDD_GPU"))
    with pytest.raises(MeterError, match="say which with key 'label': VDD_SOC, VDD_IN"):
        open_meter(_spec(tmp_path, "ina3221"))


@pytest.mark.parametrize("address", ["0x41", "2-0041", "41"])
def test_of_several_alike_the_address_says_which(sysfs, tmp_path, address):
    _ina226(sysfs, "1-0040", power_uw=1_000_000)
    _ina226(sysfs, "2-0041", power_uw=2_000_000)
    with open_meter(_spec(tmp_path, "ina226", address=address)) as meter:
        assert meter.read().power_w == 2.0
    with pytest.raises(
        MeterError, match=r"several devices match \(1-0040, 2-0041\); say which with key 'address'"
    ):
        open_meter(_spec(tmp_path, "ina226"))
    with pytest.raises(MeterError, match="give it as '0x40' or '1-0040'"):
        open_meter(_spec(tmp_path, "ina226", address="first"))


def test_a_device_that_is_not_there_is_told_with_those_that_are(sysfs, tmp_path):
    _ina226(sysfs)
    sysfs("coretemp", None, temp1_input=40000)
    with pytest.raises(MeterError, match=r"no such device below .*; there are: coretemp, ina226 \(1-0040\)"):
        open_meter(_spec(tmp_path, "ina219"))


def test_a_shunt_that_differs_from_the_drivers_is_an_error(sysfs, tmp_path):
    _ina226(sysfs)
    with pytest.raises(MeterError) as caught:
        open_meter(_spec(tmp_path, "ina226", shunt_uohm=15000))
    message = str(caught.value)
    assert "the driver reckons with a shunt of 10000 uohm, the inventory says 15000" in message
    assert "shunt_resistor (as root)" in message


def test_a_shunt_that_cannot_be_checked_is_an_error(sysfs, tmp_path):
    sysfs("powerz", None, in0_input=5100, curr1_input=-700)
    with pytest.raises(MeterError, match="does not say which shunt"):
        open_meter(_spec(tmp_path, "powerz", shunt_uohm=5000))


def test_a_usb_tester_counts_either_direction_but_only_one(sysfs, tmp_path):
    folder = sysfs(
        "powerz", None, in0_input=5000, in0_label="VBUS", in1_input=1700, in1_label="CC1", curr1_input=-700
    )
    with open_meter(_spec(tmp_path, "powerz")) as meter:
        assert meter.read().power_w == pytest.approx(3.5)
        meter.start()
        time.sleep(0.05)
        (folder / "curr1_input").write_text("700\n")
        time.sleep(0.05)
        trace = meter.stop()
    assert "the current changed its direction" in trace.errors
    assert trace.power_w[-1] is None


def test_a_chip_is_not_read_faster_than_it_converts(sysfs, tmp_path):
    _ina226(sysfs, update_interval=140)
    with open_meter(_spec(tmp_path, "ina226")) as meter:
        assert meter.info.rate_hz == pytest.approx(1 / 0.14)
        assert meter.latency_s == pytest.approx(0.14)


def test_a_failed_read_is_a_gap_and_never_the_value_before(sysfs, tmp_path):
    folder = _ina226(sysfs)
    with open_meter(_spec(tmp_path, "ina226")) as meter:
        meter.start()
        time.sleep(0.05)
        (folder / "power1_input").write_text("garbage\n")
        time.sleep(0.1)
        (folder / "power1_input").write_text("6000000\n")
        time.sleep(0.05)
        trace = meter.stop()
    assert {5.125, None, 6.0} == set(trace.power_w)
    assert "power1_input: not a number: b'garbage\\n'" in trace.errors[0]
    assert trace.max_gap_s >= 0.08


def test_a_read_that_hangs_ends_neither_stop_nor_the_next_repetition(sysfs, tmp_path, monkeypatch):
    monkeypatch.setattr(polled_module, "STOP_S", 0.2)
    folder = _ina226(sysfs)
    meter = open_meter(_spec(tmp_path, "ina226"))
    meter.release()
    (folder / "power1_input").unlink()
    os.mkfifo(folder / "power1_input")  # opening it blocks, as a wedged bus does
    meter.start()
    time.sleep(0.05)
    began_s = time.monotonic()
    trace = meter.stop()
    assert time.monotonic() - began_s < 2
    assert trace.n == 0
    assert "a read hangs since" in trace.errors[-1]
    with pytest.raises(MeterError, match="a read has not come back"):
        meter.start()
    os.close(os.open(folder / "power1_input", os.O_RDWR))
    for thread in threading.enumerate():
        if thread.name == "meter-hwmon":
            thread.join(2)
    meter.close()
