"""The REST API, one file a noun; its OpenAPI document comes from this code."""

from importlib.metadata import version

from flask import Flask, request
from flask.json.provider import DefaultJSONProvider
from flask_login import current_user
from flask_smorest import Api
from werkzeug.exceptions import Unauthorized

from vulsweb.api import (
    databases,
    docs,
    document,
    findings,
    hosts,
    idempotency,
    keys,
    runs,
    scheduled_tasks,
    ssh_config,
    system,
)
from vulsweb.extensions import csrf

BLUEPRINTS = (
    scheduled_tasks.bp,
    runs.bp,
    findings.bp,
    hosts.bp,
    ssh_config.bp,
    keys.bp,
    databases.bp,
    system.bp,
)


class OrderedJson(DefaultJSONProvider):
    """JSON with fields as the schemas have them, and severities worst first."""

    sort_keys = False


class ProblemApi(Api):
    """flask-smorest, leaving errors to the application's one handler."""

    def _register_error_handlers(self) -> None:
        pass


def register(app: Flask) -> None:
    """Add the API to the application."""
    app.json = OrderedJson(app)
    app.config.update(
        API_TITLE="Vuls Web",
        API_VERSION=version("vulsweb"),
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": document.DESCRIPTION},
            "security": [{"token": []}, {"session": []}],
        },
    )
    api = ProblemApi(app, spec_kwargs={"extra_plugins": [document.Completion()]})
    document.describe(api)
    app.register_blueprint(docs.bp)
    for bp in BLUEPRINTS:
        api.register_blueprint(bp)


def admit() -> None:
    """Let in whoever is signed in or has a token; writes of a session need its CSRF token."""
    if not current_user.is_authenticated:
        raise Unauthorized("Sign in, or send a token: `Authorization: Bearer TOKEN`.")
    # A browser sends its session cookie whoever made the page ask; a token is sent only on purpose.
    if "Authorization" not in request.headers and request.method not in ("GET", "HEAD", "OPTIONS"):
        csrf.protect()


# Once, here: a second application may use the same blueprints.
for bp in BLUEPRINTS:
    csrf.exempt(bp)
    bp.before_request(admit)
    bp.before_request(idempotency.begin)
    bp.after_request(idempotency.finish)
