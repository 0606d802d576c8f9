"""The pages, one blueprint a noun."""

from flask import Flask, Response, request

from vulsweb.views import (
    account,
    auth,
    connection_tests,
    databases,
    findings,
    hosts,
    keys,
    logs,
    overview,
    people,
    runs,
    ssh_config,
    system,
    tasks,
    words,
)

BLUEPRINTS = (
    auth.bp,
    account.bp,
    people.bp,
    overview.bp,
    tasks.bp,
    runs.bp,
    hosts.bp,
    connection_tests.bp,
    logs.bp,
    findings.bp,
    databases.bp,
    ssh_config.bp,
    keys.bp,
    system.bp,
)

# Everything comes from here and nothing is inline, so text of a scanned host can never become script.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def register(app: Flask) -> None:
    """Add the pages to the application."""
    for bp in BLUEPRINTS:
        app.register_blueprint(bp)
    words.register(app)
    app.add_url_rule("/healthz", "healthz", healthz)
    app.after_request(secure)


def healthz() -> Response:
    """Say that the process answers; asks neither database nor Redis."""
    return Response("ok", mimetype="text/plain")


def secure(response: Response) -> Response:
    """Tell the browser what it may load, and to keep nothing that was shown to a signed-in person."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response
