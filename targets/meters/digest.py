"""HTTP digest authentication (RFC 7616) with SHA-256, as Shelly Gen2 asks for; urllib knows MD5 and SHA-1 only."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable

_PAIR = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')
_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


class ChallengeError(ValueError):
    """The server asks for a way to authenticate that is not known here."""


class Digest:
    """Answers one server's challenges; keeps the last one, so that further requests need no second try."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._challenge: dict[str, str] = {}
        self._count = 0

    def challenged(self, header: str) -> None:
        """Take in a ``WWW-Authenticate`` header.

        Raises:
            ChallengeError: not digest, or of an unknown algorithm or quality of protection.
        """
        scheme, _, rest = header.strip().partition(" ")
        found = {key.lower(): quoted or bare for key, quoted, bare in _PAIR.findall(rest)}
        algorithm = found.setdefault("algorithm", "MD5")
        if scheme.lower() != "digest" or algorithm not in _HASHES or not found.get("nonce"):
            raise ChallengeError(
                f"it asks for {scheme or 'no'} authentication ({algorithm}); known: digest, SHA-256"
            )
        if "auth" not in re.split(r"[\s,]+", found.get("qop", "auth")):
            raise ChallengeError(f"it asks for digest qop {found['qop']!r}; known: auth")
        self._challenge, self._count = found, 0

    def header(self, method: str, uri: str) -> str | None:
        """The ``Authorization`` header of a request; None as long as nothing was asked."""
        asked = self._challenge
        if not asked:
            return None
        self._count += 1
        count, cnonce = f"{self._count:08x}", secrets.token_hex(8)
        secret = self._hash(f"{self._user}:{asked.get('realm', '')}:{self._password}")
        request = self._hash(f"{method}:{uri}")
        response = self._hash(f"{secret}:{asked['nonce']}:{count}:{cnonce}:auth:{request}")
        parts = {
            "username": self._user,
            "realm": asked.get("realm", ""),
            "nonce": asked["nonce"],
            "uri": uri,
            "response": response,
            "cnonce": cnonce,
        }
        if "opaque" in asked:
            parts["opaque"] = asked["opaque"]
        quoted = ", ".join(f'{key}="{value}"' for key, value in parts.items())
        return f"Digest {quoted}, qop=auth, nc={count}, algorithm={asked['algorithm']}"

    def _hash(self, text: str) -> str:
        return _HASHES[self._challenge["algorithm"]](text.encode()).hexdigest()
