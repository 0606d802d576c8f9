"""Public SSH keys: which types and lengths are accepted, and their fingerprints."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

MIN_RSA_BITS = 2048
# More than ssh itself accepts; checking larger keys would only cost time.
MAX_RSA_BITS = 16384
NOT_ACCEPTED = "This type of key is not accepted; use Ed25519, ECDSA or RSA."
TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)


class KeyRefused(ValueError):
    """A key that is not accepted; the message never contains it."""


@dataclass(frozen=True)
class PublicKey:
    """A public key as in SSH files: type and base64 text."""

    type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint as ssh-keygen shows it."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def label(self) -> str:
        """Return the type of the key, to display."""
        if self.type == "ssh-rsa":
            key = load_ssh_public_key(f"{self.type} {self.base64}".encode())
            assert isinstance(key, RSAPublicKey)  # noqa: S101 - its type says so
            return f"RSA {key.key_size}"
        return "Ed25519" if self.type == "ssh-ed25519" else f"ECDSA P-{self.type[-3:]}"


def parse(kind: str, text: str) -> PublicKey:
    """Return the key of a type and base64 text, or raise KeyRefused."""
    if kind not in TYPES:
        raise KeyRefused(NOT_ACCEPTED)
    try:
        canonical = base64.b64encode(base64.b64decode(text, validate=True)).decode()
        loaded = load_ssh_public_key(f"{kind} {canonical}".encode())
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefused("This public key is incomplete or damaged.") from error
    check_strength(loaded)
    return PublicKey(kind, canonical)


def check_strength(key: object) -> None:
    """Raise KeyRefused for a weak key or an unaccepted type."""
    if isinstance(key, RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise KeyRefused(
                f"An RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits; this one has {key.key_size}."
            )
    elif not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey):
        raise KeyRefused(NOT_ACCEPTED)
