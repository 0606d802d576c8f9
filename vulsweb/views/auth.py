"""Sign in and out."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_user, logout_user

from vulsweb.accounts import access
from vulsweb.extensions import limiter, login

bp = Blueprint("auth", __name__)


@login.unauthorized_handler
def ask_to_sign_in() -> ResponseReturnValue:
    """Answer for a page that needs a person: sign in first, then come back to it."""
    if "HX-Request" in request.headers:
        # A fragment's place must not be filled with the sign-in page: the whole window goes there.
        seen = urlsplit(request.headers.get("HX-Current-URL", "")).path
        return Response(status=401, headers={"HX-Redirect": url_for("auth.sign_in", next=seen or None)})
    came_for = request.full_path.removesuffix("?") if request.method == "GET" else None
    return redirect(url_for("auth.sign_in", next=came_for), code=303)


@bp.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Show the sign-in form."""
    if current_user.is_authenticated:
        return redirect(url_for("overview.index"), code=303)
    return render_template("auth/sign_in.html", name="", wrong=False)


@bp.post("/sign-in")
@limiter.limit("10 per minute")
def enter() -> ResponseReturnValue:
    """Sign in with name and password."""
    name = request.form.get("name", "")
    user = access.authenticate(name.strip().replace("\x00", ""), request.form.get("password", ""))
    if user is None:
        return render_template("auth/sign_in.html", name=name, wrong=True), 422
    session.clear()  # nothing that was put there before counts for the person who came in
    session.permanent = True
    login_user(user)
    return redirect(local_path(request.args.get("next")), code=303)


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session."""
    logout_user()
    session.clear()
    flash("You are signed out.", "success")
    return redirect(url_for("auth.sign_in"), code=303)


def local_path(wanted: str | None) -> str:
    """Return `wanted` if it is a path of this site, else the overview; never a way to another site."""
    home = url_for("overview.index")
    # Browsers read a backslash as a slash and skip control characters, so "/\t/evil" is "//evil" to them.
    if not wanted or not wanted.startswith("/") or "\\" in wanted or not wanted.isprintable():
        return home
    parts = urlsplit(wanted)
    return home if wanted.startswith("//") or parts.scheme or parts.netloc else wanted
