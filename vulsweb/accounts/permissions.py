"""Which role a request needs: one rule for every page and call, so that none can forget to ask."""

from flask import abort, request
from flask_login import current_user

from vulsweb.models import Role

READ_METHODS = ("GET", "HEAD", "OPTIONS")
# What gives access to machines or to Vuls Web itself is for admins, reading included.
ADMIN_BLUEPRINTS = {"people", "ssh_config", "keys", "api_ssh_config", "api_keys"}
# What a person does to their own account.
ACCOUNT_BLUEPRINTS = {"auth", "account"}


def required_role(blueprint: str | None, method: str) -> Role:
    """Return the role that a request of `blueprint` with `method` needs, of those who are signed in."""
    if blueprint in ADMIN_BLUEPRINTS:
        return Role.ADMIN
    if method in READ_METHODS or blueprint in ACCOUNT_BLUEPRINTS:
        return Role.VIEWER
    return Role.OPERATOR


def check() -> None:
    """End the request with a 403 where the person's role does not reach.

    Strangers pass: whether they may come in at all is asked by the pages and calls themselves. Files and
    the sign of life, which belong to no blueprint, are for everybody and must not ask the database who asks.
    """
    if request.blueprint is None or not current_user.is_authenticated:
        return
    role = required_role(request.blueprint, request.method)
    if (role.administers and not current_user.role.administers) or (
        role.operates and not current_user.role.operates
    ):
        abort(403, f"This needs the role {role.label}; yours is {current_user.role.label}.")
