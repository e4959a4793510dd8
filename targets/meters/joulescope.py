"""A Joulescope JS220 or JS110 through Jetperch's ``pyjoulescope_driver`` (extra ``joulescope``).

The instrument averages blocks of samples and sends their mean power and its energy accumulator; block times are of
its own clock and laid over the host's by when they arrive (:mod:`tunebench.targets.meters.arrival`). Written against
the driver's documentation and its own examples; never run on an instrument.
"""

from __future__ import annotations

import importlib
import math
import threading
import time
from typing import Any, Literal

from pydantic import Field

from tunebench.targets.meters.arrival import to_host
from tunebench.targets.meters.base import Errors, Meter, MeterError, MeterInfo, MeterTrace
from tunebench.targets.meters.keys import MeterKeys

#: Native samples a second, of which ``scnt`` make a block.
_NATIVE_HZ = {"js220": 1_000_000, "js110": 2_000_000}
#: A block reaches the host within this, beyond its end (USB, driver thread).
_DELAY_S = 0.02


class Keys(MeterKeys):
    """A Joulescope JS220 or JS110 (extra 'joulescope')."""

    kind: Literal["joulescope"]
    serial: str | None = Field(default=None, description="where several are plugged in, e.g. '001234'")
    rate_hz: float = Field(default=50.0, gt=0, le=1000)

    @property
    def exclusive_name(self) -> str:
        """Return the instrument: its serial number, or the only one that is plugged in."""
        return f"{self.kind} {self.serial or 'the only one'}"


def make(keys: Keys) -> JoulescopeMeter:
    """Return the meter that the keys describe.

    Raises:
        MeterError: the driver is not installed; says how to get it.
    """
    try:
        driver = importlib.import_module("pyjoulescope_driver")
    except ImportError as error:
        raise MeterError(
            f"joulescope meter: its driver cannot be imported ({error}); install it: pip install 'tunebench[joulescope]'"
        ) from None
    return JoulescopeMeter(driver.Driver, keys)


class JoulescopeMeter(Meter):
    """One Joulescope; the module's text says how it is read.

    Args:
        driver: ``pyjoulescope_driver.Driver``, or what behaves like it.
    """

    def __init__(self, driver: Any, keys: Keys) -> None:
        self._make_driver = driver
        self._scope = keys.scope
        self._serial = keys.serial
        self._rate_hz = keys.rate_hz
        self._driver: Any = None
        self._path = ""
        self._lock = threading.Lock()
        self._blocks: list[tuple[float, float, float, float, float]] | None = None
        self._errors = Errors()

    @property
    def info(self) -> MeterInfo:
        """Return what the instrument is; its model is known once it is open."""
        return MeterInfo(
            id=self._path.split("/")[1] if self._path else "",
            kind="joulescope",
            scope=self._scope,
            source="joulescope statistics power",
            quantum_w=None,
            rate_hz=self._rate_hz,
            clock="host",
        )

    def open(self) -> None:
        """Find the instrument and let it send statistics.

        Raises:
            MeterError: none or several are plugged in, or the driver refuses.
        """
        try:
            self._driver = self._make_driver()
            self._path = self._choose(sorted(self._driver.device_paths()))
            model = self._path.split("/")[1]
            self._driver.open(self._path)
            if model == "js110":
                self._publish("s/i/range/select", "auto")
                for signal in "ivp":  # the host averages
                    self._publish(f"s/{signal}/ctrl", "on")
            else:
                self._publish("s/i/range/mode", "auto")
            self._publish("s/stats/scnt", round(_NATIVE_HZ.get(model, 1_000_000) / self._rate_hz))
            self._publish("s/stats/ctrl", 1)
            # One subscription for as long as it is open: the driver tells them apart by the callable's identity.
            self._driver.subscribe(f"{self._path}/s/stats/value", "pub", self._on_statistics)
        except (RuntimeError, OSError, ValueError, TimeoutError) as error:
            raise MeterError(f"joulescope meter: {error}") from None

    def start(self) -> None:
        """Keep blocks from now on."""
        with self._lock:
            self._blocks, self._errors = [], Errors()

    def stop(self) -> MeterTrace:
        """Return the blocks since ``start``: mean power at the middle of each, the energy accumulator at its end."""
        with self._lock:
            blocks, self._blocks = self._blocks, None
        if blocks is None:
            raise MeterError("joulescope meter: stop() without start()")
        if not blocks:
            self._errors.add("no statistics came from the instrument")
            return MeterTrace(self.info, [], [], None, self._errors.list())
        ends_s, bound_s = to_host([block[0] for block in blocks], [block[1] for block in blocks], _DELAY_S)
        return MeterTrace(
            self.info,
            [end - block[2] / 2 for end, block in zip(ends_s, blocks, strict=True)],
            [block[3] if math.isfinite(block[3]) else None for block in blocks],
            # The counter is known at a block's end; half a block earlier it was half a block's energy less.
            [block[4] - block[3] * block[2] / 2 for block in blocks] if all(map(_whole, blocks)) else None,
            self._errors.list(),
            bound_s,
        )

    def close(self) -> None:
        """Stop the statistics and let go of the driver."""
        driver, self._driver = self._driver, None
        if driver is None:
            return
        try:
            if self._path:
                driver.publish(f"{self._path}/s/stats/ctrl", 0)
                driver.close(self._path)
            driver.finalize()
        except (RuntimeError, OSError, ValueError, TimeoutError):
            pass  # unplugged: there is nothing left to close

    def _choose(self, paths: list[str]) -> str:
        wanted = [
            path
            for path in paths
            if self._serial is None or path.lower().endswith(f"/{self._serial.lower()}")
        ]
        if len(wanted) == 1:
            return wanted[0]
        there = ", ".join(paths) or "none"
        which = "none" if not wanted else "several"
        raise MeterError(
            f"joulescope meter: {which} with serial {self._serial or '(any)'}; plugged in: {there}"
        )

    def _publish(self, topic: str, value: Any) -> None:
        self._driver.publish(f"{self._path}/{topic}", value)

    def _on_statistics(self, _topic: str, value: Any) -> None:
        """Take in a block; called by the driver's thread, in which nothing may be raised."""
        arrived_s = time.monotonic()
        with self._lock:
            if self._blocks is None:
                return
            try:
                start_s, end_s = value["time"]["range"]["value"]
                power_w = float(value["signals"]["power"]["avg"]["value"])
                energy_j = float(value["accumulators"]["energy"]["value"])
                self._blocks.append((float(end_s), arrived_s, float(end_s - start_s), power_w, energy_j))
            except (KeyError, TypeError, ValueError) as error:
                self._errors.add(f"a block of an unknown form: {type(error).__name__} {error}")


def _whole(block: tuple[float, float, float, float, float]) -> bool:
    return all(map(math.isfinite, block))
