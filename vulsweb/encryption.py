"""Encryption of stored texts that have to be read again."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Unreadable(Exception):
    """A stored text cannot be decrypted: the secret key has changed."""


def encrypt(text: str, secret_key: str, purpose: str) -> str:
    """Return a text as it is stored.

    Each purpose has a key of its own.
    """
    return _fernet(secret_key, purpose).encrypt(text.encode()).decode()


def decrypt(stored: str, secret_key: str, purpose: str) -> str:
    """Return a stored text; raise Unreadable if the key is another."""
    try:
        return _fernet(secret_key, purpose).decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def _fernet(secret_key: str, purpose: str) -> Fernet:
    # Derived, so that the one key in the secrets folder is enough, and backups carry it already.
    derived = HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
