"""One paramiko connection to one host: negotiate what we can verify, verify, log in.

fabric's ``Connection`` calls :meth:`Client.connect` in place of paramiko's own, which knows one known_hosts line a
host, no certificates, tries each key file as every type of key, and tells a refused login as a broken link.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.transport import ServiceRequestingTransport

from tunebench.targets.errors import HostKeyError, IncompatibleError, LinkError
from tunebench.targets.transport.config.host_config import HostConfig
from tunebench.targets.transport.endpoint import Timeouts
from tunebench.targets.transport.host_keys.blobs import CERTIFICATE
from tunebench.targets.transport.host_keys.check import HostKeys
from tunebench.targets.transport.identity.identities import identities
from tunebench.targets.transport.identity.login import log_in

#: The name-lists of SSH_MSG_KEXINIT (RFC 4253, section 7.1), in their order, as errors call them.
_LISTS = (
    "key exchange",
    "host key algorithm",
    "cipher",
    "cipher",
    "MAC",
    "MAC",
    "compression",
    "compression",
)


class _Handler(AuthOnlyHandler):
    """paramiko's, with the event set up before the request goes out: an answer that came faster was lost."""

    def send_auth_request(self, username: str, method: str, finish_message: Any = None) -> Any:
        self.auth_method = method
        self.username = username
        message = paramiko.Message()
        message.add_byte(cMSG_USERAUTH_REQUEST)
        message.add_string(username)
        message.add_string("ssh-connection")
        message.add_string(method)
        if finish_message is not None:
            finish_message(message)
        answered = self.auth_event = threading.Event()
        with self.transport.lock:
            self.transport._send_message(message)  # type: ignore[attr-defined]
        return self.wait_for_response(answered)


class HostTransport(ServiceRequestingTransport):
    """paramiko's, which asks for authentication once and signs in our thread; and tells what the server said.

    Attributes:
        offers: what the server offers, by the names of ``_LISTS``.
        farewell: what the server said when it hung up.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.offers: list[list[str]] = []
        self.farewell: str | None = None
        self._accepted = threading.Event()

    def _parse_kex_init(self, m: paramiko.Message) -> None:
        if not self.offers:
            copy = paramiko.Message(m.asbytes())
            copy.get_bytes(16)
            self.offers = [list(copy.get_list()) for _ in _LISTS]
        super()._parse_kex_init(m)  # type: ignore[misc]

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        copy = paramiko.Message(m.asbytes())
        copy.get_int()
        self.farewell = copy.get_string().decode("utf-8", "replace").strip()[:300]
        super()._parse_disconnect(m)  # type: ignore[misc]

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        super()._parse_service_accept(m)  # type: ignore[misc]
        self._accepted.set()

    def ensure_session(self) -> None:
        """Ask once to authenticate; paramiko's own waits without bound for a server that hangs up."""
        if self.auth_handler is not None:
            return
        message = paramiko.Message()
        message.add_byte(cMSG_SERVICE_REQUEST)
        message.add_string("ssh-userauth")
        self._send_message(message)  # type: ignore[attr-defined]
        waited_s, slice_s = 0.0, 0.1
        while not self._accepted.wait(slice_s):
            waited_s += slice_s
            if not self.is_active():
                raise self.get_exception() or EOFError("the server hung up")
            if waited_s > self.auth_timeout:
                raise paramiko.AuthenticationException("Authentication timeout.")
        self.auth_handler = self.get_auth_handler()

    def get_auth_handler(self) -> _Handler:
        """Return our handler."""
        return _Handler(self)


class Client(paramiko.SSHClient):
    """Connects to one host of a route.

    Args:
        config: of the host.
        timeouts: of all waits.
        demanded: the inventory's key, which must be usable.
    """

    def __init__(self, config: HostConfig, timeouts: Timeouts, demanded: Path | None = None) -> None:
        super().__init__()
        self._config = config
        self._timeouts = timeouts
        self._demanded = demanded

    def connect(self, hostname: str, sock: Any = None, **_: object) -> None:  # type: ignore[override]
        """Connect over a socket; what fabric passes beside it stands in the configuration.

        Raises:
            IncompatibleError, HostKeyError, AuthError, LinkError: see :mod:`tunebench.targets.errors`.
        """
        host_keys = HostKeys(self._config)
        transport = self._transport = HostTransport(sock)
        timeouts = self._timeouts
        transport.banner_timeout = timeouts.banner_s
        transport.handshake_timeout = timeouts.connect_s
        transport.auth_timeout = timeouts.auth_s
        transport.channel_timeout = timeouts.channel_s
        options = transport.get_security_options()
        options.key_types = host_keys.ordered(_verifiable(transport, options.key_types))
        self._negotiate(transport)
        key = transport.get_remote_server_key()
        certified = getattr(key, "public_blob", None)
        host_keys.check(certified.key_blob if certified is not None else key.asbytes())
        with identities(self._config, self._demanded) as keys:
            log_in(transport, self._config, keys)

    def _negotiate(self, transport: HostTransport) -> None:
        done = threading.Event()
        transport.start_client(event=done)
        bound_s = self._timeouts.banner_s + self._timeouts.connect_s + 1.0
        if not done.wait(bound_s):
            raise LinkError(f"{self._config.where}: no key exchange within {bound_s:g} s")
        if transport.is_active():
            return
        error = transport.get_exception() or EOFError()
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            raise IncompatibleError(self._incompatible(transport, error)) from error
        if "Signature verification" in str(error):
            raise HostKeyError(
                f"{self._config.where}: the server does not have the host key that it shows"
            ) from error
        if transport.farewell is not None:
            raise LinkError(f"{self._config.where}: the server hung up: {transport.farewell}") from error
        raise error

    def _incompatible(self, transport: HostTransport, error: Exception) -> str:
        options = transport.get_security_options()
        ours: dict[str, Sequence[str]] = {
            "key exchange": options.kex,
            "host key algorithm": options.key_types,
            "cipher": options.ciphers,
            "MAC": options.digests,
            "compression": options.compression,
        }
        for name, offered in zip(_LISTS, transport.offers, strict=False):
            if not set(offered) & set(ours[name]):
                return (
                    f"{self._config.where}: no {name} in common: the board offers {', '.join(offered)[:300]}; we speak"
                    f' {", ".join(ours[name])[:300]}. Set transport = "openssh" for this board: the system\'s ssh may'
                    " speak more"
                )
        return f'{self._config.where}: {error}. Set transport = "openssh" for this board'


def _verifiable(transport: paramiko.Transport, algorithms: Sequence[str]) -> list[str]:
    """Return algorithms for host keys with those for certificates of the same keys before them."""
    spoken = [name + CERTIFICATE for name in algorithms if name + CERTIFICATE in transport._key_info]  # type: ignore[attr-defined]
    return [*spoken, *algorithms]
