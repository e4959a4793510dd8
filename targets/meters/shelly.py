"""Shelly plugs and relays over HTTP: power, energy counter, power cycling.

Gen2 and newer: RPC ``Switch.GetStatus`` / ``Switch.Set``, digest authentication with SHA-256. Gen1: ``/meter/N`` and
``/relay/N``, basic authentication. Source: Shelly's API documentation. The answers are read by the parser that
``tunebench sensors parse shelly`` shows. A plug averages over about a second and its power is quantised to 0.1 W:
it is a meter of long windows.
"""

from __future__ import annotations

import base64
import http.client
import os
import time
from typing import Literal

from pydantic import Field

from tunebench.targets.agent.formats import read as parse
from tunebench.targets.agent.protocol import ProtocolError, parse_object
from tunebench.targets.meters.base import MeterError, MeterInfo
from tunebench.targets.meters.digest import ChallengeError, Digest
from tunebench.targets.meters.keys import MeterKeys
from tunebench.targets.meters.polled import PolledMeter, ReadError, Reading

_MAX_ANSWER_B = 64 * 1024
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
        self._connection: http.client.HTTPConnection | None = None
        self._digest: Digest | None = None
        self._basic: str | None = None

    @property
    def info(self) -> MeterInfo:
        """The switch, not its address; 0.1 W steps of Gen2."""
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
        """Ask once.

        Raises:
            MeterError: the password's variable is not set, the plug does not answer, or has no power meter.
        """
        if self._password_env is not None:
            password = os.environ.get(self._password_env)
            if not password:
                raise MeterError(
                    f"{self._named}: environment variable {self._password_env} (key 'password_env') is not set"
                )
            if self._generation >= 2:
                self._digest = Digest(self._user, password)
            else:
                self._basic = "Basic " + base64.b64encode(f"{self._user}:{password}".encode()).decode()
        try:
            self.read()
        except ReadError as error:
            raise MeterError(f"{self._named}: {error}") from None

    def read(self) -> Reading:
        """Power in W and the energy counter in J of the switch."""
        gen2 = self._generation >= 2
        text = self._get(f"/rpc/Switch.GetStatus?id={self._channel}" if gen2 else f"/meter/{self._channel}")
        found = parse("shelly", text)
        if found.total_w is None:
            raise ReadError(found.reason or "no power in the answer")
        counters = [one["value"] for one in found.channels if one["kind"] == "energy"]
        return Reading(found.total_w, counters[0] if len(counters) == 1 else None)

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
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _named(self) -> str:
        return f"shelly meter {self._host}"

    def _switch(self, on: bool) -> None:
        word = "on" if on else "off"
        gen2 = self._generation >= 2
        told = (
            f"/rpc/Switch.Set?id={self._channel}&on={str(on).lower()}"
            if gen2
            else f"/relay/{self._channel}?turn={word}"
        )
        asked = f"/rpc/Switch.GetStatus?id={self._channel}" if gen2 else f"/relay/{self._channel}"
        try:
            self._get(told)
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
        """The body of an answer with status 200; authenticates if it is asked to.

        Raises:
            ReadError: no answer in time, another status, or too long an answer.
        """
        try:
            status, body, challenge = self._ask(uri)
            if status == 401 and challenge and self._digest is not None:
                self._digest.challenged(challenge)
                status, body, challenge = self._ask(uri)
        except ChallengeError as error:
            raise ReadError(str(error)) from None
        except (OSError, http.client.HTTPException) as error:
            self.release()
            raise ReadError(f"no answer: {_said(error)}") from None
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

    def _ask(self, uri: str) -> tuple[int, str, str | None]:
        headers = {"Accept": "application/json"}
        authorization = self._basic if self._digest is None else self._digest.header("GET", uri)
        if authorization:
            headers["Authorization"] = authorization
        connection = self._connection
        if connection is None:
            connection = self._connection = http.client.HTTPConnection(self._host, timeout=self._timeout_s)
        connection.request("GET", uri, headers=headers)
        response = connection.getresponse()
        body = response.read(_MAX_ANSWER_B + 1)
        if len(body) > _MAX_ANSWER_B:
            self.release()
            raise ReadError(f"an answer of more than {_MAX_ANSWER_B} bytes")
        if response.length:
            raise http.client.HTTPException(f"cut short by {response.length} bytes")
        if response.will_close:
            self.release()
        return response.status, body.decode("utf-8", "replace"), response.getheader("WWW-Authenticate")


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__
