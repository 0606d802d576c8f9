"""Public keys of SSH: which kinds are good enough, and the fingerprint that a person compares."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

LEAST_RSA_BITS = 2048
# Beyond what ssh itself reads; a larger number would only cost time.
MOST_RSA_BITS = 16384
NOT_ACCEPTED = "This type of key is not accepted; use Ed25519, ECDSA or RSA."
TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)


class KeyRefused(ValueError):
    """A key cannot be used; the message says why, and holds nothing of the key."""


@dataclass(frozen=True)
class PublicKey:
    """A public key as files of SSH write it: its type and its base64."""

    type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint as ssh-keygen shows it."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def label(self) -> str:
        """Return the kind of key as people call it."""
        if self.type == "ssh-rsa":
            return f"RSA {_bits(self)}"
        return "Ed25519" if self.type == "ssh-ed25519" else f"ECDSA P-{self.type[-3:]}"


def parse(kind: str, text: str) -> PublicKey:
    """Return the key that a line gives as type and base64; raise KeyRefused when it cannot be used."""
    if kind not in TYPES:
        raise KeyRefused(NOT_ACCEPTED)
    try:
        canonical = base64.b64encode(base64.b64decode(text, validate=True)).decode()
        loaded = load_ssh_public_key(f"{kind} {canonical}".encode())
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefused("This is not a whole public key.") from error
    check_strength(loaded)
    return PublicKey(kind, canonical)


def check_strength(key: object) -> None:
    """Raise KeyRefused for a key that is too weak or of a kind that is not accepted."""
    if isinstance(key, RSAPublicKey):
        if not LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
            raise KeyRefused(
                f"An RSA key has {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits; this one has {key.key_size}."
            )
    elif not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey):
        raise KeyRefused(NOT_ACCEPTED)


def _bits(key: PublicKey) -> int:
    loaded = load_ssh_public_key(f"{key.type} {key.base64}".encode())
    assert isinstance(loaded, RSAPublicKey)  # noqa: S101 - its type says so
    return loaded.key_size
