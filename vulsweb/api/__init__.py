"""The REST API; the OpenAPI document is generated from this code."""

from importlib.metadata import version

from flask import Flask, request
from flask.json.provider import DefaultJSONProvider
from flask_login import current_user
from flask_smorest import Api
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from vulsweb.api import (
    audit,
    blueprint,
    databases,
    docs_page,
    findings,
    hosts,
    idempotency,
    keys,
    openapi,
    problems,
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
    audit.bp,
    system.bp,
)


class OrderedJson(DefaultJSONProvider):
    """JSON with the fields in the order of the schemas."""

    sort_keys = False


class ProblemApi(Api):
    """flask-smorest without its error handlers: the application has one for all errors."""

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
            "info": {"description": openapi.DESCRIPTION},
            "security": [{"token": []}, {"session": []}],
            "servers": [{"url": app.config.get("ROOT_PATH") or "/"}],
        },
    )
    api = ProblemApi(app, spec_kwargs={"extra_plugins": [openapi.SharedParts()]})
    openapi.describe(api)
    app.register_blueprint(docs_page.bp)
    app.after_request(problems.of_redirect)
    for bp in BLUEPRINTS:
        api.register_blueprint(bp)


def require_user() -> None:
    """Require a token or a session, and its CSRF token for writes."""
    if not current_user.is_authenticated:
        # How to authenticate (RFC 6750), and whether a token was refused.
        refused = {"error": "invalid_token"} if "Authorization" in request.headers else {}
        raise Unauthorized(
            "Sign in, or send a token: `Authorization: Bearer TOKEN`.",
            www_authenticate=WWWAuthenticate("bearer", {"realm": "Vuls Web", **refused}),
        )
    # Any site can make a browser send its session cookie; a token is only sent on purpose.
    if "Authorization" not in request.headers and request.method not in ("GET", "HEAD", "OPTIONS"):
        csrf.protect()


# At import, so only once: tests create several applications with the same blueprints.
for bp in BLUEPRINTS:
    csrf.exempt(bp)
    bp.before_request(require_user)
    bp.before_request(blueprint.check)
    bp.before_request(idempotency.begin)
    bp.after_request(idempotency.finish)
