"""Vuls Web: `vulsweb run` starts it; other commands manage it."""

import sys

import click
from flask.cli import FlaskGroup
from sqlalchemy.exc import OperationalError

from vulsweb import cli, create_app
from vulsweb.config import ConfigError

group = FlaskGroup(
    create_app=create_app,
    add_default_commands=False,
    add_version_option=False,  # that of Flask
    help=__doc__,
    name="vulsweb",
)
click.version_option(package_name="vulsweb", message="vulsweb %(version)s")(group)
# Neither needs the application: `run` starts the servers that it needs, `images` works without it.
group.add_command(cli.run)
group.add_command(cli.images)


def main() -> None:
    """Run one command; report errors in one sentence, exit code 1."""
    try:
        group()
    except ConfigError as error:
        sys.exit(f"{error} Is Vuls Web running, and is VULSWEB_DATA_DIR its data folder?")
    except OperationalError as error:
        sys.exit(f"The database does not answer: {str(error.orig).splitlines()[0]}")


if __name__ == "__main__":
    main()
