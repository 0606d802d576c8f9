"""`/sign-in/openid`: to the provider of OpenID Connect, and back."""

import logging
from datetime import UTC, datetime
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import FlaskOAuth2App, OAuth
from flask import Blueprint, current_app, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from joserfc.errors import JoseError

from vulsweb.accounts import single_sign_on, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.config import OpenIdSettings
from vulsweb.extensions import db, limiter
from vulsweb.views import auth

log = logging.getLogger(__name__)

SECONDS = 5  # for each answer of the provider
# A key of ours is no provider's: no HMAC, and never "none".
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
UNREACHABLE = "{} does not answer. Try again, or sign in with a password."
NOT_BELIEVED = "The answer of {} could not be verified, so you are not signed in. Try again."

bp = Blueprint("auth_openid", __name__, url_prefix="/sign-in/openid")


@bp.get("")
@limiter.limit("20 per minute")
def begin() -> ResponseReturnValue:
    """Lead to the provider."""
    settings = _settings()
    if settings is None:
        return redirect(url_for("auth.sign_in"), code=303)
    session["openid_next"] = auth.local_path(request.args.get("next"))
    try:
        answer: ResponseReturnValue = _client(settings).authorize_redirect(_return_address())
    except (requests.RequestException, AuthlibBaseError, RuntimeError, ValueError) as error:
        return _refused(settings, UNREACHABLE.format(settings.label), f"begin: {error}")
    return answer


@bp.get("/callback")
@limiter.limit("20 per minute")
def finish() -> ResponseReturnValue:
    """Sign in who comes back from the provider."""
    settings = _settings()
    if settings is None:
        return redirect(url_for("auth.sign_in"), code=303)
    try:
        claims = _claims(settings)
    except requests.RequestException as error:
        return _refused(settings, UNREACHABLE.format(settings.label), f"answer: {error}")
    except (AuthlibBaseError, JoseError, RuntimeError, KeyError, TypeError, ValueError) as error:
        return _refused(settings, NOT_BELIEVED.format(settings.label), f"answer: {error}")
    try:
        user = single_sign_on.user_of(claims, settings, datetime.now(UTC))
    except AccessError as error:
        db.session.rollback()
        return _refused(settings, str(error), str(error))
    return auth.let_in(user, session.get("openid_next"))


def _claims(settings: OpenIdSettings) -> dict[str, Any]:
    """Return the verified claims.

    Groups may be in the ID token, or come from the userinfo endpoint.
    """
    client = _client(settings)
    options = {
        "iss": {"essential": True, "value": settings.issuer},
        "aud": {"essential": True, "value": settings.client_id},
        "sub": {"essential": True},
        "exp": {"essential": True},
    }
    token = client.authorize_access_token(claims_options=options)
    claims = dict(token["userinfo"])
    if settings.groups_claim not in claims and client.load_server_metadata().get("userinfo_endpoint"):
        more = client.userinfo(token=token)
        if more.get("sub") != claims["sub"]:
            raise ValueError("the userinfo endpoint tells of somebody else")
        claims = {**more, **claims}
    return claims


def _client(settings: OpenIdSettings) -> FlaskOAuth2App:
    """Return a client of the provider, whose metadata have been read."""
    client: FlaskOAuth2App = OAuth(current_app).register(  # type: ignore[no-untyped-call]
        "openid",
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": settings.scope,
            "code_challenge_method": "S256",
            "default_timeout": SECONDS,
        },
    )
    metadata = client.load_server_metadata()
    if metadata.get("issuer") != settings.issuer:
        raise ValueError(f"its metadata name another issuer: {metadata.get('issuer')!r}")
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    metadata["id_token_signing_alg_values_supported"] = [each for each in offered if each in ALGORITHMS]
    return client


def _return_address() -> str:
    public: str = current_app.config["PUBLIC_URL"]
    path = url_for("auth_openid.finish")
    # The public address has the path of the site in it already.
    root = current_app.config.get("ROOT_PATH", "")
    return f"{public}{path.removeprefix(root)}" if public else f"{auth.origin()}{path}"


def _refused(settings: OpenIdSettings, sentence: str, reason: str) -> ResponseReturnValue:
    log.warning("single sign-on refused: %.300s, from %s", reason, request.remote_addr)
    users.record_refusal("", f"{settings.label}: {reason[:300]}")
    db.session.commit()
    flash(sentence, "error")
    return redirect(url_for("auth.sign_in"), code=303)


def _settings() -> OpenIdSettings | None:
    settings: OpenIdSettings | None = current_app.config["OPENID"]
    return settings
