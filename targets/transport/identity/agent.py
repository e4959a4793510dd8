"""Speak with an ssh-agent at any socket, with a bound: paramiko knows ``SSH_AUTH_SOCK`` only, and waits for ever."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import paramiko

from tunebench.targets.transport.host_keys.blobs import BlobError, key_type_of, take_string

_TIMEOUT_S = 5.0
#: Somebody may have to touch a token or confirm on a screen.
_SIGN_S = 60.0
_MAX_REPLY_B = 256 * 1024
_MAX_KEYS = 2048
#: draft-miller-ssh-agent: messages, and the flags that choose the hash of an RSA signature.
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER, _SIGN_REQUEST, _SIGN_RESPONSE = 11, 12, 13, 14
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}


class AgentError(Exception):
    """The agent is not there, does not answer, or refuses."""


class Agent:
    """A connection to an agent; a context manager.

    Raises:
        AgentError: nobody answers at the socket in time.
    """

    def __init__(self, path: Path, timeout_s: float | None = None) -> None:
        self.path = path
        self._timeout_s = timeout_s = _TIMEOUT_S if timeout_s is None else timeout_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise AgentError(f"the agent at {path} does not answer: {error.strerror or error}") from None

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def keys(self) -> list[bytes]:
        """Return the public keys and certificates that the agent holds, in its order."""
        kind, body = self._ask(bytes([_REQUEST_IDENTITIES]), self._timeout_s)
        if kind != _IDENTITIES_ANSWER or len(body) < 4:
            raise AgentError(f"the agent at {self.path} does not tell its keys (answer {kind})")
        count, place = struct.unpack(">I", body[:4])[0], 4
        blobs = []
        try:
            for _ in range(min(count, _MAX_KEYS)):
                blob, place = take_string(body, place)
                _comment, place = take_string(body, place)
                key_type_of(blob)
                blobs.append(blob)
        except BlobError as error:
            raise AgentError(f"the agent at {self.path} answers nonsense: {error}") from None
        return blobs

    def sign(self, blob: bytes, data: bytes, algorithm: str | None) -> bytes:
        """Return the signature of a key that the agent holds."""
        flags = next((flag for name, flag in _FLAGS.items() if algorithm and algorithm.startswith(name)), 0)
        request = bytes([_SIGN_REQUEST]) + _string(blob) + _string(data) + struct.pack(">I", flags)
        kind, body = self._ask(request, _SIGN_S)
        if kind != _SIGN_RESPONSE:
            raise AgentError("the agent refuses to sign with it (locked, or to be confirmed?)")
        return take_string(body)[0]

    def _ask(self, request: bytes, timeout_s: float) -> tuple[int, bytes]:
        self._socket.settimeout(timeout_s)
        try:
            self._socket.sendall(_string(request))
            size = struct.unpack(">I", self._receive(4))[0]
            if not 1 <= size <= _MAX_REPLY_B:
                raise AgentError(f"the agent at {self.path} answers nonsense: {size} bytes")
            reply = self._receive(size)
        except OSError as error:
            raise AgentError(f"the agent at {self.path} does not answer: {error.strerror or error}") from None
        return reply[0], reply[1:]

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise AgentError(f"the agent at {self.path} has hung up")
            data += part
        return data


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@dataclass(eq=False)
class AgentKey(paramiko.PKey):
    """A key of an agent as paramiko authenticates with it.

    Attributes:
        blob: what the agent knows it by.
        public_blob: a certificate that is shown in its place.
    """

    agent: Agent
    blob: bytes
    public_blob: paramiko.pkey.PublicBlob | None = None

    def get_name(self) -> str:
        """Return the key's type."""
        return key_type_of(self.blob)

    def asbytes(self) -> bytes:
        """Return the public key."""
        return self.blob

    def can_sign(self) -> bool:
        """Tell that it can sign."""
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:  # type: ignore[override]
        """Have the agent sign.

        Raises:
            AgentError: it refuses, or is gone.
        """
        return self.agent.sign(self.blob, data, algorithm)
