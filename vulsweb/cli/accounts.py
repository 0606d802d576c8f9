"""`vulsweb user` and `vulsweb token`."""

from datetime import UTC, datetime

import click

from vulsweb.accounts import second_factor, tokens, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.cli.stack_command import StackCommand
from vulsweb.extensions import db
from vulsweb.models import Role, Scope, User


@click.group()
def user() -> None:
    """Manage users."""


@user.command("create", cls=StackCommand)
@click.argument("name")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default=Role.VIEWER.value, show_default=True
)
@click.password_option(help="Prompted for if not given.")
def create_user(name: str, role: str, password: str) -> None:
    """Add a user.

    The user has to choose another password at the first sign-in.
    """
    try:
        users.create_user(name, password, Role(role), datetime.now(UTC), first=True)
    except AccessError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(f"{name} added as {role}.")


@user.command("password", cls=StackCommand)
@click.argument("name")
@click.password_option(help="Prompted for if not given.")
def change_password(name: str, password: str) -> None:
    """Set a new password, for example for a forgotten one.

    All sessions of the user end, and their API tokens are revoked. The user has to choose another password
    at the next sign-in.
    """
    user = _user_named(name)
    try:
        users.change_password(user, password, first=True)
    except AccessError as error:
        raise click.ClickException(str(error)) from error
    revoked = tokens.revoke_all(user)
    db.session.commit()
    click.echo(f"{name} has a new password. API tokens revoked: {revoked}.")


@user.command("second-factor-off", cls=StackCommand)
@click.argument("name")
def second_factor_off(name: str) -> None:
    """Switch off the second factor of a user who lost their device.

    All sessions of the user end.
    """
    second_factor.switch_off(_user_named(name))
    db.session.commit()
    click.echo(f"{name} signs in without a second factor now.")


@click.group()
def token() -> None:
    """Manage API tokens."""


@token.command("create", cls=StackCommand)
@click.argument("name")
@click.option(
    "--user", "user_name", default="admin", show_default=True, help="The user that the token acts as."
)
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.ADMIN.value,
    show_default=True,
    help="What the token may do, within what its user may.",
)
@click.option(
    "--days",
    type=int,
    default=tokens.DEFAULT_DAYS,
    show_default=True,
    help="How long the token is valid; 0 is without an end.",
)
def create_token(name: str, user_name: str, scope: str, days: int) -> None:
    """Create a token and print it; it cannot be shown again."""
    try:
        new = tokens.create(name, _user_named(user_name), Scope(scope), days, datetime.now(UTC))
    except AccessError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(new)


def _user_named(name: str) -> User:
    found = users.named(name)
    if found is None:
        raise click.ClickException(f"There is no user named {name!r}.")
    return found
