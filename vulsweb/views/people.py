"""`/people/`: who may come in, and what they may do."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.accounts import access
from vulsweb.extensions import db
from vulsweb.models import Role, User

bp = Blueprint("people", __name__, url_prefix="/people")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List everybody who may come in."""
    return _page({"role": Role.VIEWER}, None)


@bp.post("/")
@login_required
def create() -> ResponseReturnValue:
    """Add a person."""
    name, role = request.form.get("name", "").strip(), _role()
    try:
        person = access.create_user(name, request.form.get("password", ""), role, datetime.now(UTC))
    except access.AccessError as error:
        return _page({"name": name, "role": role}, str(error)), 422
    db.session.commit()
    return _told(f"{person.name} may sign in as {person.role.label}.")


@bp.post("/<int:user_id>/role")
@login_required
def change_role(user_id: int) -> ResponseReturnValue:
    """Give a person another role."""
    person = person_or_404(user_id)
    try:
        access.change_role(person, _role())
    except access.AccessError as error:
        return _told(str(error), "warning")
    db.session.commit()
    return _told(f"{person.name} is {person.role.label} now.")


@bp.get("/<int:user_id>/delete")
@login_required
def confirm_delete(user_id: int) -> ResponseReturnValue:
    """Ask before removing a person, and say what goes with them."""
    person = person_or_404(user_id)
    return render_template("people/delete.html", person=person, tokens=access.tokens(person))


@bp.post("/<int:user_id>/delete")
@login_required
def delete(user_id: int) -> ResponseReturnValue:
    """Remove a person and their tokens; what they did stays in the history."""
    person = person_or_404(user_id)
    name = person.name
    try:
        access.delete_user(person)
    except access.AccessError as error:
        return _told(str(error), "warning")
    db.session.commit()
    return _told(f"{name} can no longer sign in.")


def person_or_404(user_id: int) -> User:
    """Return the person, or end the request with a 404."""
    return db.session.get(User, user_id) or abort(404)


def _role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError:
        abort(400)


def _page(values: dict[str, Any], wrong: str | None) -> str:
    people = access.users()
    return render_template("people/index.html", people=people, values=values, wrong=wrong, roles=Role)


def _told(sentence: str, category: str = "success") -> ResponseReturnValue:
    flash(sentence, category)
    return redirect(url_for("people.index"), code=303)
