"""The role that each request needs, for pages and API alike."""

from flask import abort, request
from flask_login import current_user

from vulsweb.models import Role

READ_METHODS = ("GET", "HEAD", "OPTIONS")
# Only admins may see or change what gives access to machines or to Vuls Web itself.
ADMIN_BLUEPRINTS = {"users", "notifications", "ssh_config", "keys", "api_ssh_config", "api_keys"}
# What users do with their own account.
ACCOUNT_BLUEPRINTS = {"auth", "account"}


def required_role(blueprint: str | None, method: str) -> Role:
    """Return the role that a signed-in user needs for a request."""
    if blueprint in ADMIN_BLUEPRINTS:
        return Role.ADMIN
    if method in READ_METHODS or blueprint in ACCOUNT_BLUEPRINTS:
        return Role.VIEWER
    return Role.OPERATOR


def check() -> None:
    """Answer 403 if the user's role is not sufficient.

    Requests without a user pass: pages and API calls ask for a sign-in themselves. Static files and the
    health endpoint belong to no blueprint; they are public and must not query the database for the user.
    """
    if request.blueprint is None or not current_user.is_authenticated:
        return
    role = required_role(request.blueprint, request.method)
    if (role.administers and not current_user.role.administers) or (
        role.operates and not current_user.role.operates
    ):
        abort(403, f"This needs the role {role.label}; yours is {current_user.role.label}.")
