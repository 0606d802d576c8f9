"""Passkeys and security keys (WebAuthn), in place of codes.

A user sets up the codes of an app first; they and the recovery codes stay a way in if a key is lost.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import select
from sqlalchemy.exc import NoResultFound
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from vulsweb.accounts.credentials import NAME_LENGTH, AccessError
from vulsweb.extensions import db
from vulsweb.models import Passkey, User

MOST = 10
# Of the browser's answer; certificates of a security key are in it.
ANSWER_LENGTH = 20_000
_LOCAL = ("localhost",)
# What an answer that no browser gives leads to.
_WRONG = (WebAuthnException, LookupError, ValueError, TypeError, RecursionError)


@dataclass(frozen=True)
class Site:
    """The site as the browser knows it."""

    origin: str

    @property
    def name(self) -> str:
        """Return the name that keys are bound to, or nothing."""
        try:
            return urlsplit(self.origin).hostname or ""
        except ValueError:  # no browser asks for such a name: "["
            return ""

    @property
    def takes_keys(self) -> bool:
        """Return whether browsers offer keys here.

        They do for names over HTTPS, and on this machine (Web Authentication Level 3, 5.1.3).
        """
        try:
            ipaddress.ip_address(self.name)
        except ValueError:
            return self.origin.startswith("https://") or self.name in _LOCAL
        return False


def of_user(user: User) -> Sequence[Passkey]:
    """Return a user's keys, by name."""
    return db.session.scalars(select(Passkey).where(Passkey.user_id == user.id).order_by(Passkey.name)).all()


def begin_adding(user: User, site: Site) -> tuple[str, bytes]:
    """Return the browser's options as JSON, and their challenge."""
    options = webauthn.generate_registration_options(
        rp_id=site.name,
        rp_name="Vuls Web",
        user_name=user.name,
        user_id=str(user.id).encode(),
        exclude_credentials=_descriptors(user),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
    )
    return webauthn.options_to_json(options), options.challenge


def add(user: User, name: str, answer: str, challenge: bytes, site: Site, now: datetime) -> Passkey:
    """Add the key that the browser answers with; raise AccessError."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH:
        raise AccessError(f"A name has 1 to {NAME_LENGTH} printable characters.")
    known = of_user(user)
    if len(known) >= MOST:
        raise AccessError(f"There are {MOST} keys already. Remove one first.")
    if name.strip() in {key.name for key in known}:
        raise AccessError("Another of your keys has this name.")
    try:
        verified = webauthn.verify_registration_response(
            credential=_checked(answer),
            expected_challenge=challenge,
            expected_rp_id=site.name,
            expected_origin=site.origin,
        )
    except _WRONG as error:
        raise AccessError("The answer of the key could not be verified. Try again.") from error
    taken = select(Passkey.id).where(Passkey.credential_id == verified.credential_id)
    if db.session.scalar(taken) is not None:
        raise AccessError("This key is added already.")
    key = Passkey(
        user_id=user.id,
        name=name.strip(),
        site=site.name,
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        created_at=now,
    )
    db.session.add(key)
    db.session.flush()
    return key


def begin_signing_in(user: User, site: Site) -> tuple[str, bytes]:
    """Return the browser's options as JSON, and their challenge."""
    options = webauthn.generate_authentication_options(
        rp_id=site.name,
        allow_credentials=_descriptors(user),
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return webauthn.options_to_json(options), options.challenge


def accepts(user: User, answer: str, challenge: bytes, site: Site, now: datetime) -> bool:
    """Return whether the browser's answer is by one of the user's keys."""
    try:
        credential = webauthn.helpers.parse_authentication_credential_json(_checked(answer))
        # Locked, so that two answers with one counter do not both count.
        found = select(Passkey).where(
            Passkey.user_id == user.id,
            Passkey.credential_id == credential.raw_id,
            Passkey.site == site.name,
        )
        key = db.session.scalars(found.with_for_update()).one()
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=key.site,
            expected_origin=site.origin,
            credential_public_key=key.public_key,
            credential_current_sign_count=key.sign_count,
        )
    except (*_WRONG, NoResultFound):
        return False
    key.sign_count, key.last_used_at = verified.new_sign_count, now
    return True


def remove(user: User, key_id: int) -> str | None:
    """Remove a key of the user; return its name, or None."""
    key = db.session.get(Passkey, key_id)
    if key is None or key.user_id != user.id:
        return None
    db.session.delete(key)
    return key.name


def remove_all(user: User) -> None:
    """Remove a user's keys."""
    for key in of_user(user):
        db.session.delete(key)


def _descriptors(user: User) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=key.credential_id) for key in of_user(user)]


def _checked(answer: str) -> str:
    if len(answer) > ANSWER_LENGTH:
        raise ValueError("longer than any answer")
    return answer
