"""A change counter of tasks and runs, for pages that poll.

Triggers take the next number of a sequence whenever a task or a visible column of a run is written. No writer
waits for another, but the number is visible before its rows are committed: hence `settled`.
docs/decisions.md explains the design.
"""

from sqlalchemy import text

from vulsweb.extensions import db

_WRITING = """
    SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND objid = 'changes_seq'::regclass
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""


def version() -> int:
    """Return the number of the latest change; call this before reading rows."""
    number: int = db.session.execute(text("SELECT last_value FROM changes_seq")).scalar_one()
    return number


def settled() -> bool:
    """Return whether all counted changes are committed.

    Call this between `version` and reading rows.
    """
    writing: bool = db.session.execute(text(_WRITING)).scalar_one()
    return not writing
