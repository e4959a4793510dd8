"""A labgrid coordinator as a provider: the one module that knows labgrid (26.0; its remote client is no fixed API).

Seen with 26.0.1, and why this is written as it is (issue numbers are labgrid's):

* A lock never expires, anybody can release it, and a coordinator that restarts forgets all of them. So a place is only
  the ticket, and the lease on the board the fence; ``farm reap`` frees what a dead process has left.
* Whoever has the same host and user name can release another's place: each process has an identity of its own.
* Acquiring a place whose exporter is down succeeds without resources: they are looked for afterwards.
* An error while acquiring says nothing of what the coordinator did: we connect anew, read whose it is, then decide.
* Two sessions of one process to one address fail, and drivers share a global stack of steps (#1851): there is one
  session, on an event loop in a thread of its own, and power is switched by the back end's functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from labgrid.remote.client import ClientSession
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages

from tunebench.harness.farm.provider import PREFIX, FarmBoard, FarmError, Patience, PowerAction, State, Ticket
from tunebench.targets.sanitize import one_line

Value = TypeVar("Value")

_ANSWER_S = 15.0
_LOOK_S = 0.25
_TELL_S = 60.0
#: A coordinator that has restarted refuses places until its exporters are back, at most one of its periods of 15 s.
_AGAIN_S = 60.0
_OFF_S = 5.0


class _Session(ClientSession):  # type: ignore[misc] # labgrid has no types
    """A session under an identity of its own."""

    identity = ("", "")

    def gethostname(self) -> str:
        return self.identity[0]

    def getuser(self) -> str:
        return self.identity[1]


class LabgridFarm:
    """A coordinator, connected to for the life of this process. Thread-safe.

    Args:
        coordinator: ``host:port``.

    Raises:
        FarmError: it cannot be reached.
    """

    def __init__(self, coordinator: str) -> None:
        self.coordinator = coordinator
        self._names = (socket.gethostname(), f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}")
        self._loop = asyncio.new_event_loop()
        self._session: _Session | None = None
        self._connecting = threading.Lock()
        threading.Thread(target=self._loop.run_forever, name="labgrid", daemon=True).start()
        self._connected()

    @property
    def identity(self) -> str:
        """Return the name under which this process holds places."""
        return "/".join(self._names)

    def boards(self) -> list[FarmBoard]:
        """Return the places of the coordinator, by name."""
        session = self._connected()
        return self._run(self._boards(session))

    def take(self, name: str, patience: Patience) -> Ticket:
        """Wait until a place is free, acquire it, and make sure that it is ours and has its board."""
        give_up_s = time.monotonic() + patience.seconds
        told_s = float("-inf")
        while True:
            reason = self._try(name)
            if reason is None:
                return Ticket(name, self.identity)
            now_s = time.monotonic()
            if now_s >= give_up_s:
                raise FarmError(f"{reason}; waited {patience.seconds:.0f} s")
            if now_s - told_s >= _TELL_S:
                told_s = now_s
                patience.note(f"waiting: {reason}")
            if patience.stop.wait(min(_LOOK_S, max(0.01, give_up_s - now_s))):
                raise FarmError(f"{reason}; the wait was stopped")

    def check(self, ticket: Ticket) -> State:
        """Read whose a place is; one that nobody has (the coordinator has restarted) is acquired again."""
        give_up_s = time.monotonic() + _AGAIN_S
        while True:
            try:
                owner = self._owner(ticket.board)
                if owner == ticket.identity:
                    return "held"
                if owner is not None:
                    return "lost"
                if self._try(ticket.board) is None:
                    return "held"
            except FarmError:
                return "unknown"
            if time.monotonic() >= give_up_s:
                return "lost"
            time.sleep(_LOOK_S)

    def give(self, ticket: Ticket) -> None:
        """Release a place if it is still ours."""
        with contextlib.suppress(FarmError):
            self.release(ticket.board, ticket.identity)

    def release(self, name: str, owner: str) -> bool:
        """Release a place, only if it still is this owner's; return whether it is that owner's no more.

        Raises:
            FarmError: the coordinator does not answer.
        """
        session = self._connected()
        self._run(
            self._call(session, "ReleasePlace", messages.ReleasePlaceRequest(placename=name, fromuser=owner))
        )
        return self._owner(name) != owner

    def power(self, ticket: Ticket, action: PowerAction) -> None:
        """Switch the power port of a place by its back end's own function: labgrid's drivers are for one thread."""
        if self.check(ticket) != "held":
            raise FarmError(f"{ticket.board}: its place is not ours now, so its power is left alone")
        session = self._connected()
        ports = self._run(self._resources(session, ticket.board, "NetworkPowerPort"))
        if len(ports) != 1:
            raise FarmError(f"{ticket.board}: has {len(ports)} NetworkPowerPorts in labgrid; expected one")
        port = ports[0]
        try:
            backend = import_module(f"labgrid.driver.power.{port['model']}")
            host, number = self._address(str(port["host"]))
            for value in {"on": [True], "off": [False], "cycle": [False, True]}[action]:
                backend.power_set(host, number, port.get("index"), value)
                if action == "cycle" and not value:
                    time.sleep(_OFF_S)
        except Exception as error:  # noqa: BLE001 - back ends raise what their vendors' libraries raise
            raise FarmError(f"{ticket.board}: power {action}: {type(error).__name__}: {error}") from None

    @staticmethod
    def _address(host: str) -> tuple[str, int | None]:
        """Split as labgrid's own driver does: an address with a scheme goes to the back end whole."""
        if "://" in host:
            return host, None
        parts = urlsplit(f"//{host}")
        return parts.hostname or host, parts.port

    # -- of this thread ---------------------------------------------------------------------------

    def _connected(self) -> _Session:
        """Return the session, a new one where the coordinator has gone since.

        Raises:
            FarmError: it cannot be reached.
        """
        with self._connecting:
            session = self._session
            if session is not None and not session.stopping.is_set():
                return session
            self._session = None
            try:
                self._session = self._run(self._start(session))
            except FarmError:
                raise
            except Exception as error:  # noqa: BLE001 - grpc and labgrid raise anything
                raise FarmError(f"labgrid://{self.coordinator}: {type(error).__name__}: {error}") from None
            return self._session

    def _run(self, work: Coroutine[Any, Any, Value]) -> Value:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(_ANSWER_S)
        except TimeoutError:
            future.cancel()
            raise FarmError(f"labgrid://{self.coordinator}: no answer for {_ANSWER_S:.0f} s") from None

    def _owner(self, name: str) -> str | None:
        session = self._connected()
        return self._run(self._read_owner(session, name))

    def _try(self, name: str) -> str | None:
        """Acquire a place once.

        Returns:
            None if it is ours and complete, else why it is not, in a sentence.

        Raises:
            FarmError: there is no such place.
        """
        try:
            session = self._connected()
            owner = self._run(self._read_owner(session, name))
            if owner is None:
                refusal = self._run(self._acquire(session, name))
                owner = self._owner(name)
            else:
                refusal = None
        except FarmError as error:
            if str(error).endswith("no such place"):
                raise
            return str(error)
        if owner != self.identity:
            whose = (
                f"is held by {one_line(owner)}"
                if owner is not None
                else one_line(refusal or "was not given to us")
            )
            return f"place {name} of labgrid://{self.coordinator} {whose}"
        problem = self._run(self._problem(session, name))
        if problem is None:
            return None
        self.release(name, self.identity)
        return f"place {name} of labgrid://{self.coordinator}: {problem}"

    # -- of the event loop ------------------------------------------------------------------------

    async def _start(self, former: _Session | None) -> _Session:
        if former is not None:
            with contextlib.suppress(Exception):
                await former.stop()
            with contextlib.suppress(Exception):
                await former.close()
        session = _Session(self.coordinator, self._loop)
        session.identity = self._names
        try:
            await asyncio.wait_for(session.start(), _ANSWER_S - 5)
        except Exception as error:  # noqa: BLE001 - as above
            with contextlib.suppress(Exception):
                await session.stop()
            with contextlib.suppress(Exception):
                await session.close()
            what = "no answer" if isinstance(error, TimeoutError) else "cannot be reached"
            raise FarmError(
                f"labgrid://{self.coordinator}: {what}; is labgrid-coordinator running there?"
            ) from None
        return session

    async def _call(self, session: _Session, verb: str, request: Any) -> str | None:
        """Ask the coordinator; return its refusal."""
        try:
            await getattr(session.stub, verb)(request, timeout=_ANSWER_S - 3)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                session.stopping.set()  # nobody knows what it has done: the next look is over a new connection
                raise FarmError(f"labgrid://{self.coordinator}: does not answer: {error.details()}") from None
            return str(error.details())
        return None

    async def _acquire(self, session: _Session, name: str) -> str | None:
        return await self._call(session, "AcquirePlace", messages.AcquirePlaceRequest(placename=name))

    async def _fresh(self, session: _Session) -> None:
        if not await session.sync_with_coordinator():
            raise FarmError(f"labgrid://{self.coordinator}: the connection is lost")

    async def _read_owner(self, session: _Session, name: str) -> str | None:
        await self._fresh(session)
        if name not in session.places:
            raise FarmError(f"{name}: labgrid://{self.coordinator} has no such place")
        return session.places[name].acquired or None

    async def _boards(self, session: _Session) -> list[FarmBoard]:
        await self._fresh(session)
        return [await self._board(session, name) for name in sorted(session.places)]

    async def _board(self, session: _Session, name: str) -> FarmBoard:
        place = session.places[name]
        services = await self._resources(session, name, "NetworkService")
        owner = place.acquired or None
        bare = FarmBoard(
            name=one_line(name),
            tags={one_line(key): one_line(value) for key, value in place.tags.items()},
            owner=one_line(owner) if owner is not None else None,
            held_s=max(0.0, time.time() - place.changed) if owner is not None else None,
        )
        if len(services) != 1:
            return replace(bare, problem=f"has {len(services)} usable NetworkServices; expected one")
        service = services[0]
        address, port = service.get("address"), service.get("port", 22)
        if not isinstance(address, str) or not address or type(port) is not int:
            return replace(bare, problem="its NetworkService has no address")
        if service.get("extra", {}).get("proxy_required"):
            return replace(bare, problem="is reached through its exporter only (isolated); not supported")
        user = service.get("username")
        return replace(bare, address=address, port=port, user=str(user) if user else None)

    async def _problem(self, session: _Session, name: str) -> str | None:
        await self._fresh(session)
        return (await self._board(session, name)).problem

    async def _resources(self, session: _Session, name: str, kind: str) -> list[Mapping[str, Any]]:
        """Return the parameters of a place's resources of a kind, those that are there now."""
        return list(_matching(session, session.places[name], kind))


def _matching(session: _Session, place: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    for exporter, groups in sorted(session.resources.items()):
        for group, entries in sorted(groups.items()):
            for resource, entry in sorted(entries.items()):
                # What has gone leaves an entry without a class.
                if entry.data.get("cls") != kind or not entry.data.get("avail"):
                    continue
                if place.hasmatch((exporter, group, kind, resource)):
                    yield entry.data.get("params", {})
