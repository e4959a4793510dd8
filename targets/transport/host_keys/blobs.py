"""Public keys as SSH sends them: a string with the key's type, then the rest (RFC 4253, section 6.6)."""

from __future__ import annotations

import base64
import hashlib

CERTIFICATE = "-cert-v01@openssh.com"


class BlobError(ValueError):
    """Bytes that are no public key."""


def take_string(data: bytes, start: int = 0) -> tuple[bytes, int]:
    """Return a string of the wire format (RFC 4251, section 5) and where the next field begins.

    Raises:
        BlobError: the data end before it does.
    """
    end = start + 4 + int.from_bytes(data[start : start + 4], "big")
    if len(data) < start + 4 or len(data) < end:
        raise BlobError("the key is cut")
    return data[start + 4 : end], end


def key_type_of(blob: bytes) -> str:
    """Return the type that a public key or certificate begins with.

    Raises:
        BlobError: it is none.
    """
    try:
        return take_string(blob)[0].decode("ascii")
    except UnicodeDecodeError:
        raise BlobError("the key has no type") from None


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as OpenSSH prints it: ``SHA256:`` and unpadded base64."""
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()


def described(blob: bytes) -> str:
    """Return a key in words: its type and fingerprint."""
    return f"{key_type_of(blob)} {fingerprint(blob)}"
