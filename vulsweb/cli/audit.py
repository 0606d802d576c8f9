"""`vulsweb audit`."""

import click

from vulsweb.audit import chain
from vulsweb.cli.stack_command import StackCommand


@click.group()
def audit() -> None:
    """Check the audit trail."""


def _known_entry(_: click.Context, __: click.Parameter, given: str) -> tuple[int, str]:
    number, _colon, hashed = given.partition(":")
    if given and not (number.isascii() and number.isdecimal() and hashed):
        raise click.BadParameter("Give the number and the hash of an entry, as NUMBER:HASH.")
    return int(number or 0), hashed


@audit.command("verify", cls=StackCommand)
@click.option(
    "--known",
    metavar="NUMBER:HASH",
    default="",
    callback=_known_entry,
    help="An entry that was noted elsewhere.",
)
def verify_audit(known: tuple[int, str]) -> None:
    """Verify that no entry was changed or removed (exit code 1).

    Note the last number and hash elsewhere. Whoever can write to the database can write the whole trail anew,
    but not with that hash: give it with --known the next time.
    """
    found = chain.verify(*known)
    click.echo(f"Entries: {found.count:,}. Last: {found.number}:{found.hash}")
    if found.problem:
        raise click.ClickException(found.problem)
    click.echo("The audit trail is whole.")
