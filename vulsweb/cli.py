"""The `vulsweb` command."""

import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import Flask, current_app
from flask_migrate import upgrade
from sqlalchemy import select, text

from vulsweb import config, local
from vulsweb.accounts import access
from vulsweb.extensions import db
from vulsweb.hosts import config_sync
from vulsweb.models import Role, ScheduledTask, User
from vulsweb.ssh import known_hosts
from vulsweb.ssh.folder import SshFolder
from vulsweb.system import health
from vulsweb.system.checks import State
from vulsweb.system.health import Site
from vulsweb.tasks import editing as task_editing
from vulsweb.vuls import config_toml

MONTHLY_UPDATE = {
    "name": "Monthly Database Updates",
    "description": "Keeps the vulnerability databases current.",
    "task_type": "db_update",
    "database_type": "all",
    "cron_expression": "0 2 1 * *",
    "is_active": True,
}


@click.command()
def run() -> None:
    """Start the complete stack on this machine; Ctrl-C stops it."""
    sys.exit(local.run(config.environment()))


@click.command()
def prepare() -> None:
    """Bring the schema up to date and, on an empty database, add the admin and the defaults."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    upgrade()
    now = datetime.now(UTC)
    # Two starts at once must not both find the database empty.
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.prepare'))"))
    if db.session.scalar(select(User.id).limit(1)) is None:
        try:
            access.create_user("admin", config.admin_password(config.environment()), Role.ADMIN, now)
        except (access.AccessError, config.ConfigError) as error:
            raise click.ClickException(str(error)) from error
        if db.session.scalar(select(ScheduledTask.id).limit(1)) is None:
            task_editing.create(MONTHLY_UPDATE, now)
    else:
        click.echo(access.PEOPLE_ALREADY)
    _sync_hosts(now)
    try:
        known_hosts.restore(SshFolder(current_app.config["SSH_FOLDER"]))
    except OSError as error:
        raise click.ClickException(f"The folder of keys and known hosts cannot be used: {error}.") from error
    db.session.commit()


def _sync_hosts(now: datetime) -> None:
    path = current_app.config["VULS_CONFIG"]
    if not path.exists():
        if not current_app.config["SEED_LOCALHOST"]:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config_toml.STARTER)
    try:
        outcome = config_sync.sync_file(path, now)
    except config_toml.ConfigTomlError as error:
        click.echo(f"Hosts were not synchronized: {error}", err=True)
        return
    for wrong in outcome.errors:
        click.echo(f"A host was left as it was: {wrong}", err=True)


@click.group("hosts")
def hosts_group() -> None:
    """Hosts, as config.toml names them."""


@hosts_group.command("sync")
def sync_hosts() -> None:
    """Bring the hosts in step with config.toml; exit code 1 when something in it cannot be used."""
    try:
        outcome = config_sync.sync_file(current_app.config["VULS_CONFIG"], datetime.now(UTC))
    except config_toml.ConfigTomlError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(outcome.summary)
    for wrong in outcome.errors:
        click.echo(wrong, err=True)
    sys.exit(bool(outcome.errors))


@click.command()
def doctor() -> None:
    """Print how each part of the system is, and what to do; exit code 1 when one has failed."""
    found = health.read(current_app.config, datetime.now(UTC))
    for part in found.parts:
        at = f" Last: {part.at:%Y-%m-%d %H:%M:%S} UTC" if part.at else ""
        click.echo(f"{part.state.label:8} {part.label:24} {part.says}{at}")
        for line in (*part.advice, *part.detail.splitlines()):
            click.echo(f"{'':33} {line}")
    for site in found.sites:
        _print_site(site, several=len(found.sites) > 1)
    sys.exit(found.state is State.FAILED)


def _print_site(site: Site, *, several: bool) -> None:
    if several:
        click.echo(f"{'':8} Executor {site.name}:")
    for tool in site.tools:
        click.echo(f"{'':8} {tool.name:24} {tool.version or 'installed' if tool.found else 'missing'}")
    for database in site.databases:
        rows = f"{database.rows:,} rows, fetched {database.fetched_at or 'at an unknown time'}"
        click.echo(f"{'':8} {database.name.label:24} {rows if database.rows else 'not fetched'}")


@click.group()
def images() -> None:
    """The production stack's images, for a machine without registries."""


@images.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_images(file: Path) -> None:
    """Save all that the stack needs into FILE."""
    _carry_images("export", file)


@images.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_images(file: Path) -> None:
    """Load what export saved."""
    _carry_images("import", file)


def _carry_images(direction: str, file: Path) -> None:
    script = Path(__file__).parents[1] / "deploy" / "images"
    if not script.exists():
        raise click.ClickException(
            "Call it in a checkout of Vuls Web, where docker-compose.yml and deploy/ are."
        )
    sys.exit(subprocess.call([script, direction, file.absolute()]))  # noqa: S603 - our own script


@click.group()
def user() -> None:
    """People who may sign in."""


@user.command("create")
@click.argument("name")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default=Role.VIEWER.value, show_default=True
)
@click.password_option(help="Asked for when it is not given.")
def create_user(name: str, role: str, password: str) -> None:
    """Add a person."""
    try:
        access.create_user(name, password, Role(role), datetime.now(UTC))
    except access.AccessError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(f"{name} may sign in as {role}.")


@user.command("password")
@click.argument("name")
@click.password_option(help="Asked for when it is not given.")
def change_password(name: str, password: str) -> None:
    """Give a person another password, as when it is lost; it ends their sessions."""
    try:
        access.change_password(_person(name), password)
    except access.AccessError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(f"{name} has a new password.")


@click.group()
def token() -> None:
    """Tokens of the REST API."""


@token.command("create")
@click.argument("name")
@click.option("--user", "user_name", default="admin", show_default=True, help="Whom the token acts as.")
def create_token(name: str, user_name: str) -> None:
    """Print a new token, alone; it cannot be shown again."""
    try:
        made = access.create_token(name, _person(user_name), datetime.now(UTC))
    except access.AccessError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(made)


def _person(name: str) -> User:
    person = db.session.scalars(select(User).where(User.name == name)).first()
    if person is None:
        raise click.ClickException(f"There is no person named {name!r}.")
    return person


def register(app: Flask) -> None:
    """Add the commands to the application."""
    for command in (prepare, doctor, hosts_group, user, token):
        app.cli.add_command(command)
