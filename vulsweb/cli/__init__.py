"""The `vulsweb` command."""

import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import flask_migrate
from flask import Flask, current_app
from sqlalchemy import select, text

from vulsweb import config, databases, local
from vulsweb.accounts import users
from vulsweb.accounts.credentials import AccessError
from vulsweb.cli.accounts import token, user
from vulsweb.cli.audit import audit
from vulsweb.cli.stack_command import StackCommand
from vulsweb.extensions import db
from vulsweb.hosts import config_sync
from vulsweb.local import backups
from vulsweb.local.apps import HOME
from vulsweb.local.errors import StackError
from vulsweb.models import Role, ScheduledTask, User
from vulsweb.ssh import known_hosts, versions
from vulsweb.ssh.folder import SshFolder
from vulsweb.system import health
from vulsweb.system.checks import State
from vulsweb.tasks import editing as task_editing
from vulsweb.vuls import config_toml
from vulsweb.vuls.catalogue import Profile

MONTHLY_UPDATE = {
    "name": "Monthly Database Updates",
    "description": "Keeps the vulnerability databases current.",
    "task_type": "db_update",
    "database_type": "all",
    "cron_expression": "0 2 1 * *",
    "is_active": True,
}
# The one database of the current profile is built anew each day; the nine classic ones take hours.
DAILY_UPDATE = MONTHLY_UPDATE | {"name": "Daily Database Update", "cron_expression": "0 2 * * *"}
REPEATED_DETECTION = {
    "name": "Repeated Detection",
    "description": "Checks the stored packages of all hosts again after each database update.",
    "task_type": "detection",
    "cron_expression": "0 6 * * 0",
}


@click.command()
def run() -> None:
    """Start the complete stack on this machine; Ctrl-C stops it."""
    sys.exit(local.run(config.environment()))


@click.command()
def tools() -> None:
    """Build the scanner's tools with Go, once."""
    command = ["bash", str(HOME / "executor" / "tools" / "build")]
    sys.exit(subprocess.call(command))  # noqa: S603 - our own script


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write a backup of the stack that `vulsweb run` starts to FILE.

    It contains private keys: protect it like one. The stack may be running.
    """
    try:
        backups.back_up(config.environment(), file)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Backup written to {file}.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Delete the data that is there.")
def restore(file: Path, *, replace: bool) -> None:
    """Restore the backup FILE for `vulsweb run`, which must be stopped."""
    try:
        backups.restore(config.environment(), file, replace=replace)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    click.echo("Restored. Start Vuls Web as usual.")


@click.command(cls=StackCommand)
def prepare() -> None:
    """Migrate the database; if empty, add the admin and default task."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    flask_migrate.upgrade()
    now = datetime.now(UTC)
    # The lock keeps two starts from both finding the database empty.
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.prepare'))"))
    if db.session.scalar(select(User.id).limit(1)) is None:
        try:
            users.create_user("admin", config.admin_password(config.environment()), Role.ADMIN, now)
        except (AccessError, config.ConfigError) as error:
            raise click.ClickException(str(error)) from error
        if db.session.scalar(select(ScheduledTask.id).limit(1)) is None:
            is_current = config.environment().get("EXECUTOR_PROFILE") == Profile.CURRENT
            task_editing.create(DAILY_UPDATE if is_current else MONTHLY_UPDATE, now)
            task_editing.create(REPEATED_DETECTION, now)
            if not is_current:
                _seed_own_update(now)
    else:
        click.echo(users.USERS_EXIST)
    if versions.rewrite_if_moved(versions.paths_from(current_app.config)):
        click.echo("The SSH configuration was written again, as its folder is another one now.")
    _sync_or_seed_hosts(now)
    try:
        known_hosts.restore(SshFolder(current_app.config["SSH_FOLDER"]))
    except OSError as error:
        raise click.ClickException(
            f"The folder of SSH keys and known hosts is not usable: {error}."
        ) from error
    db.session.commit()


def _seed_own_update(now: datetime) -> None:
    """Add an update of the classic database that this machine needs."""
    needed = databases.of_this_machine(Profile.CLASSIC)
    if current_app.config["SEED_LOCALHOST"] and needed:
        own = {
            "name": f"{needed.name.label} Update",
            "description": "Keeps the one database current that scans of this machine need.",
            "database_type": needed.name.value,
            "cron_expression": "0 3 * * 0",
        }
        task_editing.create(MONTHLY_UPDATE | own, now)


def _sync_or_seed_hosts(now: datetime) -> None:
    path = current_app.config["VULS_CONFIG"]
    if not path.exists():
        if not current_app.config["SEED_LOCALHOST"]:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config_toml.STARTER)
    try:
        outcome = config_sync.sync_file(path, now)
    except config_toml.ConfigTomlError as error:
        click.echo(f"Hosts not synced: {error}", err=True)
        return
    for message in outcome.errors:
        click.echo(f"Host not changed: {message}", err=True)


@click.group("hosts")
def hosts_group() -> None:
    """Manage the hosts in config.toml."""


@hosts_group.command("sync", cls=StackCommand)
@click.option("--yes", is_flag=True, help="Retire hosts that are gone, even if those are most.")
def sync_hosts(yes: bool) -> None:
    """Sync the hosts with config.toml; exit code 1 on errors."""
    try:
        outcome = config_sync.sync_file(current_app.config["VULS_CONFIG"], datetime.now(UTC), confirmed=yes)
    except config_sync.RetiresMost as error:
        raise click.ClickException(f"{error} To do it anyway: vulsweb hosts sync --yes") from error
    except config_toml.ConfigTomlError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(outcome.summary)
    for message in outcome.errors:
        click.echo(message, err=True)
    sys.exit(bool(outcome.errors))


@click.command(cls=StackCommand)
def doctor() -> None:
    """Check every component; say how to fix what fails (exit code 1)."""
    system = health.read(current_app.config, datetime.now(UTC))
    for check in system.checks:
        at = f" Last: {check.at:%Y-%m-%d %H:%M:%S} UTC" if check.at else ""
        click.echo(f"{check.state.label:8} {check.label:24} {check.message}{at}")
        for line in (*check.advice, *check.detail.splitlines()):
            click.echo(f"{'':33} {line}")
    for executor in system.executors:
        if len(system.executors) > 1:
            click.echo(f"{'':8} Executor {executor.name}:")
        for tool in executor.tools:
            version = tool.version or "installed" if tool.found else "missing"
            click.echo(f"{'':8} {tool.name:24} {version}")
        for database in executor.databases:
            rows = f"{database.rows:,} rows, fetched {database.fetched_at or 'at an unknown time'}"
            click.echo(f"{'':8} {database.name.label:24} {rows if database.rows else 'not fetched'}")
    sys.exit(system.state is State.FAILED)


@click.group()
def images() -> None:
    """Copy the Docker images to a machine without internet access."""


@images.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_images(file: Path) -> None:
    """Save all images of the stack to FILE."""
    _run_images_script("export", file)


@images.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_images(file: Path) -> None:
    """Load the images from a FILE that export wrote."""
    _run_images_script("import", file)


def _run_images_script(direction: str, file: Path) -> None:
    script = Path(__file__).parents[2] / "deploy" / "images"
    if not script.exists():
        raise click.ClickException(
            "Run this in a checkout of Vuls Web, which has docker-compose.yml and deploy/."
        )
    sys.exit(subprocess.call([script, direction, file.absolute()]))  # noqa: S603 - our own script


@click.group("db")
def migrations() -> None:
    """Migrate the schema of the database."""


@migrations.command("upgrade", cls=StackCommand)
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Migrate up to REVISION; without one, to the newest."""
    flask_migrate.upgrade(revision=revision)


@migrations.command("downgrade", cls=StackCommand)
@click.argument("revision", default="-1")
def downgrade(revision: str) -> None:
    """Migrate back to REVISION; without one, by one step."""
    flask_migrate.downgrade(revision=revision)


@migrations.command("current", cls=StackCommand)
def current() -> None:
    """Show the revision that the database has."""
    flask_migrate.current()


@migrations.command("migrate", cls=StackCommand)
@click.option("--rev-id", required=True, help="Number of the new step, such as 0001.")
@click.option("-m", "--message", required=True, help="What it changes, in a few words.")
def migrate(rev_id: str, message: str) -> None:
    """Write a step for what the models have and the database lacks."""
    flask_migrate.migrate(message=message, rev_id=rev_id)


COMMANDS = (
    run,
    tools,
    backup,
    restore,
    prepare,
    doctor,
    migrations,
    hosts_group,
    user,
    token,
    audit,
    images,
)


def register(app: Flask) -> None:
    """Add the commands to the application."""
    for command in COMMANDS:
        app.cli.add_command(command)
