"""`/account/`: the user's own time zone, password, sessions and API tokens."""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import cron
from vulsweb.accounts import credentials, sessions, tokens, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.extensions import db, limiter
from vulsweb.models import Scope, User
from vulsweb.views.auth import begin_session

# A single sign-on this recent confirms who somebody is.
FRESH = timedelta(minutes=10)

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show the account page."""
    return _page()


@bp.post("/timezone")
@login_required
def change_timezone() -> ResponseReturnValue:
    """Set the time zone in which times are shown."""
    try:
        users.change_timezone(current_user, request.form.get("timezone", "").strip() or None)
    except AccessError as error:
        return _page(timezone=str(error)), 422
    db.session.commit()
    flash("Time zone saved.", "success")
    return redirect(url_for("account.index"), code=303)


@bp.post("/password")
@login_required
@limiter.limit("10 per minute")
def change_password() -> ResponseReturnValue:
    """Change the password and end all other sessions of the user."""
    user = db.session.get_one(User, current_user.id)
    if not User.check_password(user, request.form.get("current", "")):
        return _page(current="Wrong password."), 422
    try:
        users.change_password(user, request.form.get("password", ""))
    except AccessError as error:
        return _page(password=str(error)), 422
    begin_session(user)
    db.session.commit()
    flash("Password changed. Your other sessions are signed out.", "success")
    return redirect(url_for("account.index"), code=303)


@bp.post("/tokens")
@login_required
@limiter.limit("10 per minute")
def create_token() -> ResponseReturnValue:
    """Create a token and show it once, for who knows the password."""
    user = db.session.get_one(User, current_user.id)
    if problem := _confirmation_problem(user):
        return _page(confirm=problem), 422
    try:
        scope, days = Scope(request.form.get("scope", Scope.READ.value)), int(request.form.get("days", "90"))
    except ValueError:
        abort(400)
    try:
        token = tokens.create(request.form.get("name", "").strip(), user, scope, days, datetime.now(UTC))
    except AccessError as error:
        return _page(name=str(error)), 422
    db.session.commit()
    # Shown in this response, never stored in the session: the cookie is signed but not encrypted.
    return _page(new_token=token)


@bp.post("/tokens/<int:token_id>/revoke")
@login_required
def revoke_token(token_id: int) -> ResponseReturnValue:
    """Revoke a token."""
    name = tokens.revoke(token_id, current_user) or abort(404)
    db.session.commit()
    flash(f"Token {name} revoked.", "success")
    return redirect(url_for("account.index"), code=303)


@bp.post("/sessions/<int:session_id>/end")
@login_required
def end_session(session_id: int) -> ResponseReturnValue:
    """Sign another browser out."""
    if not sessions.end_one(current_user, session_id):
        abort(404)
    db.session.commit()
    flash("That browser is signed out.", "success")
    return redirect(url_for("account.index"), code=303)


@bp.post("/sessions/end-others")
@login_required
def end_other_sessions() -> ResponseReturnValue:
    """Sign all other browsers of the user out."""
    count = sessions.end_all(current_user, but=session["key"])
    db.session.commit()
    flash(f"{count} other browser{'' if count == 1 else 's'} signed out.", "success")
    return redirect(url_for("account.index"), code=303)


def _confirmation_problem(user: User) -> str:
    """Return why it is not sure that the user sits there."""
    if user.subject is None:
        is_right = User.check_password(user, request.form.get("confirm", ""))
        return "" if is_right else "Wrong password."
    now = datetime.now(UTC)
    is_fresh = sessions.find(session["key"], FRESH, FRESH, now) is not None
    return "" if is_fresh else "Sign out and in again, and then create the token within ten minutes."


def _page(new_token: str | None = None, **errors: str) -> str:
    return render_template(
        "account/index.html",
        tokens=tokens.of_user(current_user),
        scopes=Scope,
        days=tokens.DAYS,
        values=request.form,
        sessions=sessions.of_user(current_user),
        this_session=sessions.key_hash(session["key"]),
        new_token=new_token,
        errors=errors,
        zones=cron.ZONES,
        name_length=credentials.NAME_LENGTH,
        password_length=credentials.MINIMUM_PASSWORD_LENGTH,
    )
