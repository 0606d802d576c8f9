"""The pages, with one blueprint for each noun."""

from flask import Flask, Response, current_app, request

from vulsweb.views import (
    account,
    audit,
    auth,
    connection_tests,
    databases,
    filters,
    findings,
    hosts,
    keys,
    logs,
    monitoring,
    notifications,
    overview,
    passkeys,
    process_logs,
    runs,
    second_factor,
    single_sign_on,
    ssh_config,
    system,
    task_pings,
    tasks,
    users,
)

BLUEPRINTS = (
    auth.bp,
    account.bp,
    users.bp,
    overview.bp,
    tasks.bp,
    task_pings.bp,
    runs.bp,
    second_factor.bp,
    passkeys.bp,
    single_sign_on.bp,
    hosts.bp,
    connection_tests.bp,
    logs.bp,
    findings.bp,
    databases.bp,
    ssh_config.bp,
    keys.bp,
    notifications.bp,
    audit.bp,
    system.bp,
    process_logs.bp,
    monitoring.bp,
)

# Everything comes from this server and nothing is inline, so text from a scanned host cannot run as script.
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
    """Register the pages with the application."""
    for bp in BLUEPRINTS:
        app.register_blueprint(bp)
    filters.register(app)
    # Of no blueprint: they are public, and must not look up the user.
    for path, probe in (
        ("healthz", monitoring.live),
        ("livez", monitoring.live),
        ("readyz", monitoring.ready),
        ("startupz", monitoring.ready),
    ):
        app.add_url_rule(f"/{path}", path, probe)
    app.after_request(secure)


def secure(response: Response) -> Response:
    """Set the security headers, and forbid caching of everything but static files."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if current_app.config.get("SESSION_COOKIE_SECURE"):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response
