"""Which keys are offered to a host, and in which order: OpenSSH's (``pubkey_prepare`` in sshconnect2.c).

Certificates; keys of the agent that the configuration names; its other keys, unless ``IdentitiesOnly``; keys of files.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.pkey import PublicBlob

from tunebench.targets.errors import AuthError
from tunebench.targets.transport.config.host_config import HostConfig, home
from tunebench.targets.transport.host_keys import certificate
from tunebench.targets.transport.host_keys.blobs import described, key_type_of
from tunebench.targets.transport.identity import key_file
from tunebench.targets.transport.identity.agent import Agent, AgentError, AgentKey
from tunebench.targets.transport.identity.key_file import KeyFile


@dataclass(frozen=True)
class Identity:
    """A key that can be offered.

    Attributes:
        label: the key in words, for errors.
    """

    label: str
    key: paramiko.PKey


@dataclass
class Identities:
    """All keys for a host, in the order in which they are offered; a context manager, for the agent's connection.

    Attributes:
        left_out: what is named but cannot be offered, and why.
        in_agent: how many keys the agent has.
    """

    offered: list[Identity] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    in_agent: int = 0
    _agent: Agent | None = None

    def __enter__(self) -> Identities:
        return self

    def __exit__(self, *_: object) -> None:
        if self._agent is not None:
            self._agent.close()


def identities(config: HostConfig, demanded: Path | None = None) -> Identities:
    """Return the keys for a host.

    Args:
        demanded: the inventory's key: it must be there and be usable.

    Raises:
        AuthError: the demanded key cannot be used; the message says why.
    """
    keys = Identities()
    files = [key_file.read(path) for path in config.identity_files]
    in_agent = _ask_agent(config, keys)
    if demanded is not None:
        _check_demanded(config, next(file for file in files if file.path == demanded), in_agent)
    keys.left_out += [f"{short(file.path)} {file.fault}" for file in files if _is_left_out(file, in_agent)]
    keys.offered += _certified(config, files, in_agent, keys._agent)
    named = {
        blob: file
        for file in files
        for blob in in_agent
        if file.public is not None and file.public == _plain(blob)
    }
    ordered = [*named, *(blob for blob in in_agent if blob not in named)]
    for blob in ordered:
        if keys._agent is not None and (blob in named or not config.identities_only):
            place = f"{short(named[blob].path)}, in the agent" if blob in named else "in the agent"
            keys.offered.append(Identity(f"{described(blob)} ({place})", AgentKey(keys._agent, blob)))
    for file in files:
        if file.private is not None and file.public not in in_agent:
            keys.offered.append(
                Identity(f"{described(file.private.asbytes())} ({short(file.path)})", file.private)
            )
    return keys


def _plain(blob: bytes) -> bytes:
    """Return a key, also that of a certificate that the agent holds."""
    with contextlib.suppress(ValueError):
        if certificate.is_certificate(blob):
            return certificate.read(blob).plain
    return blob


def _ask_agent(config: HostConfig, keys: Identities) -> list[bytes]:
    """Connect to the agent and return its keys; one that hangs or is gone is told, not waited for."""
    if config.agent is None:
        return []
    try:
        keys._agent = Agent(config.agent)
        blobs = keys._agent.keys()
    except AgentError as error:
        keys.left_out.append(str(error))
        return []
    keys.in_agent = len(blobs)
    return blobs


def _check_demanded(config: HostConfig, file: KeyFile, in_agent: list[bytes]) -> None:
    if file.private is not None or (file.public is not None and file.public in in_agent):
        return
    hint = ""
    if file.encrypted:
        hint = "" if config.agent is not None else " (no agent runs: eval $(ssh-agent))"
    raise AuthError(f"{config.where}: key_file {file.path} {file.fault}{hint}")


def _is_left_out(file: KeyFile, in_agent: list[bytes]) -> bool:
    return file.there and file.private is None and file.public not in in_agent


def _certified(
    config: HostConfig, files: list[KeyFile], in_agent: list[bytes], agent: Agent | None
) -> list[Identity]:
    """Return keys with a user certificate: those of ``CertificateFile``, and ``KEY-cert.pub`` beside a key."""
    paths = [*config.certificate_files, *(Path(f"{file.path}-cert.pub") for file in files)]
    offered = []
    for path in dict.fromkeys(paths):
        blob = key_file.certificate(path)
        if blob is None or not certificate.is_certificate(blob):
            continue
        with contextlib.suppress(ValueError):
            plain = certificate.read(blob).plain
            public = PublicBlob(key_type_of(blob), blob)
            label = f"certificate {described(plain)} ({short(path)})"
            if agent is not None and plain in in_agent:
                offered.append(Identity(label, AgentKey(agent, plain, public)))
                continue
            file = next((file for file in files if file.private is not None and file.public == plain), None)
            again = key_file.read(file.path).private if file is not None else None
            if again is not None:
                again.public_blob = public
                offered.append(Identity(label, again))
    return offered


def short(path: Path) -> str:
    """Return a path with ``~`` for the home directory."""
    with contextlib.suppress(ValueError):
        return f"~/{path.relative_to(home())}"
    return str(path)
