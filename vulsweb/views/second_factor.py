"""`/account/second-factor` and `/sign-in/code`: codes of an app, set up and asked for."""

from datetime import UTC, datetime

import segno
from flask import Blueprint, current_app, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb.accounts import permissions, second_factor, sessions, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.extensions import db, limiter
from vulsweb.models import User
from vulsweb.views import auth

# Of the account's blueprint by name, so that every role may use it.
bp = Blueprint("account_second_factor", __name__)


@bp.get("/account/second-factor")
@login_required
def setup() -> ResponseReturnValue:
    """Show a secret as a QR code; the same until used."""
    session.setdefault("new_secret", second_factor.new_secret())
    return _setup_page()


@bp.post("/account/second-factor")
@login_required
@limiter.limit("10 per minute")
def switch_on() -> ResponseReturnValue:
    """Demand codes from now on; show the recovery codes once."""
    user = db.session.get_one(User, current_user.id)
    if "new_secret" not in session:
        return redirect(url_for("account_second_factor.setup"), code=303)
    if not User.check_password(user, request.form.get("confirm", "")):
        return _setup_page(confirm="Wrong password."), 422
    secret, now = session["new_secret"], datetime.now(UTC)
    try:
        codes = second_factor.switch_on(
            user, secret, request.form.get("code", ""), current_app.config["SECRET_KEY"], now
        )
    except AccessError as error:
        return _setup_page(code=str(error)), 422
    del session["new_secret"]
    sessions.end_all(user, but=session["key"])
    db.session.commit()
    return render_template("account/recovery_codes.html", codes=codes)


@bp.post("/account/second-factor/off")
@login_required
@limiter.limit("10 per minute")
def switch_off() -> ResponseReturnValue:
    """Demand no codes any more."""
    user = db.session.get_one(User, current_user.id)
    if not User.check_password(user, request.form.get("confirm", "")):
        flash("Wrong password. The second factor is still on.", "warning")
        return redirect(url_for("account.index"), code=303)
    if permissions.needs_second_factor(user):
        flash("A second factor is demanded here, so it stays on.", "warning")
        return redirect(url_for("account.index"), code=303)
    second_factor.switch_off(user)
    auth.begin_session(user)
    db.session.commit()
    flash("The second factor is off. Your other sessions are signed out.", "success")
    return redirect(url_for("account.index"), code=303)


@bp.get("/sign-in/code")
def ask() -> ResponseReturnValue:
    """Ask for a code, after the right password."""
    user = auth.entering_user()
    return redirect(url_for("auth.sign_in"), code=303) if user is None else auth.code_page(user, "")


@bp.post("/sign-in/code")
@limiter.limit("10 per minute")
@limiter.limit("5 per minute; 50 per hour", key_func=lambda: f"code of {auth.entering_id()}")
def enter() -> ResponseReturnValue:
    """Sign in with a code."""
    user = auth.entering_user()
    if user is None:
        flash("That took too long. Sign in again.", "warning")
        return redirect(url_for("auth.sign_in"), code=303)
    try:
        accepted = second_factor.accepts(
            user, request.form.get("code", ""), current_app.config["SECRET_KEY"], datetime.now(UTC)
        )
    except AccessError as error:
        return auth.code_page(user, str(error)), 422
    if not accepted:
        db.session.rollback()
        auth.log.warning("code refused: %s, from %s", user.name, request.remote_addr)
        users.record_refusal(user.name, "code")
        db.session.commit()
        return auth.code_page(user, "Wrong code. Each code works once."), 422
    return auth.let_in(user, request.args.get("next"))


def _setup_page(**errors: str) -> str:
    secret = session["new_secret"]
    address = second_factor.address(secret, current_user)
    picture = segno.make(address, micro=False).svg_data_uri(scale=4, border=3, light="#fff")
    return render_template("account/second_factor.html", secret=secret, picture=picture, errors=errors)
