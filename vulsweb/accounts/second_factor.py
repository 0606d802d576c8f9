"""The second factor: codes of an app (TOTP, RFC 6238), recovery codes."""

import hashlib
import hmac
import secrets
from datetime import datetime

import pyotp

from vulsweb import encryption
from vulsweb.accounts import passkeys, sessions
from vulsweb.accounts.credentials import AccessError
from vulsweb.extensions import db
from vulsweb.models import User

ISSUER = "Vuls Web"
RECOVERY_CODES = 10
_PURPOSE = "vulsweb second factor"
_STEP_SECONDS = 30
# A code of the step before or after is taken too: clocks differ, and typing takes time.
_STEPS = (-1, 0, 1)


def new_secret() -> str:
    """Return a secret for an app, in base 32."""
    return pyotp.random_base32()


def address(secret: str, user: User) -> str:
    """Return the address that an app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=user.name, issuer_name=ISSUER)


def switch_on(user: User, secret: str, code: str, secret_key: str, now: datetime) -> list[str]:
    """Demand codes of `secret` from now on; return the recovery codes.

    Raise AccessError if the code is not one of them.
    """
    step = _matching_step(secret, code, now)
    if step is None:
        raise AccessError("This code is wrong. Check that the clock of the device with the app is right.")
    codes = ["-".join((secrets.token_hex(3), secrets.token_hex(3))) for _ in range(RECOVERY_CODES)]
    user.totp_secret = encryption.encrypt(secret, secret_key, _PURPOSE)
    user.totp_step, user.recovery_hashes = step, [_hash(code) for code in codes]
    return codes


def switch_off(user: User) -> None:
    """Demand no codes any more, and end all sessions."""
    user.totp_secret, user.totp_step, user.recovery_hashes = None, None, []
    passkeys.remove_all(user)
    sessions.end_all(user)


def accepts(user: User, code: str, secret_key: str, now: datetime) -> bool:
    """Return whether a code lets the user in; each does so once.

    Raise AccessError if the secret cannot be read.
    """
    # The lock keeps two requests from using one code.
    locked = db.session.get_one(User, user.id, with_for_update=True, populate_existing=True)
    if locked.totp_secret is None:
        return False
    if (hashed := _hash(code)) in locked.recovery_hashes:
        locked.recovery_hashes = [each for each in locked.recovery_hashes if each != hashed]
        return True
    try:
        secret = encryption.decrypt(locked.totp_secret, secret_key, _PURPOSE)
    except encryption.Unreadable as error:
        raise AccessError(
            "Codes cannot be checked, because the secret key has changed. Use a recovery code, or ask an"
            " administrator to run `vulsweb user second-factor-off`."
        ) from error
    step = _matching_step(secret, code, now)
    if step is None or (locked.totp_step is not None and step <= locked.totp_step):
        return False
    locked.totp_step = step
    return True


def _matching_step(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step whose code this is."""
    given, app = "".join(code.split()).encode(errors="replace"), pyotp.TOTP(secret)
    for shift in _STEPS:
        step = int(now.timestamp()) // _STEP_SECONDS + shift
        if hmac.compare_digest(app.at(step * _STEP_SECONDS).encode(), given):
            return step
    return None


def _hash(code: str) -> str:
    # SHA-256 is enough: a recovery code has 48 random bits, and tries are limited.
    return hashlib.sha256("".join(code.split()).lower().encode(errors="replace")).hexdigest()
