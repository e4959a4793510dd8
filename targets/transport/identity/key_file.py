"""Read a key file once, by its own type: OpenSSH's form, PEM, PKCS#8, or the public half only."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tunebench.targets.transport.host_keys.blobs import BlobError, key_type_of, take_string

_MAX_B = 1024 * 1024
_MAGIC = b"openssh-key-v1\0"
_CLASSES = (
    (rsa.RSAPrivateKey, paramiko.RSAKey),
    (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
    (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
)


@dataclass(frozen=True)
class KeyFile:
    """What is in a key file.

    Attributes:
        private: the key, if it can be used.
        public: its public half, also that of an encrypted key; ``None`` where the file does not tell it.
        fault: why ``private`` is ``None``; a word that goes after the file's name.
        there: the file exists.
    """

    path: Path
    private: paramiko.PKey | None = None
    public: bytes | None = None
    fault: str | None = None
    there: bool = True
    encrypted: bool = False


def read(path: Path) -> KeyFile:
    """Read a key file; never raises."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_B)
    except (FileNotFoundError, NotADirectoryError):
        return KeyFile(path, fault="does not exist", there=False)
    except OSError as error:
        return KeyFile(path, public=_public_beside(path), fault=f"cannot be read: {error.strerror}")
    if (public := _of_line(data)) is not None:
        return KeyFile(path, public=public, fault="holds the public half only, and no agent has the other")
    public = _public_within(data) or _public_beside(path)
    try:
        private = _paramiko_key(data)
    except _EncryptedError:
        fault = f"is encrypted; unlock it in an agent: ssh-add {path}"
        return KeyFile(path, public=public, fault=fault, encrypted=True)
    except (ValueError, TypeError, UnsupportedAlgorithm, paramiko.SSHException) as error:
        return KeyFile(path, public=public, fault=_why_not(data, public, error))
    return KeyFile(path, private, private.asbytes())


class _EncryptedError(Exception):
    """The key needs a passphrase."""


def _paramiko_key(data: bytes) -> paramiko.PKey:
    """Return the key as paramiko has it, from whatever form its file is in.

    cryptography reads all forms, and writes the one that every paramiko class reads (it knows no PKCS#8 itself).
    """
    if b"ENCRYPTED" in data:
        raise _EncryptedError
    try:
        try:
            loaded = serialization.load_ssh_private_key(data, None)
        except ValueError:
            loaded = serialization.load_pem_private_key(data, None)  # type: ignore[assignment]
    except TypeError as error:  # a passphrase is missing
        raise _EncryptedError from error
    return _converted(loaded)


def _converted(loaded: object) -> paramiko.PKey:
    for kind, key_class in _CLASSES:
        if isinstance(loaded, kind):
            text = loaded.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            ).decode()
            key: paramiko.PKey = key_class.from_private_key(io.StringIO(text))
            return key
    raise ValueError(f"{type(loaded).__name__} is not spoken any more")


def _why_not(data: bytes, public: bytes | None, error: Exception) -> str:
    if data.startswith(b"PuTTY-User-Key-File"):
        return "is PuTTY's; convert it: puttygen KEY.ppk -O private-openssh -o KEY"
    if public is not None and key_type_of(public).startswith("sk-"):
        return 'lives in a FIDO token: add it to an agent (ssh-add), or set transport = "openssh"'
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"is not a private key: {first[:200]}"


def _of_line(data: bytes) -> bytes | None:
    """Return the key of a line ``TYPE BASE64 COMMENT``; ``None`` if the data are none."""
    words = data.split(None, 2)
    if len(words) < 2:
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
        return blob if key_type_of(blob).encode() == words[0] else None
    except (binascii.Error, BlobError):
        return None


def certificate(path: Path) -> bytes | None:
    """Return the certificate in a file; ``None`` if there is none that can be read."""
    try:
        return _of_line(path.read_bytes()[:_MAX_B])
    except OSError:
        return None


def _public_beside(path: Path) -> bytes | None:
    return certificate(Path(f"{path}.pub"))


def _public_within(data: bytes) -> bytes | None:
    """Return the public half that OpenSSH's form has in the clear, also in front of an encrypted key."""
    lines = data.replace(b"\r", b"").split(b"\n")
    text = b"".join(line for line in lines if line and not line.startswith(b"-----"))
    try:
        body = base64.b64decode(text, validate=True)
        if not body.startswith(_MAGIC):
            return None
        place = len(_MAGIC)
        for _ in range(3):  # cipher, key derivation, its options
            _skipped, place = take_string(body, place)
        public, _ = take_string(body, place + 4)  # after the number of keys
        key_type_of(public)
        return public
    except (binascii.Error, BlobError):
        return None
