"""Decide on the key that a server shows: known, certified, new, changed or revoked.

What is unknown is refused unless ``accept-new`` is set; what changed or was revoked always is. The steps are those of
OpenSSH (``check_host_key`` in sshconnect.c): a certificate by its authority, else its plain key; then the line for this
port, then, for a key that is new there, the line without a port.
"""

from __future__ import annotations

import ipaddress
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tunebench.targets.errors import HostKeyError
from tunebench.targets.transport.config.host_config import DEFAULT_PORT, HostConfig
from tunebench.targets.transport.host_keys import certificate, known_hosts
from tunebench.targets.transport.host_keys.blobs import CERTIFICATE, described, key_type_of
from tunebench.targets.transport.host_keys.known_hosts import KnownKey

_ASK_S = 10.0
_RSA = ("ssh-rsa", "rsa-sha2-256", "rsa-sha2-512")


class HostKeys:
    """What is known of one host's keys."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        host = config.host_key_alias or config.hostname
        #: What a certificate must name.
        self._host = host
        if config.host_key_alias or config.port == DEFAULT_PORT:
            self._names = [host]
        else:
            self._names = [f"[{host}]:{config.port}", host]
        self._keys = known_hosts.read((*config.known_hosts, *config.global_known_hosts))

    def _of(self, name: str, marker: str = "") -> list[KnownKey]:
        return [key for key in self._keys if key.marker == marker and key.is_of(name)]

    def ordered(self, algorithms: Sequence[str]) -> list[str]:
        """Return algorithms for host keys, those first that we can verify with what is known.

        Args:
            algorithms: all that can be spoken, the best first; certificates among them.
        """
        authorities = any(self._of(name, "@cert-authority") for name in self._names)
        spoken = [name for name in algorithms if authorities or not name.endswith(CERTIFICATE)]
        known = {key.key_type for name in self._names for key in self._of(name)}

        def rank(algorithm: str) -> int:
            if algorithm.endswith(CERTIFICATE):
                return 0
            return 1 if (algorithm in known or ("ssh-rsa" in known and algorithm in _RSA)) else 2

        return sorted(spoken, key=rank)

    def check(self, shown: bytes) -> None:
        """Accept the key that a server has proved to have, or refuse it.

        Args:
            shown: the public key or certificate, as it was sent.

        Raises:
            HostKeyError: unknown, changed, or revoked; the message says what would be right.
        """
        plain, note = shown, ""
        if self._config.trust_localhost and self._is_this_machine():
            return
        if certificate.is_certificate(shown):
            try:
                proof = certificate.read(shown)
            except ValueError as error:
                raise HostKeyError(
                    f"{self._config.where}: its host certificate cannot be read: {error}"
                ) from None
            self._refuse_revoked(proof.plain, proof.authority)
            if self._signed_by_ours(proof.authority):
                fault = proof.unfit_for(self._host)
                if fault is None:
                    return
                note = f"; it has a certificate of an authority that we know, but {fault}"
            else:
                note = (
                    f"; it has a certificate of an authority that is not known ({described(proof.authority)})"
                )
            plain = proof.plain
        self._refuse_revoked(plain)
        self._check_plain(plain, note)

    def _is_this_machine(self) -> bool:
        """Tell whether the host is this machine by its address; what a proxy leads to is not known to be."""
        config = self._config
        if config.host_key_alias or config.proxy_command or config.proxy_jump:
            return False
        if config.hostname == "localhost":
            return True
        try:
            return ipaddress.ip_address(config.hostname).is_loopback
        except ValueError:
            return False

    def _signed_by_ours(self, authority: bytes) -> bool:
        return any(key.blob == authority for name in self._names for key in self._of(name, "@cert-authority"))

    def _refuse_revoked(self, *blobs: bytes) -> None:
        # As in ssh, only lines for this very port count here; a line without a port revokes what it would vouch for.
        for key in self._of(self._names[0], "@revoked"):
            if key.blob in blobs:
                raise HostKeyError(
                    f"{self._config.where}: the host key is revoked: {described(key.blob)} ({key.place})."
                    " Somebody who has it may pretend to be this board: give the board a new one"
                )
        file = self._config.revoked_host_keys
        if file is not None and (reason := _listed_as_revoked(file, blobs)):
            raise HostKeyError(f"{self._config.where}: the host key is revoked: {reason}")

    def _check_plain(self, plain: bytes, note: str) -> None:
        known = self._of(self._names[0])
        if any(key.blob == plain for key in known):
            return
        if known:
            # Also where all are of other types: those were asked for first, and the server has none of them any more.
            raise HostKeyError(self._changed(plain, known) + note)
        for name in self._names[1:]:
            if any(key.blob == plain for key in self._of(name)) and not any(
                key.blob == plain for key in self._of(name, "@revoked")
            ):
                return
        if not self._config.accept_new:
            raise HostKeyError(self._unknown(plain) + note)
        self._remember(plain)

    def _changed(self, plain: bytes, keys: Sequence[KnownKey]) -> str:
        known = next((key for key in keys if key.key_type == key_type_of(plain)), keys[0])
        other = (
            ""
            if known.key_type == key_type_of(plain)
            else ", and the server has no key of that type any more"
        )
        command = shlex.join(["ssh-keygen", "-R", self._names[0], "-f", str(known.file)])
        return (
            f"{self._config.where}: the host key has changed: got {described(plain)}, known is "
            f"{described(known.blob)} ({known.place}){other}. Another machine, or someone in between? If the board was "
            f"set up anew, remove its line: {command}"
        )

    def _unknown(self, plain: bytes) -> str:
        config = self._config
        files = ", ".join(map(str, config.known_hosts)) or "any file (UserKnownHostsFile is none)"
        remedy = "set host_keys = 'accept-new'"
        if config.known_hosts:
            port = [] if config.port == DEFAULT_PORT else ["-p", str(config.port)]
            scan = shlex.join(["ssh-keyscan", *port, "-t", _short_type(plain), config.hostname])
            remedy += f", or take it over: {scan} >> {shlex.quote(str(config.known_hosts[0]))}"
        return (
            f"{config.where}: unknown host key {described(plain)}; it is not in {files}. Check it (on the board:"
            f" ssh-keygen -lf /etc/ssh/ssh_host_{_short_type(plain)}_key.pub), then {remedy}"
        )

    def _remember(self, plain: bytes) -> None:
        if not self._config.known_hosts:
            return
        file, name = self._config.known_hosts[0], self._names[0]
        try:
            known_hosts.append(
                file, known_hosts.hashed(name) if self._config.hash_known_hosts else name, plain
            )
        except OSError as error:
            raise HostKeyError(f"{self._config.where}: cannot write its key to {file}: {error}") from error


def _short_type(blob: bytes) -> str:
    """Return a key's type as ssh-keyscan takes it."""
    key_type = key_type_of(blob)
    return (
        "rsa"
        if key_type in _RSA
        else "ecdsa"
        if key_type.startswith("ecdsa-")
        else key_type.removeprefix("ssh-")
    )


def _listed_as_revoked(file: Path, blobs: Sequence[bytes]) -> str | None:
    """Return why ``RevokedHostKeys`` forbids one of the keys; ssh-keygen reads its lists and its binary form.

    As in ssh, a list that cannot be read forbids all.
    """
    program = shutil.which("ssh-keygen")
    if not file.is_file():
        return f"RevokedHostKeys {file} is not there"
    if program is None:
        return f"RevokedHostKeys {file} cannot be read without ssh-keygen: install openssh-client"
    for blob in blobs:
        with tempfile.NamedTemporaryFile("w", suffix=".pub") as public:
            public.write(known_hosts.as_line(blob) + "\n")
            public.flush()
            argv = [program, "-Q", "-f", str(file), public.name]
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_S, check=False
            )
        if done.returncode != 0:
            return f"{described(blob)} is in {file}"
    return None
