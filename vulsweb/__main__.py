"""Vuls Web: `vulsweb run` starts it; other commands manage it."""

import sys
from collections.abc import Mapping

import click
from flask.cli import ScriptInfo
from sqlalchemy.exc import OperationalError

from vulsweb import cli, config, create_app

_NOT_RUNNING = (
    "Vuls Web is not running here: start it with `make run` or `vulsweb run`,"
    " or set VULSWEB_DATA_DIR to the data folder of the one that runs."
)

# Not a FlaskGroup, which creates the application to list the commands.
group = click.Group(
    "vulsweb",
    help=__doc__,
    commands=cli.COMMANDS,
    context_settings={"obj": ScriptInfo(create_app=create_app)},
)
click.version_option(package_name="vulsweb", message="vulsweb %(version)s")(group)


def main() -> None:
    """Run one command; report errors in one sentence, exit code 1."""
    try:
        group()
    except config.ConfigError as error:
        environ = config.with_running_stack(config.environment())
        sys.exit(str(error) if _names_database(environ) else _NOT_RUNNING)
    except OperationalError as error:
        reason = f"The database does not answer: {str(error.orig).splitlines()[0]}"
        # A local stack that was killed leaves its settings behind.
        sys.exit(reason if _names_database(config.environment()) else f"{reason}. {_NOT_RUNNING}")


def _names_database(environ: Mapping[str, str]) -> bool:
    return not environ.keys().isdisjoint(("DATABASE_URL", "DATABASE_URL_FILE"))


if __name__ == "__main__":
    main()
