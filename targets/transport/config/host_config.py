"""What the ssh config says of one host, whoever has read it."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebench.targets.errors import SshConfigError

DEFAULT_PORT = 22
_IDENTITIES = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")
_GLOBAL = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_TOKEN = re.compile(r"%(.)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def home() -> Path:
    """Return the home directory as ssh knows it: of the user database, not of ``$HOME``; that only if there is none."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path(os.environ.get("HOME") or "/")


def local_user() -> str | None:
    """Return this account's name; ``None`` where the user database has none (containers) and no variable tells."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return os.environ.get("LOGNAME") or os.environ.get("USER")


@dataclass(frozen=True)
class HostConfig:
    """What the ssh config says of one host; paths are absolute, tokens expanded.

    Attributes:
        alias: the name that was asked for.
        hostname: the name or address to connect to.
        identity_files: private (or public) key files in their order; they need not exist.
        identities_only: offer no key of the agent that is not one of ``identity_files``.
        agent: the agent's socket; ``None``: no agent.
        proxy_command: a command of the user's shell that carries the connection.
        proxy_passes_socket: it does not carry it, but hands over a socket (``ProxyUseFdpass``).
        proxy_jump: jump hosts as ``ssh -J`` takes them.
        known_hosts: where the user's host keys are; new ones go to the first.
        hash_known_hosts: new names are written hashed.
        accept_new: ``StrictHostKeyChecking`` is ``accept-new`` or ``no``.
        trust_localhost: keys of this machine itself are not verified (``NoHostAuthenticationForLocalhost``).
    """

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    certificate_files: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: Path | None = None
    proxy_command: str | None = None
    proxy_passes_socket: bool = False
    proxy_jump: str | None = None
    known_hosts: tuple[Path, ...] = ()
    global_known_hosts: tuple[Path, ...] = ()
    host_key_alias: str | None = None
    revoked_host_keys: Path | None = None
    hash_known_hosts: bool = False
    accept_new: bool = False
    trust_localhost: bool = False

    @property
    def where(self) -> str:
        """Return the address as errors name it."""
        return f"{self.hostname}:{self.port}"


def make(alias: str, values: Mapping[str, Sequence[str]], user: str | None, port: int | None) -> HostConfig:
    """Return a host's configuration.

    Args:
        alias: the name that was asked for.
        values: keyword in lower case -> its values, as ``ssh -G`` prints them or as they stand in the file.
        user: overrides the keyword ``user``.
        port: overrides the keyword ``port``.

    Raises:
        SshConfigError: the port is none, or there is no user.
    """

    def first(keyword: str) -> str | None:
        return values[keyword][0] if values.get(keyword) else None

    chosen = user or first("user") or local_user()
    if not chosen:
        raise SshConfigError(
            f"{alias}: as which user? This account (uid {os.getuid()}) has no name in the user database: set 'user'"
        )
    number = str(port or first("port") or DEFAULT_PORT)
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise SshConfigError(f"{alias}: ssh config: port {number!r}: expected a number from 1 to 65535")
    hostname = (first("hostname") or alias).lower()
    expand = Tokens(alias, hostname, int(number), chosen, first("hostkeyalias"))
    files = [str(home() / ".ssh" / name) for name in _IDENTITIES]
    identities = _files(values.get("identityfile") or files, expand)
    certificates = _files(values.get("certificatefile", ()), expand)
    known = values.get("userknownhostsfile") or [f"{home()}/.ssh/known_hosts {home()}/.ssh/known_hosts2"]
    shared = values.get("globalknownhostsfile") or [" ".join(_GLOBAL)]
    revoked = first("revokedhostkeys")
    command = first("proxycommand")
    jump = first("proxyjump")
    return HostConfig(
        alias=alias,
        hostname=hostname,
        port=int(number),
        user=chosen,
        identity_files=identities,
        certificate_files=certificates,
        identities_only=_is_on(first("identitiesonly")),
        agent=_agent(first("identityagent"), expand),
        proxy_command=None if _is_none(command) else expand.tokens(str(command)),
        proxy_passes_socket=_is_on(first("proxyusefdpass")),
        proxy_jump=None if _is_none(jump) else jump,
        known_hosts=tuple(expand.path(path) for path in split_paths(known[0])),
        global_known_hosts=tuple(expand.path(path) for path in split_paths(shared[0])),
        host_key_alias=first("hostkeyalias"),
        revoked_host_keys=None if _is_none(revoked) else expand.path(str(revoked)),
        hash_known_hosts=_is_on(first("hashknownhosts")),
        accept_new=str(first("stricthostkeychecking")).lower() in ("accept-new", "no", "off", "false"),
        trust_localhost=_is_on(first("nohostauthenticationforlocalhost")),
    )


class Tokens:
    """Expand the tokens of ssh_config(5), section TOKENS, for one host."""

    def __init__(self, alias: str, hostname: str, port: int, user: str, key_alias: str | None = None) -> None:
        local = socket.gethostname()
        digest = hashlib.sha1(f"{local}{hostname}{port}{user}".encode(), usedforsecurity=False)
        self._values = {
            "%": "%",
            "C": digest.hexdigest(),
            "d": str(home()),
            "h": hostname,
            "i": str(os.getuid()),
            "k": key_alias or alias,
            "L": local.split(".")[0],
            "l": local,
            "n": alias,
            "p": str(port),
            "r": user,
            "u": local_user() or "",
        }

    def tokens(self, text: str) -> str:
        """Return a text with its tokens expanded; unknown ones stay."""
        return _TOKEN.sub(lambda match: self._values.get(match.group(1), match.group(0)), text)

    def path(self, text: str) -> Path:
        """Return a path with ``~``, tokens and ``${VARIABLES}`` expanded."""
        text = _VARIABLE.sub(lambda match: os.environ.get(match.group(1), match.group(0)), text)
        if text == "~" or text.startswith("~/"):
            text = str(home()) + text[1:]
        return Path(self.tokens(text)).expanduser()


def _files(values: Sequence[str], expand: Tokens) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(expand.path(value) for value in values if not _is_none(value)))


def _agent(value: str | None, expand: Tokens) -> Path | None:
    """Return the socket of the agent: ``IdentityAgent``, else ``SSH_AUTH_SOCK``."""
    if value is None or value == "SSH_AUTH_SOCK":
        value = os.environ.get("SSH_AUTH_SOCK")
    elif value.startswith("$") and not value.startswith("${"):
        value = os.environ.get(value[1:])
    return expand.path(value) if value and not _is_none(value) else None


def split_paths(line: str) -> list[str]:
    """Split what ``ssh -G`` prints of a list of files: it leaves out the quotes of paths with blanks.

    A word that is no beginning of a path belongs to the path before it; where the files are relative, those that exist
    decide.

    >>> split_paths("/home/ann/my keys/known_hosts /home/ann/.ssh/known_hosts2")
    ['/home/ann/my keys/known_hosts', '/home/ann/.ssh/known_hosts2']
    >>> split_paths("none")
    []
    """
    if _is_none(line.strip()):
        return []
    paths: list[str] = []
    for piece in re.split(r"\s+(?=[/~]|%d|\$\{)", line.strip()):
        words = piece.split(" ")
        if piece.startswith(("/", "~", "%", "$")) or Path(piece).exists() or len(words) == 1:
            paths.append(piece)
        else:
            paths += words
    return paths


def _is_on(value: str | None) -> bool:
    return value is not None and value.lower() in ("yes", "true")


def _is_none(value: str | None) -> bool:
    return value is None or not value or value.lower() == "none"
