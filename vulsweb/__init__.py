"""Vuls Web: schedules Vuls scans and database updates, and shows the findings."""

import gc

# Loading 1,500 modules frees nothing; looking for what to free would take a third of each start.
gc.disable()

import logging
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from celery import Task
from celery.signals import heartbeat_sent
from flask import Flask, Request, Response, current_app, g, request, session
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import BadHost, HTTPException, SecurityError, ServiceUnavailable
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from vulsweb import api, cli, config, views, worker
from vulsweb.accounts import permissions, sessions, tokens
from vulsweb.api import problems
from vulsweb.audit import actors
from vulsweb.extensions import celery, csrf, db, limiter, login, migrate
from vulsweb.models import AuditWay, User
from vulsweb.system import database_waits, log_lines
from vulsweb.views import errors

# And no later search has to look at it, neither while the process runs nor when it ends.
gc.freeze()
gc.enable()

log = logging.getLogger(__name__)

# Sent by pages that refresh themselves, which is not what a person does.
POLL_HEADER = "X-Poll"
UNKNOWN_NAME = (
    "This server does not answer to that name. An administrator can add it to VULSWEB_TRUSTED_HOSTS.\n"
)


class RowId(IntegerConverter):
    """A row id in a URL; too large ids give a 404.

    Not with `max`: an id that matches the pattern and is then refused gives a 405 for some methods. Ten
    digits are more than a row can have, and fewer than PostgreSQL can compare it with.
    """

    regex = r"\d{1,10}"


def create_app(overrides: Mapping[str, Any] | None = None) -> Flask:
    """Create the application for web, worker, beat and commands."""
    app = Flask(__name__)
    app.config.from_mapping(overrides if overrides is not None else config.from_environment())
    app.url_map.converters["int"] = RowId
    if proxies := app.config.get("PROXIES", 0):
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]
    if root := app.config.get("ROOT_PATH"):
        app.wsgi_app = BelowPath(app.wsgi_app, root)  # type: ignore[method-assign]
    init_extensions(app)
    init_celery(app)
    log_lines.hide(secrets_of(app.config))
    app.before_request(begin_context)
    app.teardown_request(end_context)
    app.after_request(send_request_id)
    app.before_request(lambda: database_waits.choose_limit(request.path))
    app.before_request(permissions.check)
    app.before_request(note_actor)
    views.register(app)
    api.register(app)
    cli.register(app)
    app.register_error_handler(HTTPException, answer_error)
    app.register_error_handler(OperationalError, answer_database_error)
    return app


class BelowPath:
    """The application, mounted at a path of the site.

    A reverse proxy may pass the path on or strip it. Links have it either way.
    """

    def __init__(self, app: WSGIApplication, root: str) -> None:
        self.app = app
        self.root = root

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as for the path below the root."""
        environ["SCRIPT_NAME"] = self.root
        path = environ.get("PATH_INFO", "")
        if path == self.root or path.startswith(f"{self.root}/"):
            environ["PATH_INFO"] = path.removeprefix(self.root) or "/"
        return self.app(environ, start_response)


def init_extensions(app: Flask) -> None:
    """Initialize the Flask extensions."""
    if app.config.get("SESSION_COOKIE_SECURE"):
        # Browsers take a cookie of such a name from this host over HTTPS alone, for all paths.
        app.config["SESSION_COOKIE_NAME"] = "__Host-session"
    # Not with setdefault: Flask has already set both to None.
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    # Else each poll of a live page would write the session as it was when the poll began, and undo what a
    # click has written meanwhile: a message, a sign-out.
    app.config["SESSION_REFRESH_EACH_REQUEST"] = False
    # No form is larger, and larger requests might be buffered in files.
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)  # valid as long as the session
    db.init_app(app)
    migrate.init_app(app, db, directory=str(Path(app.root_path).parent / "migrations"))
    login.init_app(app)
    csrf.init_app(app)
    limiter.init_app(app)


def takes_tokens(path: str) -> bool:
    """Return whether programs ask for this path."""
    return problems.belongs_to_api(path) or path == "/metrics"


@login.user_loader
def load_user(user_id: str) -> User | None:
    """Return the user of a session cookie, unless the session has ended.

    A call with an Authorization header is let in by that alone: with the cookie as a second way in, a foreign
    page could send any such header to leave out the CSRF token.
    """
    if "Authorization" in request.headers and takes_tokens(request.path):
        return None
    now, lifetime = datetime.now(UTC), current_app.permanent_session_lifetime
    found = sessions.find(session.get("key", ""), lifetime, current_app.config["SESSION_IDLE"], now)
    if found is None or found.user.get_id() != user_id:
        return None
    if POLL_HEADER not in request.headers:
        sessions.note_seen(found, now)
    return found.user


@login.request_loader
def load_user_of_token(incoming: Request) -> User | None:
    """Return the user of a bearer token, for programs' requests only."""
    scheme, _, token = incoming.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not takes_tokens(incoming.path):
        return None
    now, address = datetime.now(UTC), (incoming.remote_addr or "")[:45]
    if (found := tokens.find(token.strip(), now)) is None:
        log.warning("token refused, from %s", address)
        return None
    tokens.note_used(found, address, now)
    g.scope, g.token_name = found.scope, found.name
    return found.user


def secrets_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the values that no log may have."""
    urls = (settings["SQLALCHEMY_DATABASE_URI"], settings["REDIS_URL"])
    passwords = [urlsplit(url).password or "" for url in urls]
    openid = [settings["OPENID"].client_secret] if settings["OPENID"] else []
    return [settings["SECRET_KEY"], *passwords, *openid, *(each.api_key for each in settings["EXECUTORS"])]


def begin_context() -> None:
    """Give the request an id, for its log lines and its answer."""
    log_lines.CONTEXT.set({"request": secrets.token_hex(6)})


def end_context(_: BaseException | None) -> None:
    """Forget the request: this thread may do something else."""
    log_lines.CONTEXT.set(None)


def send_request_id(response: Response) -> Response:
    """Add the id of the request to its answer."""
    response.headers["X-Request-ID"] = (log_lines.CONTEXT.get() or {}).get("request", "")
    return response


def note_actor() -> None:
    """Note who makes the request, for logs and the audit trail."""
    if request.blueprint is None:
        return
    if current_user.is_authenticated:
        log_lines.CONTEXT.set({**(log_lines.CONTEXT.get() or {}), "user": current_user.name})
    if request.method in permissions.READ_METHODS:
        return
    way = AuditWay.API if problems.belongs_to_api(request.path) else AuditWay.PAGE
    address = (request.remote_addr or "")[:45]
    if current_user.is_authenticated:
        token = g.get("token_name", "")
        actors.act_as(actors.Actor(way, current_user.name, current_user.id, token, address))
    else:
        actors.act_as(actors.Actor(way, address=address))


def answer_error(error: HTTPException) -> ResponseReturnValue:
    """Answer an HTTP error: a problem document under /api/, a page elsewhere."""
    # No page can be made for these: no route has been looked for.
    if isinstance(error, SecurityError | BadHost):
        return UNKNOWN_NAME, 400, {"Content-Type": "text/plain; charset=utf-8"}
    return problems.of_exception(error) if problems.belongs_to_api(request.path) else errors.page(error)


def answer_database_error(error: OperationalError) -> ResponseReturnValue:
    """Answer 503 while PostgreSQL is away; other errors of it are ours."""
    if not database_waits.is_away(error):
        raise error
    log.error("PostgreSQL does not answer: %s", error.orig)
    return answer_error(ServiceUnavailable(database_waits.NO_ANSWER))


def init_celery(app: Flask) -> None:
    """Configure Celery; tasks run in the application context."""

    class ContextTask(Task):  # type: ignore[type-arg]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery.Task = ContextTask  # type: ignore[misc]  # Celery's documented way; its stubs say otherwise
    celery.conf.update(
        broker_url=app.config["REDIS_URL"],
        result_backend=app.config["REDIS_URL"],
        result_expires=3600,
        # No code uses the results of these tasks. If results were on, the sender would subscribe to them, and
        # without Redis a click on Run Now would block for twenty seconds.
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        beat_schedule=worker.beat_table(app.config["EXECUTORS"]),
        beat_scheduler="vulsweb.worker.scheduler:Scheduler",
        timezone="UTC",
        worker_hijack_root_logger=False,
    )
    celery.set_default()
    if alive := app.config.get("ALIVE_FILE"):
        # Sent every two seconds, while the worker can reach Redis.
        heartbeat_sent.connect(lambda **_: alive.touch(), weak=False)
    app.extensions["celery"] = celery
