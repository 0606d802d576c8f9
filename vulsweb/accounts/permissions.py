"""The role that each request needs, for pages and API alike."""

from flask import abort, current_app, flash, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from vulsweb.models import Role, Scope, User

READ_METHODS = ("GET", "HEAD", "OPTIONS")
# Only admins may see or change what gives access to machines or to Vuls Web itself.
ADMIN_BLUEPRINTS = {
    "api_audit",
    "api_keys",
    "api_ssh_config",
    "audit",
    "keys",
    "notifications",
    "process_logs",
    "ssh_config",
    "task_pings",
    "users",
}
# What users do with their own account.
ACCOUNT_BLUEPRINTS = {"auth", "account", "account_second_factor", "account_passkeys"}
CHOOSE_FIRST = "First choose a password of your own."
SECOND_FACTOR_FIRST = "First set up a second factor, which is demanded here."
# What a token may read whose scope is this alone.
READABLE = {Scope.METRICS: {"monitoring"}, Scope.RESULTS: {"api_runs", "api_findings"}}


def required_role(blueprint: str | None, method: str) -> Role:
    """Return the role that a signed-in user needs for a request."""
    if blueprint in ADMIN_BLUEPRINTS:
        return Role.ADMIN
    if method in READ_METHODS or blueprint in ACCOUNT_BLUEPRINTS:
        return Role.VIEWER
    return Role.OPERATOR


def needs_second_factor(user: User) -> bool:
    """Return whether a second factor is demanded of the user.

    With single sign-on it is the provider's.
    """
    demanded_of = current_app.config["SECOND_FACTOR"]
    is_demanded = demanded_of == "all" or (demanded_of == "admins" and user.role.administers)
    return is_demanded and user.subject is None


def scope_suffices(scope: Scope, role: Role, blueprint: str | None) -> bool:
    """Return whether a scope covers what needs this role."""
    if scope in READABLE:
        return role is Role.VIEWER and blueprint in READABLE[scope]
    return {Role.VIEWER: True, Role.OPERATOR: scope is not Scope.READ, Role.ADMIN: scope is Scope.ADMIN}[role]


def check() -> ResponseReturnValue | None:
    """Answer 403 if the user's role is not sufficient.

    Whoever has a password that somebody else chose is led to the page where it is changed, and whoever lacks
    the second factor that is demanded to where it is set up.

    Requests without a user pass: pages and API calls ask for a sign-in themselves. Static files and the
    health endpoint belong to no blueprint; they are public and must not query the database for the user.
    """
    if request.blueprint is None or not current_user.is_authenticated:
        return None
    if current_user.must_change_password and request.blueprint not in ACCOUNT_BLUEPRINTS:
        if request.path.startswith("/api/"):
            abort(403, CHOOSE_FIRST)
        flash(CHOOSE_FIRST, "warning")
        return redirect(url_for("account.index"), code=303)
    lacks_second_factor = current_user.totp_secret is None and needs_second_factor(current_user)
    # A token needs none: it is no password.
    if lacks_second_factor and "scope" not in g and request.blueprint not in ACCOUNT_BLUEPRINTS:
        if request.path.startswith("/api/"):
            abort(403, SECOND_FACTOR_FIRST)
        flash(SECOND_FACTOR_FIRST, "warning")
        return redirect(url_for("account_second_factor.setup"), code=303)
    role = required_role(request.blueprint, request.method)
    if (role.administers and not current_user.role.administers) or (
        role.operates and not current_user.role.operates
    ):
        abort(403, f"This needs the role {role.label}; yours is {current_user.role.label}.")
    scope: Scope = g.get("scope", Scope.ADMIN)
    if not scope_suffices(scope, role, request.blueprint):
        abort(403, f"This token has the scope {scope.value}, which does not allow this. Create another one.")
    return None
