"""The Joulescope adapter against a fake driver that follows the real one's documentation; no instrument was ever met."""

from __future__ import annotations

import importlib.util
import threading
import time

import pytest

from tunebench.targets.meters import MeterError, open_meter
from tunebench.targets.meters.joulescope import JoulescopeMeter, Keys

KEYS = Keys(kind="joulescope", scope="dc_input")


class FakeDriver:
    """What ``pyjoulescope_driver.Driver`` does for a JS220: one statistics message a block, from a thread of its own."""

    paths: tuple[str, ...] = ("u/js220/001234",)

    def __init__(self) -> None:
        self.published: dict[str, object] = {}
        self.opened: list[str] = []
        self.finalized = False
        self._stop = threading.Event()

    def device_paths(self) -> list[str]:
        return list(self.paths)

    def open(self, path: str) -> None:
        self.opened.append(path)

    def close(self, path: str) -> None:
        self.opened.remove(path)

    def publish(self, topic: str, value: object) -> None:
        self.published[topic] = value
        if topic.endswith("/s/stats/ctrl") and not value:
            self._stop.set()

    def finalize(self) -> None:
        self.finalized = True

    def subscribe(self, topic: str, flags: str, callback) -> None:
        assert flags == "pub"
        threading.Thread(target=self._send, args=(topic, callback), daemon=True).start()

    def _send(self, topic: str, callback) -> None:
        block_s = self.published[f"{self.paths[0]}/s/stats/scnt"] / 1_000_000
        begun_s, end_s, energy_j = time.monotonic() - 100.0, 100.0, 50.0
        while not self._stop.is_set():
            end_s += block_s
            self._stop.wait(max(0.0, begun_s + end_s - time.monotonic()))
            energy_j += 4.0 * block_s
            callback(
                topic,
                {
                    "time": {"range": {"value": [end_s - block_s, end_s], "units": "s"}},
                    "signals": {"power": {"avg": {"value": 4.0, "units": "W"}}},
                    "accumulators": {"energy": {"value": energy_j, "units": "J"}},
                },
            )


def test_blocks_become_power_at_their_middle_and_the_accumulator_goes_along():
    meter = JoulescopeMeter(FakeDriver, KEYS.model_copy(update={"rate_hz": 100.0}))
    meter.open()
    assert meter.info.id == "js220"
    meter.start()
    begun_s = time.monotonic()
    time.sleep(0.6)
    trace = meter.stop()
    driver = meter._driver
    meter.close()
    assert driver.published["u/js220/001234/s/stats/scnt"] == 10_000
    assert driver.finalized
    assert set(trace.power_w) == {4.0}
    assert 40 < trace.n < 70
    assert trace.t_s[0] == pytest.approx(begun_s, abs=0.06)
    spent_j = trace.energy_j[-1] - trace.energy_j[0]
    assert spent_j == pytest.approx(4.0 * (trace.t_s[-1] - trace.t_s[0]), rel=0.01)
    assert trace.t_bound_s <= 0.03


def test_several_instruments_need_a_serial_number_and_none_is_told():
    class Two(FakeDriver):
        paths = ("u/js220/001234", "u/js220/005678")

    class Nothing(FakeDriver):
        paths = ()

    with pytest.raises(
        MeterError, match=r"several with serial \(any\); plugged in: u/js220/001234, u/js220/005678"
    ):
        JoulescopeMeter(Two, KEYS).open()
    with pytest.raises(MeterError, match=r"none with serial \(any\); plugged in: none"):
        JoulescopeMeter(Nothing, KEYS).open()


def test_a_block_of_an_unknown_form_is_an_error_and_no_value():
    meter = JoulescopeMeter(FakeDriver, KEYS)
    meter.start()
    meter._on_statistics("x", {"time": {}})
    trace = meter.stop()
    assert trace.n == 0
    assert "a block of an unknown form: KeyError" in trace.errors[0]


@pytest.mark.skipif(
    importlib.util.find_spec("pyjoulescope_driver") is not None, reason="the driver is installed"
)
def test_without_its_driver_the_error_says_what_to_install():
    with pytest.raises(MeterError, match=r"install it: pip install 'tunebench\[joulescope\]'"):
        open_meter({"kind": "joulescope", "scope": "dc_input"})
