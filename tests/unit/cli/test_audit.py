"""`vulsweb audit`, and the entries that commands leave."""

import getpass

import pytest
from flask import Flask
from sqlalchemy import select, text

from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditEntry, AuditKind, User


def add(count: int) -> None:
    for number in range(count):
        trail.note(AuditAction.CHANGED, AuditKind.TASK, number, "a task")
        db.session.commit()


def test_a_whole_trail_is_verified_and_its_last_entry_is_printed(app: Flask) -> None:
    add(2)
    hashes = db.session.scalars(select(AuditEntry.hash).order_by(AuditEntry.number)).all()
    runner = app.test_cli_runner()

    done = runner.invoke(args=["audit", "verify"])
    known = runner.invoke(args=["audit", "verify", "--known", f"1:{hashes[0]}"])

    assert done.output == f"Entries: 2. Last: 2:{hashes[1]}\nThe audit trail is whole.\n"
    assert (done.exit_code, known.exit_code) == (0, 0)


def test_a_trail_with_a_gap_ends_with_exit_code_1_and_says_where(app: Flask) -> None:
    add(3)
    db.session.execute(text("SET LOCAL session_replication_role = replica"))
    db.session.execute(text("DELETE FROM audit_entries WHERE number = 2"))
    db.session.commit()

    done = app.test_cli_runner().invoke(args=["audit", "verify"])

    assert "After entry 1, entries are missing." in done.output
    assert done.exit_code == 1


@pytest.mark.parametrize("known", ["7", "x:y", ":abc", "7:"])
def test_a_known_entry_that_cannot_be_read_is_refused(app: Flask, known: str) -> None:
    done = app.test_cli_runner().invoke(args=["audit", "verify", "--known", known])

    assert "Give the number and the hash of an entry, as NUMBER:HASH." in done.output
    assert done.exit_code == 2


def test_commands_leave_entries_with_the_account_that_gave_them(app: Flask, admin: User) -> None:
    app.test_cli_runner().invoke(args=["token", "create", "laptop", "--user", "admin"])
    db.session.rollback()

    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "token")).one()

    assert (entry.object_name, entry.way.value) == ("laptop", "command")
    assert entry.actor == getpass.getuser()
