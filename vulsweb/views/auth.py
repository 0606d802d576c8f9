"""Sign in and out."""

import hashlib
import logging
import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_user, logout_user

from vulsweb.accounts import attempts, passkeys, sessions, users
from vulsweb.audit import actors
from vulsweb.extensions import db, limiter, login
from vulsweb.models import User

log = logging.getLogger(__name__)

bp = Blueprint("auth", __name__)

# For the code, after the password.
ENTERING_SECONDS = 300


@login.unauthorized_handler
def ask_to_sign_in() -> ResponseReturnValue:
    """Redirect to the sign-in page, and back to the requested page afterwards."""
    if "HX-Request" in request.headers:
        # Redirect the whole window: HTMX would swap the sign-in page into the fragment's place.
        current = _path_in(request.headers.get("HX-Current-URL", ""))
        return Response(status=401, headers={"HX-Redirect": url_for("auth.sign_in", next=current or None)})
    requested = request.script_root + request.full_path.removesuffix("?") if request.method == "GET" else None
    return redirect(url_for("auth.sign_in", next=requested), code=303)


@bp.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Show the sign-in form."""
    if current_user.is_authenticated:
        return redirect(url_for("overview.index"), code=303)
    return render_template("auth/sign_in.html", name="", wrong=False)


@bp.post("/sign-in")
@limiter.limit("10 per minute")
def enter() -> ResponseReturnValue:
    """Sign in with a name and a password."""
    if not current_app.config["LOCAL_SIGN_IN"]:
        abort(403, "Signing in with a password is switched off here.")
    name = request.form.get("name", "")
    plain = name.strip().replace("\x00", "")
    if wait := attempts.begin(plain, request.remote_addr or "", datetime.now(UTC)):
        return _ask_to_wait(name, wait)
    db.session.commit()
    user = users.authenticate(plain, request.form.get("password", ""))
    if user is None:
        log.warning("sign-in refused: %.100s, from %s", name, request.remote_addr)
        users.record_refusal(plain, "password")
        db.session.commit()
        return render_template("auth/sign_in.html", name=name, wrong=True), 422
    attempts.forget(plain)
    db.session.commit()
    if user.totp_secret is not None:
        session.clear()
        session["entering"] = {"id": user.id, "stamp": _stamp(user), "at": time.time()}
        return redirect(url_for("account_second_factor.ask", next=request.args.get("next")), code=303)
    return let_in(user, request.args.get("next"))


def _ask_to_wait(name: str, wait: timedelta) -> ResponseReturnValue:
    log.warning("sign-in has to wait: %.100s, from %s", name, request.remote_addr)
    users.record_refusal(name.strip().replace("\x00", ""), "too many wrong passwords")
    db.session.commit()
    page = render_template("auth/sign_in.html", name=name, wrong=False, wait=wait)
    return page, 429, {"Retry-After": str(math.ceil(wait.total_seconds()))}


def let_in(user: User, next_path: str | None) -> ResponseReturnValue:
    """Begin a session, and lead to the requested page."""
    actors.act_as(replace(actors.current(), name=user.name, user_id=user.id))
    users.record_sign_in(user, (request.remote_addr or "")[:45], datetime.now(UTC))
    begin_session(user)
    db.session.commit()
    log.info("signed in: %s, from %s", user.name, request.remote_addr)
    return redirect(local_path(next_path), code=303)


def entering_id() -> int | None:
    """Return the id of the user who has given the right password."""
    found = session.get("entering")
    return found["id"] if found else None


def entering_user() -> User | None:
    """Return the user who has given the right password a moment ago."""
    found = session.get("entering")
    if not found or time.time() - found["at"] > ENTERING_SECONDS:
        return None
    user = users.get(found["id"])
    if user is None or user.totp_secret is None or _stamp(user) != found["stamp"]:
        return None
    return user


def origin() -> str:
    """Return scheme, name and port as the browser knows them."""
    # A proxy speaks HTTP to us, whatever the browser speaks to it.
    scheme = "https" if current_app.config.get("SESSION_COOKIE_SECURE") else request.scheme
    return f"{scheme}://{request.host}"


def code_page(user: User, problem: str) -> str:
    """Return the page that asks for a code or a key."""
    name = passkeys.Site(origin()).name
    keys = [key for key in passkeys.of_user(user) if key.site == name]
    return render_template("auth/code.html", problem=problem, has_keys=bool(keys))


def _stamp(user: User) -> str:
    """Return what changes with the password."""
    return hashlib.sha256(user.password_hash.encode()).hexdigest()[:16]


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session."""
    sessions.end(session.get("key", ""))
    db.session.commit()
    logout_user()
    session.clear()
    flash("Signed out.", "success")
    answer = redirect(url_for("auth.sign_in"), code=303)
    # Not the cookies, one of which carries the message; not the storage, which has only the theme.
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def begin_session(user: User) -> None:
    """Sign the user in with a new session.

    Nothing of the session before carries over.
    """
    address, agent = (request.remote_addr or "")[:45], request.headers.get("User-Agent", "")
    lifetime, now = current_app.permanent_session_lifetime, datetime.now(UTC)
    session.clear()
    session.permanent = True
    session["key"] = sessions.begin(user, address, agent, lifetime, now)
    login_user(user)


def _path_in(url: str) -> str:
    """Return the path in an address that the browser says it shows."""
    try:
        return urlsplit(url).path
    except ValueError:  # which a browser does not send: "http://["
        return ""


def local_path(path: str | None) -> str:
    """Return `path` if it is on this site, else the overview."""
    home = url_for("overview.index")
    # Browsers read a backslash as a slash and skip control characters, so "/\t/evil" is "//evil" to them.
    if not path or not path.startswith("/") or "\\" in path or not path.isprintable():
        return home
    return home if path.startswith("//") else path
