"""`/account/`: what a person keeps for themselves: time zone, password and tokens."""

from datetime import UTC, datetime

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required, login_user

from vulsweb.accounts import access
from vulsweb.extensions import db, limiter
from vulsweb.models import User
from vulsweb.views import forms

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show the account."""
    return _page()


@bp.post("/timezone")
@login_required
def change_timezone() -> ResponseReturnValue:
    """Choose the zone in which times are shown."""
    try:
        access.change_timezone(current_user, request.form.get("timezone", "").strip() or None)
    except access.AccessError as error:
        return _page(timezone=str(error)), 422
    db.session.commit()
    flash("Times are shown in your zone.", "success")
    return redirect(url_for("account.index"), code=303)


@bp.post("/password")
@login_required
@limiter.limit("10 per minute")
def change_password() -> ResponseReturnValue:
    """Take another password; all other sessions of the person end."""
    user = db.session.get_one(User, current_user.id)
    if not User.check_password(user, request.form.get("current", "")):
        return _page(current="This is not your password."), 422
    try:
        access.change_password(user, request.form.get("password", ""))
    except access.AccessError as error:
        return _page(password=str(error)), 422
    db.session.commit()
    login_user(user)  # this session goes on
    flash("Your password is changed. All your other sessions have ended.", "success")
    return redirect(url_for("account.index"), code=303)


@bp.post("/tokens")
@login_required
def create_token() -> ResponseReturnValue:
    """Make a token, and show it this once."""
    try:
        made = access.create_token(request.form.get("name", "").strip(), current_user, datetime.now(UTC))
    except access.AccessError as error:
        return _page(name=str(error)), 422
    db.session.commit()
    # Shown in the answer itself and never in the session, whose cookie only looks secret.
    return _page(made=made)


@bp.post("/tokens/<int:token_id>/revoke")
@login_required
def revoke_token(token_id: int) -> ResponseReturnValue:
    """Make a token worthless."""
    name = access.revoke_token(current_user, token_id) or abort(404)
    db.session.commit()
    flash(f"The token {name} is revoked.", "success")
    return redirect(url_for("account.index"), code=303)


def _page(made: str | None = None, **errors: str) -> str:
    tokens = access.tokens(current_user)
    return render_template("account/index.html", tokens=tokens, made=made, errors=errors, zones=forms.ZONES)
