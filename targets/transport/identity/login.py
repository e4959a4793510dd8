"""Log in with one key after the other, each offered once; an error says what was tried and what is wanted still.

A login that was refused is never tried again by itself: after five of them fail2ban locks the host out.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

import paramiko

from tunebench.targets.errors import AuthError, LinkError
from tunebench.targets.transport.config.host_config import DEFAULT_PORT, HostConfig
from tunebench.targets.transport.identity.agent import AgentError
from tunebench.targets.transport.identity.identities import Identities, Identity, short

#: What a login means by each method's name (RFC 4252; sshd_config(5), AuthenticationMethods).
_METHODS = {
    "password": "a password",
    "keyboard-interactive": "answers at a keyboard (a password or a second factor)",
    "gssapi-with-mic": "Kerberos",
    "gssapi-keyex": "Kerberos",
    "hostbased": "trust in this host",
    "publickey": "a key",
}


@dataclass
class _Login:
    """One login while it goes on.

    Attributes:
        methods: what the server takes next.
        refused: labels of keys that it did not take.
        accepted: labels of keys that it took, while it wants more.
    """

    methods: list[str]
    refused: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def log_in(transport: paramiko.Transport, config: HostConfig, keys: Identities) -> None:
    """Authenticate over a connection whose host key has been verified.

    Args:
        transport: it tells as ``farewell`` what the server said when it hung up.
        config: who logs in where.
        keys: what is offered.

    Raises:
        AuthError: the server wants something else, or more.
        LinkError: the connection broke before a key was refused, or the server fell silent.
    """
    login = _Login(["publickey"])
    try:
        remaining = transport.auth_none(config.user)
        if not remaining:
            return  # the account needs no proof
        login.methods = list(remaining)
    except paramiko.BadAuthenticationType as error:
        login.methods = list(error.allowed_types)
    except paramiko.AuthenticationException as error:
        _check_alive(transport, config, keys, login, error)
    for identity in keys.offered:
        if "publickey" not in login.methods:
            break
        if _is_accepted(transport, config, keys, login, identity):
            return
    raise AuthError(_told(config, keys, login))


def _is_accepted(
    transport: paramiko.Transport, config: HostConfig, keys: Identities, login: _Login, identity: Identity
) -> bool:
    """Offer one key; tell whether it is enough."""
    try:
        remaining = transport.auth_publickey(config.user, identity.key)
    except paramiko.BadAuthenticationType as error:
        login.methods = list(error.allowed_types)
        login.refused.append(identity.label)
    except paramiko.AuthenticationException as error:
        login.refused.append(identity.label)
        _check_alive(transport, config, keys, login, error)
    except (AgentError, ValueError) as error:
        login.failed.append(f"{identity.label}: {error}")
    except (paramiko.SSHException, EOFError, OSError) as error:
        if transport.is_active():
            login.failed.append(f"{identity.label}: {error}")
        else:
            login.refused.append(identity.label)
            _check_alive(transport, config, keys, login, error)
    else:
        if not remaining:
            return True
        login.accepted.append(identity.label)
        login.methods = list(remaining)
    return False


def _check_alive(
    transport: paramiko.Transport, config: HostConfig, keys: Identities, login: _Login, error: Exception
) -> None:
    """Raise if the server has hung up or fallen silent, by what it was about."""
    if "timeout" in str(error).lower():
        raise LinkError(
            f"{config.where}: no answer to the login of {config.user!r} within {transport.auth_timeout:g} s"
            " (timeouts.auth_s)"
        ) from error
    if transport.is_active():
        return
    farewell = getattr(transport, "farewell", None)
    # The last key of the list was under way when the connection ended: it may not be its fault.
    refused = login.refused[:-1]
    if farewell is None and not refused and not login.accepted:
        raise LinkError(f"{config.where}: the connection broke during the login") from error
    words = f"the board ended the login of {config.user!r}"
    words += f" with {farewell!r}" if farewell else f" after {len(login.refused)} keys"
    if keys.in_agent > 3:
        words += (
            f". The agent has {keys.in_agent} keys, and sshd counts each (MaxAuthTries): name the right one with"
            ' key = "...", or with IdentityFile and IdentitiesOnly yes in the ssh config'
        )
    raise AuthError(f"{config.where}: {words}. {_tried(login)}") from error


def _told(config: HostConfig, keys: Identities, login: _Login) -> str:
    """Say why no key opened the door."""
    wanted = " or ".join(dict.fromkeys(_METHODS.get(method, method) for method in login.methods)) or "nothing"
    left_out = f"; left out: {'; '.join(keys.left_out)}" if keys.left_out else ""
    port = [] if config.port == DEFAULT_PORT else ["-p", str(config.port)]
    see = f". See what ssh says: {shlex.join(['ssh', '-v', *port, f'{config.user}@{config.alias}', 'true'])}"
    if login.accepted:
        return (
            f"{config.where}: a key is not enough for {config.user!r}: the board accepts {', '.join(login.accepted)},"
            f" and wants {wanted} as well, which nobody is there to give. Exempt this account from the second"
            f" factor (AuthenticationMethods publickey){left_out}"
        )
    if "publickey" not in login.methods:
        return (
            f"{config.where}: the board takes no key from {config.user!r}; it wants {wanted}, which nobody is there to"
            f" give. Permit keys there (PubkeyAuthentication yes){left_out}"
        )
    if not login.refused and not login.failed:
        looked = ", ".join(short(path) for path in config.identity_files) or "no file"
        return (
            f"{config.where}: no key to offer for {config.user!r}: set key_file (inventory: key), or add one to"
            f" ssh-agent; looked at {looked}{left_out}{see}"
        )
    return f"{config.where}: the board does not accept our keys for {config.user!r}. {_tried(login)}{left_out}{see}"


def _tried(login: _Login) -> str:
    tried = f"Tried: {'; '.join(login.refused)}" if login.refused else "None could be tried"
    return tried + (f"; failed here: {'; '.join(login.failed)}" if login.failed else "")
