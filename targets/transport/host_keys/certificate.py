"""Check a host certificate of OpenSSH: who signed it, whether it holds now, and for whom (PROTOCOL.certkeys)."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

from tunebench.targets.transport.host_keys.blobs import CERTIFICATE, BlobError, key_type_of, take_string

#: What an authority may sign with: OpenSSH's CASignatureAlgorithms; SHA-1 (``ssh-rsa``) is not among them.
_SIGNATURES = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-256", "rsa-sha2-512",
)  # fmt: skip


def is_certificate(blob: bytes) -> bool:
    """Tell whether what a server showed is a certificate."""
    return key_type_of(blob).endswith(CERTIFICATE)


@dataclass(frozen=True)
class Certificate:
    """A host certificate.

    Attributes:
        plain: the host's own public key in it.
        authority: the public key of who signed it.
        fault: why it must not be believed, whoever signed it; ``None``: it is in order.
        principals: names that it holds for; none: for all.
    """

    plain: bytes
    authority: bytes
    fault: str | None
    principals: tuple[str, ...]

    def unfit_for(self, name: str) -> str | None:
        """Return why it does not hold for a host (in lower case, without port); ``None`` if it does."""
        if self.fault is not None:
            return self.fault
        if self.principals and name not in self.principals:
            return f"it holds for {', '.join(self.principals)[:200]}, not for {name}"
        return None


def read(blob: bytes, now_s: float | None = None) -> Certificate:
    """Read a certificate and verify its signature.

    Args:
        now_s: seconds since 1970; default: this machine's clock.

    Raises:
        ValueError: it cannot be understood.
    """
    line = key_type_of(blob).encode() + b" " + base64.b64encode(blob)
    try:
        certificate = load_ssh_public_identity(line)
        if not isinstance(certificate, SSHCertificate):
            raise BlobError("it is no certificate")
        plain = _blob(certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
        authority = _blob(certificate.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    except UnsupportedAlgorithm as error:
        raise ValueError(f"the certificate has a key that cannot be read here: {error}") from None
    principals = tuple(name.decode("utf-8", "replace") for name in certificate.valid_principals)
    fault = _fault(certificate, blob, time.time() if now_s is None else now_s)
    return Certificate(plain, authority, fault, principals)


def _blob(line: bytes) -> bytes:
    return base64.b64decode(line.split(b" ")[1])


def _fault(certificate: SSHCertificate, blob: bytes, now_s: float) -> str | None:
    try:
        certificate.verify_cert_signature()
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return "its signature is wrong"
    signature = key_type_of(_last_string(blob))
    options = b", ".join(certificate.critical_options).decode("utf-8", "replace")
    faults = (
        (signature not in _SIGNATURES, f"it is signed with {signature}, which is not safe any more"),
        (certificate.type is not SSHCertificateType.HOST, "it is a user's certificate, not a host's"),
        (now_s < certificate.valid_after, f"it holds only from {_utc(certificate.valid_after)} on"),
        (now_s >= certificate.valid_before, f"it expired at {_utc(certificate.valid_before)}"),
        (bool(options), f"it has critical options that no host certificate may have: {options[:100]}"),
    )
    return next((fault for holds, fault in faults if holds), None)


def _last_string(blob: bytes) -> bytes:
    """Return the signature: the last field, which ends where the certificate ends.

    The fields before it are not walked through (their number depends on the key's type): a string that reaches to the
    end and holds a signature of a known form is looked for from the end.
    """
    for start in range(len(blob) - 5, 0, -1):
        if start + 4 + int.from_bytes(blob[start : start + 4], "big") == len(blob):
            body = blob[start + 4 :]
            try:
                name, end = take_string(body)
                inner, last = take_string(body, end)
            except BlobError:
                continue
            if (
                last == len(body)
                and inner
                and name.isascii()
                and name.startswith((b"ssh-", b"ecdsa-", b"rsa-"))
            ):
                return body
    raise BlobError("the certificate has no signature")


def _utc(second: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    except (OverflowError, ValueError, OSError):
        return f"second {second}"
