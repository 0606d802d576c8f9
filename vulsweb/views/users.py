"""`/people/`: the users and their roles."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb.accounts import credentials, second_factor, sessions, tokens, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.extensions import db
from vulsweb.models import Role, User

bp = Blueprint("users", __name__, url_prefix="/people")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the users."""
    return _page({"role": Role.VIEWER}, None)


@bp.post("/")
@login_required
def create() -> ResponseReturnValue:
    """Add a user."""
    name, role = request.form.get("name", "").strip(), _role()
    try:
        user = users.create_user(name, request.form.get("password", ""), role, datetime.now(UTC), first=True)
    except AccessError as error:
        return _page({"name": name, "role": role}, str(error)), 422
    db.session.commit()
    return _redirect(f"{user.name} added as {user.role.label.lower()}.")


@bp.post("/<int:user_id>/role")
@login_required
def change_role(user_id: int) -> ResponseReturnValue:
    """Change the role of a user."""
    user = user_or_404(user_id)
    try:
        users.change_role(user, _role(), current_user.name, datetime.now(UTC))
    except AccessError as error:
        return _redirect(str(error), "warning")
    db.session.commit()
    return _redirect(f"{user.name} is now {user.role.label.lower()}.")


@bp.get("/<int:user_id>/delete")
@login_required
def confirm_delete(user_id: int) -> ResponseReturnValue:
    """Ask for confirmation before a user is removed."""
    user = user_or_404(user_id)
    return render_template("users/delete.html", user=user, tokens=tokens.of_user(user))


@bp.post("/<int:user_id>/delete")
@login_required
def delete(user_id: int) -> ResponseReturnValue:
    """Remove a user and their tokens; what they did keeps their name."""
    user = user_or_404(user_id)
    name = user.name
    try:
        users.delete_user(user, datetime.now(UTC))
    except AccessError as error:
        return _redirect(str(error), "warning")
    db.session.commit()
    return _redirect(f"{name} removed.")


@bp.post("/<int:user_id>/sign-out")
@login_required
def sign_out(user_id: int) -> ResponseReturnValue:
    """Sign all browsers of a user out."""
    user = user_or_404(user_id)
    sessions.end_all(user)
    db.session.commit()
    return _redirect(f"{user.name} is signed out everywhere.")


@bp.post("/<int:user_id>/second-factor-off")
@login_required
def second_factor_off(user_id: int) -> ResponseReturnValue:
    """Switch off the second factor of a user who lost their device."""
    user = user_or_404(user_id)
    if user.id == current_user.id:
        # There the password is asked for, which an open browser does not know.
        return _redirect("Switch off your own second factor on your account page.", "warning")
    second_factor.switch_off(user)
    db.session.commit()
    return _redirect(f"{user.name} signs in without a second factor now.")


@bp.post("/tokens/<int:token_id>/revoke")
@login_required
def revoke_token(token_id: int) -> ResponseReturnValue:
    """Revoke a token of any user."""
    name = tokens.revoke(token_id) or abort(404)
    db.session.commit()
    return _redirect(f"Token {name} revoked.")


def user_or_404(user_id: int) -> User:
    """Return the user, or abort with 404."""
    return users.get(user_id) or abort(404)


def _role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError:
        abort(400)


def _page(values: dict[str, Any], error: str | None) -> str:
    return render_template(
        "users/index.html",
        users=users.all_users(),
        seen=sessions.last_seen(),
        tokens=tokens.of_all(),
        values=values,
        error=error,
        roles=Role,
        name_length=credentials.NAME_LENGTH,
        password_length=credentials.MINIMUM_PASSWORD_LENGTH,
    )


def _redirect(sentence: str, category: str = "success") -> ResponseReturnValue:
    flash(sentence, category)
    return redirect(url_for("users.index"), code=303)
