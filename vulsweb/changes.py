"""Whether tasks or runs have changed, told without looking at them.

Triggers draw the next number of a sequence whenever a task or a shown column of a run is written. That
makes no writer wait for another, but a number is seen before the rows that it announces are committed:
hence `settled`. docs/decisions.md has the argument.
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
    """Return the number of the latest change; ask this before the rows are read."""
    number: int = db.session.execute(text("SELECT last_value FROM changes_seq")).scalar_one()
    return number


def settled() -> bool:
    """Say whether all that `version` has counted is there to be read; ask between `version` and the rows."""
    writing: bool = db.session.execute(text(_WRITING)).scalar_one()
    return not writing
