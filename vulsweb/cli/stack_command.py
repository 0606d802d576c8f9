"""Commands that need the application."""

import os
import pwd

import click
from flask import current_app
from flask.cli import ScriptInfo

from vulsweb.accounts.credentials import NAME_LENGTH
from vulsweb.audit import actors
from vulsweb.models import AuditWay


class StackCommand(click.Command):
    """A command that needs the application; its help does not."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Create the application before any prompt for a password."""
        if not set(ctx.help_option_names) & set(args):
            if not current_app:
                ctx.with_resource(ctx.ensure_object(ScriptInfo).load_app().app_context())
            actors.act_as(actors.Actor(AuditWay.COMMAND, _account()))
        return super().parse_args(ctx, args)


def _account() -> str:
    """Return the name of the account that gives the command."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name[:NAME_LENGTH]
    except KeyError:  # a number without a name, as in a container
        return f"user id {os.getuid()}"
