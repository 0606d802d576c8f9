"""`/account/passkeys` and `/sign-in/passkey`: keys in place of codes."""

from datetime import UTC, datetime

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from webauthn import base64url_to_bytes
from webauthn.helpers import bytes_to_base64url

from vulsweb.accounts import passkeys, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.accounts.passkeys import Site
from vulsweb.extensions import db, limiter
from vulsweb.models import User
from vulsweb.views import auth

# Of the account's blueprint by name, so that every role may use it.
bp = Blueprint("account_passkeys", __name__)


@bp.get("/account/passkeys")
@login_required
def index() -> str:
    """List the user's keys, with a form to add one."""
    return _page({})


@bp.post("/account/passkeys/begin")
@login_required
@limiter.limit("20 per minute")
def begin_adding() -> Response:
    """Return what the browser asks a new key."""
    options, challenge = passkeys.begin_adding(current_user, site())
    return _options(options, challenge)


@bp.post("/account/passkeys")
@login_required
@limiter.limit("10 per minute")
def add() -> ResponseReturnValue:
    """Add a key, for who knows the password."""
    user = db.session.get_one(User, current_user.id)
    if user.totp_secret is None:
        flash("First set up the codes of an app.", "warning")
        return redirect(url_for("account_second_factor.setup"), code=303)
    if not User.check_password(user, request.form.get("confirm", "")):
        return _page({"confirm": "Wrong password."}), 422
    try:
        name, answer = request.form.get("name", ""), request.form.get("answer", "")
        key = passkeys.add(user, name, answer, _challenge(), site(), datetime.now(UTC))
    except AccessError as error:
        return _page({"name": str(error)}), 422
    db.session.commit()
    flash(f"Key {key.name} added.", "success")
    return redirect(url_for("account_passkeys.index"), code=303)


@bp.post("/account/passkeys/<int:key_id>/remove")
@login_required
def remove(key_id: int) -> ResponseReturnValue:
    """Remove a key."""
    name = passkeys.remove(current_user, key_id) or abort(404)
    db.session.commit()
    flash(f"Key {name} removed.", "success")
    return redirect(url_for("account_passkeys.index"), code=303)


@bp.post("/sign-in/passkey/begin")
@limiter.limit("20 per minute")
def begin_signing_in() -> ResponseReturnValue:
    """Return what the browser asks one of the user's keys."""
    user = auth.entering_user()
    if user is None:
        return redirect(url_for("auth.sign_in"), code=303)
    options, challenge = passkeys.begin_signing_in(user, site())
    return _options(options, challenge)


@bp.post("/sign-in/passkey")
@limiter.limit("10 per minute")
def enter() -> ResponseReturnValue:
    """Sign in with a key."""
    user = auth.entering_user()
    if user is None:
        flash("That took too long. Sign in again.", "warning")
        return redirect(url_for("auth.sign_in"), code=303)
    if not passkeys.accepts(user, request.form.get("answer", ""), _challenge(), site(), datetime.now(UTC)):
        db.session.rollback()
        auth.log.warning("key refused: %s, from %s", user.name, request.remote_addr)
        users.record_refusal(user.name, "key")
        db.session.commit()
        return auth.code_page(user, "This key was not accepted. Try again, or use a code."), 422
    return auth.let_in(user, request.args.get("next"))


def site() -> Site:
    """Return the site as the browser asked for it.

    A page elsewhere cannot ask for this one's keys: the browser binds them to the name.
    """
    return Site(auth.origin())


def _options(options: str, challenge: bytes) -> Response:
    session["challenge"] = bytes_to_base64url(challenge)
    return Response(options, mimetype="application/json")


def _challenge() -> bytes:
    """Return the challenge that was asked for; each counts once."""
    return base64url_to_bytes(session.pop("challenge", ""))


def _page(errors: dict[str, str]) -> str:
    return render_template(
        "account/passkeys.html",
        keys=passkeys.of_user(current_user),
        site=site(),
        errors=errors,
        values=request.form,
    )
