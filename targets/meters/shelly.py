"""Shelly plugs and relays over HTTP: power, energy counter, power cycling.

Gen2 and newer: RPC ``Switch.GetStatus`` / ``Switch.Set``, digest authentication with SHA-256. Gen1: ``/meter/N`` and
``/relay/N``, basic authentication. Source: Shelly's API documentation. The answers are read by the parser that
``tunebench sensors parse shelly`` shows. A plug averages over about a second and its power is quantised to 0.1 W:
it is a meter of long windows.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebench.targets.agent.formats import read as parse
from tunebench.targets.agent.protocol import ProtocolError, parse_object
from tunebench.targets.meters.base import MeterError, MeterInfo
from tunebench.targets.meters.keys import MeterKeys
from tunebench.targets.meters.polled import PolledMeter, ReadError, Reading

if TYPE_CHECKING:
    from tunebench.targets.meters.http_get import HttpDevice

#: Resolution of ``apower``.
_QUANTUM_W = 0.1
#: How long a relay may take to do what it was told.
_SWITCH_S = 5.0


class Keys(MeterKeys):
    """A Shelly plug or relay in the local network."""

    kind: Literal["shelly"]
    host: str = Field(min_length=1, description="name or address, optionally with :port")
    channel: int = Field(default=0, ge=0, le=15, description="the switch's id")
    generation: Literal[1, 2] = Field(default=2, description="2 stands for Gen2 and newer")
    user: str = Field(default="admin", min_length=1)
    password_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="name of the environment variable that holds the password",
    )
    rate_hz: float = Field(default=1.0, gt=0, le=10)
    timeout_s: float = Field(default=3.0, gt=0, le=30)

    @property
    def exclusive_name(self) -> str:
        """Return the switch: reading the others of the same plug disturbs nobody."""
        return f"{self.kind} {self.host} channel {self.channel}"


def make(keys: Keys) -> ShellyMeter:
    """Return the meter that the keys describe."""
    return ShellyMeter(keys)


class ShellyMeter(PolledMeter):
    """One switch of a Shelly. One connection, kept open; opened anew after an error."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(1 / keys.rate_hz)
        self._host = keys.host
        self._scope = keys.scope
        self._channel = keys.channel
        self._generation = keys.generation
        self._user = keys.user
        self._password_env = keys.password_env
        self._timeout_s = keys.timeout_s
        self._device: HttpDevice | None = None

    @property
    def info(self) -> MeterInfo:
        """Return the switch, without its address; a Gen2 device has steps of 0.1 W."""
        gen2 = self._generation >= 2
        return MeterInfo(
            id=f"switch {self._channel}",
            kind="shelly",
            scope=self._scope,
            source="shelly Switch.GetStatus apower" if gen2 else "shelly gen1 meter power",
            quantum_w=_QUANTUM_W if gen2 else None,
            rate_hz=1 / self.period_s,
            clock="host",
        )

    def open(self) -> None:
        """Open the connection and read once, to check that the plug answers.

        Raises:
            MeterError: the password's variable is not set, the plug does not answer, or has no power meter.
        """
        from tunebench.targets.meters.http_get import HttpDevice  # httpx takes a tenth of a second to import

        login: tuple[Literal["basic", "digest"], str, str] | None = None
        if self._password_env is not None:
            password = os.environ.get(self._password_env)
            if not password:
                raise MeterError(
                    f"{self._named}: environment variable {self._password_env} (key 'password_env') is not set"
                )
            login = ("digest" if self._generation >= 2 else "basic", self._user, password)
        self._device = HttpDevice(self._host, login, self._timeout_s)
        try:
            self.read()
        except ReadError as error:
            raise MeterError(f"{self._named}: {error}") from None

    def read(self) -> Reading:
        """Ask for the switch's power (W) and its energy counter (J)."""
        gen2 = self._generation >= 2
        text = self._get(f"/rpc/Switch.GetStatus?id={self._channel}" if gen2 else f"/meter/{self._channel}")
        reading = parse("shelly", text)
        if reading.total_w is None:
            raise ReadError(reading.reason or "no power in the answer")
        counters = [channel["value"] for channel in reading.channels if channel["kind"] == "energy"]
        return Reading(reading.total_w, counters[0] if len(counters) == 1 else None)

    def power_cycle(self, off_s: float = 5.0) -> None:
        """Switch off, verify, wait, switch on, verify.

        Raises:
            MeterError: the plug does not answer or does not obey; it is left on if it can be.
        """
        try:
            self._switch(False)
            time.sleep(off_s)
        finally:
            self._switch(True)

    def abort(self) -> None:
        """Break a request under way."""
        self.release()

    def release(self) -> None:
        """Close the connection."""
        if self._device is not None:
            self._device.close()

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _named(self) -> str:
        return f"shelly meter {self._host}"

    def _switch(self, on: bool) -> None:
        word = "on" if on else "off"
        gen2 = self._generation >= 2
        command = (
            f"/rpc/Switch.Set?id={self._channel}&on={str(on).lower()}"
            if gen2
            else f"/relay/{self._channel}?turn={word}"
        )
        asked = f"/rpc/Switch.GetStatus?id={self._channel}" if gen2 else f"/relay/{self._channel}"
        try:
            self._get(command)
            give_up_s = time.monotonic() + _SWITCH_S
            while time.monotonic() < give_up_s:
                state = parse_object(self._get(asked), "answer").get("output" if gen2 else "ison")
                if state is on:
                    return
                time.sleep(0.1)
        except (ReadError, ProtocolError) as error:
            raise MeterError(f"{self._named}: switching {word}: {error}") from None
        raise MeterError(f"{self._named}: was told to switch {word} and has not within {_SWITCH_S:g} s")

    def _get(self, uri: str) -> str:
        """Return the body of an answer with status 200; authenticates if it is asked to.

        Raises:
            ReadError: no answer in time, another status, or too long an answer.
        """
        if self._device is None:
            raise ReadError("it is not open")
        status, body = self._device.get(uri)
        if status == 401:
            how = (
                "its password is wrong"
                if self._password_env
                else "it wants a password: set key 'password_env'"
            )
            raise ReadError(f"HTTP 401: {how}")
        if status != 200:
            raise ReadError(f"HTTP {status}: {' '.join(body.split())[:120]}")
        return body
