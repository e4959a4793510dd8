"""Ask OpenSSH itself what its configuration says of a host: ``ssh -G``, ssh(1).

So every Match, Include, quote, comment and token means what it means to ``ssh``; it takes some ms. Nothing is
connected to, but commands of ``Match exec`` run, as they do for ``ssh``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from tunebench.targets.errors import SshConfigError

#: Names may be looked up (CanonicalizeHostname), and commands run (Match exec).
_ASK_S = 60.0
#: What ssh says where the user database has no name for this account: it does nothing at all then.
_NO_ACCOUNT = ("No user exists for uid", "You don't exist")


class NoSshError(Exception):
    """There is no ssh to ask, or it does not work for this account."""


def find_ssh() -> str | None:
    """Return the path of OpenSSH's client; ``None`` if it is not installed (Debian: openssh-client)."""
    return shutil.which("ssh")


def options(host: str, user: str | None, port: int | None, jump: str | None, file: str | None) -> list[str]:
    """Return ssh's options and its last argument, the host.

    Args:
        host: as ssh takes it.
        user: overrides the configuration.
        port: overrides the configuration.
        jump: jump hosts; overrides the configuration.
        file: the configuration; ``None``: the user's and the system's; ``""``: none.
    """
    argv: list[str] = []
    if file is not None:
        argv += ["-F", os.path.expanduser(file) if file else "/dev/null"]  # noqa: PTH111 - "none" is no path
    if user is not None:
        argv += ["-l", user]
    if port is not None:
        argv += ["-p", str(port)]
    if jump is not None:
        # In a URI, ssh takes no address in brackets.
        hops = (re.sub(r"\Assh://(.*?)/?\Z", r"\1", hop.strip()) for hop in jump.split(","))
        argv += ["-J", ",".join(hops)]
    return [*argv, "--", host]


def ask(
    host: str,
    *,
    user: str | None = None,
    port: int | None = None,
    jump: str | None = None,
    file: str | None = None,
) -> dict[str, list[str]]:
    """Return what ``ssh -G`` prints: keyword in lower case -> its values.

    Raises:
        NoSshError: there is no ssh, or it does not work for this account.
        SshConfigError: ssh refuses its configuration, or the host's name; with its words.
    """
    program = find_ssh()
    if program is None:
        raise NoSshError("no ssh on this machine: install openssh-client")
    argv = [program, "-T", "-G", *options(host, user, port, jump, file)]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise SshConfigError(
            f"{host}: ssh -G gives no answer within {_ASK_S:g} s: a 'Match exec' of the ssh config, or a resolver?"
        ) from None
    except OSError as error:
        raise NoSshError(f"{program}: {error.strerror}") from None
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode != 0 or not done.stdout:
        if any(words in said for words in _NO_ACCOUNT):
            raise NoSshError(said)
        raise SshConfigError(f"{host}: ssh config: {_in_one_line(said) or f'exit status {done.returncode}'}")
    return parse(os.fsdecode(done.stdout))


def parse(text: str) -> dict[str, list[str]]:
    """Return keyword -> values of what ``ssh -G`` has printed."""
    values: dict[str, list[str]] = {}
    for line in text.split("\n"):
        keyword, _, value = line.partition(" ")
        if keyword:
            values.setdefault(keyword.lower(), []).append(value)
    return values


def _in_one_line(said: str) -> str:
    """Join what ssh says; its last line only counts the others."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    causes = [line for line in lines if "terminating," not in line] or lines
    return "; ".join(causes)[:600]
