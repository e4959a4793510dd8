"""A board that can be reached: its link, the blobs on it, the agent that answers there.

What the board says is not trusted: what it may answer is checked where it is read.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import random
import shlex
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from tunebench.targets.agent import protocol
from tunebench.targets.boards import kind_of
from tunebench.targets.client.upload import Upload, UploadProgress
from tunebench.targets.errors import (
    BlobError,
    ConditionError,
    InterpreterError,
    LinkError,
    NoAnswerError,
    ReplyError,
    TargetError,
    UndoError,
    WorkdirError,
)
from tunebench.targets.payload import Blob
from tunebench.targets.transport import clock_offset
from tunebench.targets.transport.channel import Duplex
from tunebench.targets.transport.clock_offset import Offset
from tunebench.targets.transport.config.route import Route, route_to
from tunebench.targets.transport.endpoint import Dial, Endpoint, Timeouts, Transport
from tunebench.targets.transport.link import SshLink
from tunebench.targets.transport.openssh import OpenSsh
from tunebench.targets.transport.ssh import Ssh

if TYPE_CHECKING:
    from tunebench.targets.virtual.loopback import LoopbackServer

DEFAULT_WORKDIR = "~/.cache/tunebench"
#: How long a server may drop new connections (``MaxStartups``, a restart) when a command begins.
_ENTER_PATIENCE_S = 10.0
_PINGS = 8
_MAX_PATH = 4096
#: The slowest link we serve does about twice as much.
_SLOWEST_LINK_B_PER_S = 100e3
#: A board reads what it has, to be sure of it; the slowest cards do about twice as much.
_SLOWEST_CARD_B_PER_S = 5e6
#: The interpreter's own options for agent commands: no site-packages, no user settings; starts faster.
_ISOLATED = ("-I", "-S")


@dataclass(frozen=True)
class BoardSpec:
    """A board as the inventory describes it; the link's fields: :class:`tunebench.targets.transport.endpoint.Endpoint`.

    Attributes:
        kind: one of :data:`tunebench.targets.boards.KINDS`; a board that is this machine gets a server in this process,
            the others are reached at ``host``.
        python: command of the board's Python (3.6 or newer) that runs the agent.
        interpreter: command of the Python that runs workloads; empty: to be found by probing.
        workdir: on the board; a loopback board with the default one gets a folder of its own below it.
        root: where the board's sensors begin; another folder than ``/`` is a simulated board.
    """

    id: str
    kind: str = "linux"
    host: str = ""
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    proxy_jump: str | None = None
    known_hosts: str | None = None
    host_keys: Literal["verify", "accept-new"] | None = None
    ssh_config: str | None = None
    transport: Transport = "paramiko"
    python: str = "python3"
    interpreter: tuple[str, ...] = ()
    workdir: str = DEFAULT_WORKDIR
    root: str = "/"
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def endpoint(self) -> Endpoint:
        """Return how to reach the board (not for a loopback, whose server knows)."""
        return Endpoint(
            host=self.host,
            user=self.user,
            port=self.port,
            key_file=self.key_file,
            proxy_jump=self.proxy_jump,
            known_hosts=self.known_hosts,
            host_keys=self.host_keys,
            ssh_config=self.ssh_config,
            transport=self.transport,
            timeouts=self.timeouts,
        )

    @property
    def own_workdir(self) -> str:
        """Return the working directory: two loopback boards with the default one are two."""
        if kind_of(self.kind).host_itself and self.workdir == DEFAULT_WORKDIR:
            return f"{DEFAULT_WORKDIR}/loopback/{self.id}"
        return self.workdir


@dataclass(frozen=True)
class SyncReport:
    """What a sync did; ``uploaded_b`` counts the blobs' own bytes."""

    uploaded_b: int
    uploaded_names: tuple[str, ...]
    present_names: tuple[str, ...]


class Connection:
    """The connection to a board, as a context manager; one per thread.

    Raises (all methods): the classes of :mod:`tunebench.targets.errors`, which say what to do about it.
    """

    def __init__(self, spec: BoardSpec, dial: Dial | None = None) -> None:
        self.spec = spec
        self._dial = dial
        self._server: LoopbackServer | None = None
        self._ssh: SshLink | None = None
        #: OpenSSH is asked for it once, however often the link breaks.
        self._route: Route | None = None
        self._routed: Endpoint | None = None
        self._workdir: str | None = None
        self._payload: str | None = None

    def __enter__(self) -> Self:
        give_up_s = time.monotonic() + _ENTER_PATIENCE_S
        pause_s = 0.2
        while True:
            try:
                self.connect()
            except LinkError:
                if time.monotonic() + pause_s > give_up_s:
                    self.close()
                    raise
                # Boards behind one jump host connect together: not all at the same moment again.
                time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause_s = min(2 * pause_s, 2.0)
            except BaseException:
                self.close()
                raise
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ssh(self) -> SshLink:
        """Return the connection; its ``channels_opened`` counts on over reconnections."""
        if self._ssh is None:
            raise LinkError(f"{self.spec.id}: not connected")
        return self._ssh

    def connect(self) -> None:
        """Connect; starts the server first if the board is a loopback."""
        if self._ssh is None:
            self._ssh = self._link()
        self._ssh.connect()

    def _link(self) -> SshLink:
        endpoint = self._endpoint()
        # A loopback board's server has another port each time; nothing of it is configured.
        if self._route is None or endpoint != self._routed:
            self._route, self._routed = route_to(endpoint), endpoint
        if endpoint.transport == "openssh":
            return OpenSsh(endpoint, self._route)
        return Ssh(endpoint, self._dial, self._route)

    def beside(self, dial: Dial) -> Self:
        """Return the same board over another link, not yet connected: a context manager that knows what was synced."""
        other = type(self)(self.spec, dial)
        other._workdir, other._payload = self._workdir, self._payload
        other._route, other._routed = self._route, self._routed
        return other

    def _endpoint(self) -> Endpoint:
        if not kind_of(self.spec.kind).host_itself:
            return self.spec.endpoint
        if self._server is None:
            # Imported for a board of this kind only: its library takes a fifth of a second of a command's start.
            from tunebench.targets.virtual.loopback import LoopbackServer

            self._server = LoopbackServer(self.spec.timeouts)
        self._server.start()
        return dataclasses.replace(self._server.endpoint, transport=self.spec.transport)

    def reconnect(self) -> None:
        """Drop the connection, dead or alive, and connect anew."""
        opened = 0
        if self._ssh is not None:
            opened = self._ssh.channels_opened
            self._ssh.close()
        self._ssh = self._link()
        self._ssh.channels_opened = opened
        self._ssh.connect()

    def close(self) -> None:
        """Disconnect; a job that runs on the board runs on."""
        if self._ssh is not None:
            self._ssh.close()
        if self._server is not None:
            self._server.close()
        self._ssh = self._server = None

    def sync(
        self, blobs: Iterable[Blob], progress: UploadProgress = lambda sent_b, total_b: None
    ) -> SyncReport:
        """Bring blobs to the board; those that are there with the right content are not sent.

        What an upload that broke off has left on the board is not sent again. A blob with ``role="payload"`` becomes the
        agent of all later commands.

        Args:
            blobs: what must be on the board.
            progress: called during uploads with the bytes of blobs that are sent, and of all that are to be.
        """
        wanted = {blob.name: blob for blob in blobs}
        manifest = [{"name": b.name, "sha256": b.sha256, "size": b.size_b} for b in wanted.values()]
        source = _receiver_source()
        with self.ssh.open([*self._python(), "-c", source, self.spec.own_workdir]) as duplex:
            try:
                duplex.send(json.dumps(manifest).encode() + b"\n")
                read_s = sum(blob.size_b for blob in wanted.values()) / _SLOWEST_CARD_B_PER_S
                answer = self._answer(duplex, self.spec.timeouts.command_s + read_s)
            except (NoAnswerError, InterpreterError) as error:
                if isinstance(error, NoAnswerError) and error.killed:
                    raise  # a kernel that needs memory does not ask what for
                raise InterpreterError(
                    f"{self.spec.id}: {self.spec.python!r} does not run the agent: {error}. Set `python` of this board in"
                    " the inventory to a Python 3.6 or newer that is on it"
                ) from error
            missing, workdir = answer.get("missing"), answer.get("workdir")
            if not isinstance(missing, list) or not _are_among(missing, wanted):
                raise ReplyError(f"{self.spec.id}: sync: unknown blobs asked for: {str(missing)[:200]}")
            if not isinstance(workdir, str) or not workdir.startswith("/") or len(workdir) > _MAX_PATH:
                raise ReplyError(
                    f"{self.spec.id}: sync: no path of a working directory: {str(workdir)[:200]}"
                )
            upload = Upload.of([wanted[name] for name in missing], mapping(answer.get("held")))
            if missing:
                self._upload(duplex, upload, progress)
        self._workdir = workdir
        self._payload = next((b.name for b in wanted.values() if b.role == "payload"), self._payload)
        present = tuple(name for name in wanted if name not in missing)
        return SyncReport(upload.size_b, tuple(missing), present)

    def _upload(self, duplex: Duplex, upload: Upload, progress: UploadProgress) -> None:
        bound_s = self.spec.timeouts.command_s + upload.size_b / _SLOWEST_LINK_B_PER_S
        try:
            for chunk, sent_b in upload.chunks():
                duplex.send(chunk, self.spec.timeouts.command_s + len(chunk) / _SLOWEST_LINK_B_PER_S)
                progress(sent_b, upload.size_b)
        except TargetError:
            self._answer(duplex, 5.0)  # the board's own words, if it broke off with an error
            raise
        duplex.close_stdin()
        if self._answer(duplex, bound_s).get("stored") != len(upload.blobs):
            raise ReplyError(f"{self.spec.id}: sync: not all blobs were confirmed")

    # -- for the commands ---------------------------------------------------------------------------

    def _python(self) -> list[str]:
        return [*shlex.split(self.spec.python), *_ISOLATED]

    def _agent(self, *command: str) -> Duplex:
        if self._workdir is None or self._payload is None:
            raise TargetError(f"{self.spec.id}: sync() a blob with role 'payload' before {command[0]}")
        return self.ssh.open([*self._python(), f"{self._workdir}/blobs/{self._payload}", *command])

    def _exchange(self, duplex: Duplex) -> Offset:
        return clock_offset.exchange(duplex, _PINGS, self.spec.timeouts.command_s)

    def _answer(self, duplex: Duplex, timeout_s: float) -> dict[str, Any]:
        message = duplex.read_message(timeout_s)
        if "error" in message:
            _raise(self.spec.id, message["error"])
        return message

    def _checked(self, message: dict[str, Any], schema: str) -> dict[str, Any]:
        try:
            return protocol.check_schema(message, schema, "reply")
        except protocol.ProtocolError as error:
            raise ReplyError(f"{self.spec.id}: {error}") from error


def _raise(board_id: str, error: Any) -> NoReturn:
    """Translate an agent's refusal; the kinds are those of the agent's ``AgentError``."""
    kind, said = mapping(error).get("kind"), str(mapping(error).get("message"))[:1000]
    message = f"{board_id}: {said}"
    if kind in ("condition", "lease"):
        code = mapping(error).get("code")
        holder = mapping(error).get("holder")
        raise ConditionError(
            message,
            str(kind),
            code if isinstance(code, str) else None,
            holder if isinstance(holder, dict) else None,
        )
    if kind == "interpreter":
        raise InterpreterError(message)
    if kind == "workdir":
        raise WorkdirError(message)
    if kind == "undo":
        raise UndoError(message)
    if kind == "blob":
        raise BlobError(message)
    raise TargetError(message)


def mapping(value: Any) -> dict[str, Any]:
    """Return what should be a mapping; an empty one if the board sent something else."""
    return value if isinstance(value, dict) else {}


def _are_among(asked: list[Any], known: Mapping[str, Any]) -> bool:
    """Tell whether names that a board asks for are ours, each asked for once."""
    return all(isinstance(name, str) and name in known for name in asked) and len(set(asked)) == len(asked)


def _receiver_source() -> str:
    """Return the receiver as one line of plain letters: csh takes no newline in quotes, fish unescapes within them."""
    source = (Path(__file__).parent.parent / "agent" / "transfer" / "receive.py").read_bytes()
    packed = base64.b64encode(zlib.compress(source, 9)).decode("ascii")
    return f'import base64,zlib;exec(zlib.decompress(base64.b64decode("{packed}")))'
