"""A labgrid coordinator as a provider: the one module that knows labgrid (26.0; its remote client is no fixed API).

Seen with 26.0.1, and why this is written as it is (issue numbers are labgrid's):

* A lock never expires, anybody can release it, and a coordinator that restarts forgets all of them. So a place is only
  the ticket, and the lease on the board the fence. What a dead process has left is freed by the next command of its
  host that wants it, or by ``farm reap``.
* Whoever has the same host and user name can release another's place: each process has an identity of its own.
* Acquiring a place whose exporter is down succeeds without resources: they are looked for afterwards.
* An error while acquiring says nothing of what the coordinator did: we connect anew, read whose it is, then decide.
* Who waits does so in the coordinator's queue (a reservation by tags, or by name): by age, and nobody overtakes. A
  reservation that is not acquired ends 60 s after it was last asked for; it is cancelled once its place is ours.
* A place of ours that nobody has was released by a person, who wants the board, or forgotten by a coordinator that has
  restarted: the connection tells, which ends with its coordinator.
* Two sessions of one process to one address fail, and drivers share a global stack of steps (#1851): there is one
  session, on an event loop in a thread of its own, and power is switched by the back end's functions.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from labgrid.remote.client import ClientSession
from labgrid.remote.common import ReservationState
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.remote.generated import labgrid_coordinator_pb2_grpc as services

from tunebench.harness.farm import identity
from tunebench.harness.farm.provider import (
    AnyOf,
    FarmBoard,
    FarmError,
    Patience,
    PowerAction,
    State,
    Ticket,
)
from tunebench.targets.sanitize import one_line

Value = TypeVar("Value")

_ANSWER_S = 15.0
_LOOK_S = 0.25
_TELL_S = 60.0
#: How often a reservation is asked for, so that it stays: a sixth of the time after which it would end.
_STAY_S = 10.0
#: A coordinator that has restarted refuses places until its exporters are back, at most one of its periods of 15 s.
_AGAIN_S = 60.0
_OFF_S = 5.0
#: For how long an ending process asks a coordinator that does not answer to take places back; then ``farm reap`` does.
_GIVE_S = 30.0
_OWED_LOOK_S = 1.0
#: As labgrid's own client asks whether the coordinator still is there, but over a connection of its own.
_CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 7500),
    ("grpc.keepalive_timeout_ms", 10000),
    ("grpc.http2.ping_timeout_ms", 10000),
    ("grpc.http2.max_pings_without_data", 0),
]


class _Session(ClientSession):  # type: ignore[misc] # labgrid has no types
    """A session under an identity of its own, over a connection of its own.

    By default a process's channels to one address share theirs: a new session would begin on one that has just broken.
    """

    identity = ("", "")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.channel = grpc.aio.insecure_channel(self.address, options=_CHANNEL)
        self.stub = services.CoordinatorStub(self.channel)

    def gethostname(self) -> str:
        return self.identity[0]

    def getuser(self) -> str:
        return self.identity[1]


class _Refused(FarmError):
    """The coordinator has answered, and does not do it."""


@dataclass
class _Queue:
    """One wait's reservations; those of a connection that has ended are void.

    Attributes:
        tokens: of one reservation by tags, or of one for each place.
        tried: places that were acquired, as far as we know.
    """

    session: _Session | None = None
    tokens: list[str] = field(default_factory=list)
    asked_s: float = 0.0
    tried: set[str] = field(default_factory=set)


class LabgridFarm:
    """A coordinator, connected to for the life of this process. Thread-safe.

    Args:
        coordinator: ``host:port``.

    Raises:
        FarmError: it cannot be reached.
    """

    def __init__(self, coordinator: str) -> None:
        self.coordinator = coordinator
        self._names = identity.new()
        self._loop = asyncio.new_event_loop()
        self._session: _Session | None = None
        #: How many connections there were.
        self._connection = 0
        #: Places that are ours -> the connection over which that was seen last.
        self._held: dict[str, int] = {}
        #: Places that are not needed any more, and of which no coordinator has heard so.
        self._owed: set[str] = set()
        self._connecting = threading.Lock()
        atexit.register(self._give_all)
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

    def take(self, wanted: str | AnyOf, patience: Patience) -> Ticket:
        """Wait in the coordinator's queue, acquire what it allots, and make sure that it is ours and has its board."""
        choice = AnyOf((wanted,)) if isinstance(wanted, str) else wanted
        give_up_s = time.monotonic() + patience.seconds
        told_s = float("-inf")
        queue = _Queue()
        try:
            while True:
                name, reason = self._turn(queue, choice)
                if name is not None:
                    queue.tried.add(name)
                    reason = self._try(name)
                    if reason is None:
                        queue.tried.discard(name)
                        return Ticket(name, self.identity)
                    self._leave(queue)  # a place without its board is not waited for in its queue
                else:
                    self._free_of_the_dead(choice)
                now_s = time.monotonic()
                if now_s >= give_up_s:
                    raise FarmError(f"{reason or self._why_not(choice)}; waited {patience.seconds:.0f} s")
                if now_s - told_s >= _TELL_S:
                    told_s = now_s
                    left_s = give_up_s - now_s
                    patience.note(f"waiting, at most {left_s:.0f} s: {reason or self._why_not(choice)}")
                if patience.stop.wait(min(_LOOK_S, max(0.01, give_up_s - now_s))):
                    raise FarmError(f"{reason or self._why_not(choice)}; the wait was stopped")
        finally:
            self._leave(queue)
            for name in queue.tried - set(self._held):
                # An acquisition of which we have no answer may have been done all the same.
                with contextlib.suppress(FarmError):
                    self.release(name, self.identity)

    def check(self, ticket: Ticket) -> State:
        """Read whose a place is; one that a coordinator has forgotten is acquired again."""
        give_up_s = time.monotonic() + _AGAIN_S
        while True:
            try:
                owner = self._owner(ticket.board)
                if owner == ticket.identity:
                    self._held[ticket.board] = self._connection
                    return "held"
                if owner is not None or self._held.get(ticket.board) == self._connection:
                    return "lost"
                if self._try(ticket.board, whole=False) is None:
                    return "held"
            except FarmError:
                return "unknown"
            if time.monotonic() >= give_up_s:
                return "lost"
            time.sleep(_LOOK_S)

    def give(self, ticket: Ticket) -> None:
        """Release a place if it is still ours; where the coordinator does not answer, again when the process ends."""
        self._held.pop(ticket.board, None)
        try:
            self.release(ticket.board, ticket.identity)
        except FarmError:
            self._owed.add(ticket.board)
        else:
            self._owed.discard(ticket.board)

    def _give_all(self) -> None:
        """Release what is ours when the process ends; a coordinator that does not answer is waited for a little."""
        for name in list(self._held):
            self.give(Ticket(name, self.identity))
        if not self._owed:
            return
        give_up_s = time.monotonic() + _GIVE_S
        with contextlib.suppress(KeyboardInterrupt, OSError):
            print(
                f"labgrid://{self.coordinator}: does not answer; waiting, at most {_GIVE_S:.0f} s, to give back"
                f" {', '.join(sorted(self._owed))}",
                file=sys.stderr,
            )
            logging.disable(logging.ERROR)  # labgrid would say so, too, each time
            while self._owed and time.monotonic() < give_up_s:
                time.sleep(_OWED_LOOK_S)
                for name in list(self._owed):
                    self.give(Ticket(name, self.identity))

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
                self._connection += 1
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

    def _turn(self, queue: _Queue, choice: AnyOf) -> tuple[str | None, str | None]:
        """Queue for a choice of places, or stay in its queue; return the place that is allotted, or what is in the way.

        Raises:
            FarmError: there is no such place.
        """
        try:
            session = self._connected()
            if queue.session is not session:
                queue.session, queue.tokens = session, []
            if not queue.tokens:
                usable = self._run(self._usable(session, choice))
                if isinstance(usable, str):
                    return None, usable
                return self._run(self._reserve(session, queue, choice, usable)), None
            if time.monotonic() - queue.asked_s >= _STAY_S:
                self._run(self._stay(session, queue))
        except FarmError as error:
            if str(error).endswith("no such place"):
                raise
            queue.tokens = []
            return None, str(error)
        # Changes of places come by themselves.
        places = [session.places.get(name) for name in choice.names]
        return next(
            (place.name for place in places if place is not None and place.reservation in queue.tokens), None
        ), None

    def _leave(self, queue: _Queue) -> None:
        """Cancel a wait's reservations; one that is forgotten is fine."""
        session, tokens = queue.session, queue.tokens
        queue.tokens = []
        if session is None or session.stopping.is_set():
            return
        for token in tokens:
            with contextlib.suppress(FarmError):
                self._run(
                    self._call(session, "CancelReservation", messages.CancelReservationRequest(token=token))
                )

    def _free_of_the_dead(self, choice: AnyOf) -> None:
        """Release places of commands of this host that have ended: nobody gives them back. The boards' leases decide."""
        session = self._session
        places = [session.places.get(name) for name in choice.names] if session is not None else []
        for place in places:
            if place is not None and place.acquired and identity.is_dead(place.acquired):
                with contextlib.suppress(FarmError):
                    self.release(place.name, place.acquired)

    def _why_not(self, choice: AnyOf) -> str:
        """Return why none of these places is given to us, in a sentence."""
        session = self._session
        places = [session.places.get(name) for name in choice.names] if session is not None else []
        owners = [
            ("us" if place.acquired == self.identity else one_line(place.acquired))
            if place.acquired
            else "nobody, but reserved for others"
            for place in places
            if place is not None
        ]
        farm = f"labgrid://{self.coordinator}"
        if len(owners) == 1:
            return f"place {choice.names[0]} of {farm} is held by {owners[0]}"
        held = ", ".join(f"{n} by {owner}" for owner, n in Counter(owners).most_common(5))
        return f"none of {len(choice.names)} places of {farm} is free; held: {held or 'not known'}"

    def _try(self, name: str, *, whole: bool = True) -> str | None:
        """Acquire a place once.

        Args:
            whole: only with its board.

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
        problem = self._run(self._problem(session, name)) if whole else None
        if problem is None:
            self._held[name] = self._connection
            self._owed.discard(name)
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

    async def _ask(self, session: _Session, verb: str, request: Any) -> Any:
        """Ask the coordinator; return its answer.

        Raises:
            _Refused: in its words.
            FarmError: it does not answer.
        """
        try:
            return await getattr(session.stub, verb)(request, timeout=_ANSWER_S - 3)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                session.stopping.set()  # nobody knows what it has done: the next look is over a new connection
                raise FarmError(f"labgrid://{self.coordinator}: does not answer: {error.details()}") from None
            raise _Refused(str(error.details())) from None

    async def _call(self, session: _Session, verb: str, request: Any) -> str | None:
        """Ask the coordinator; return its refusal."""
        try:
            await self._ask(session, verb, request)
        except _Refused as refusal:
            return str(refusal)
        return None

    async def _usable(self, session: _Session, choice: AnyOf) -> list[str] | str:
        """Return those of a choice that have their board now, else why none has.

        Raises:
            FarmError: there is no such place.
        """
        await self._fresh(session)
        there = [name for name in choice.names if name in session.places]
        if not there:
            raise FarmError(f"{', '.join(choice.names)}: labgrid://{self.coordinator} has no such place")
        boards = [await self._board(session, name) for name in there]
        usable = [board.name for board in boards if board.problem is None]
        problem = boards[0].problem
        return usable or f"place {there[0]} of labgrid://{self.coordinator}: {problem}"

    async def _reserve(
        self, session: _Session, queue: _Queue, choice: AnyOf, usable: Sequence[str]
    ) -> str | None:
        """Queue for these places; return the one that is allotted at once.

        One reservation by tags asks for all that have them; where others have them, too, each place is asked for by name.
        """
        tags = dict(choice.tags)
        tagged = {name for name, place in session.places.items() if tags.items() <= place.tags.items()}
        filters = [tags] if tags and tagged == set(usable) else [{"name": name} for name in usable]
        for asked in filters:
            request = messages.CreateReservationRequest(prio=0.0)
            request.filters["main"].filter.update(asked)
            made = (await self._ask(session, "CreateReservation", request)).reservation
            queue.tokens.append(made.token)
            queue.asked_s = time.monotonic()
            if "main" in made.allocations:
                return str(made.allocations["main"])
        return None

    async def _stay(self, session: _Session, queue: _Queue) -> None:
        """Ask for each reservation, so that it does not end.

        Raises:
            FarmError: one is forgotten.
        """
        for token in queue.tokens:
            await self._ask(session, "PollReservation", messages.PollReservationRequest(token=token))
        queue.asked_s = time.monotonic()

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
        waiting = await self._waiting(session)
        boards = [await self._board(session, name) for name in sorted(session.places)]
        return [replace(board, owner_waits=board.owner in waiting) for board in boards]

    async def _waiting(self, session: _Session) -> set[str]:
        """Return who stands in the coordinator's queue; a reservation ends a minute after its owner has."""
        answer = await self._ask(session, "GetReservations", messages.GetReservationsRequest())
        queued = (ReservationState.waiting.value, ReservationState.allocated.value)
        return {one_line(entry.owner) for entry in answer.reservations if entry.state in queued}

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
