"""Requests that carry a key: done once, however often they are sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, delete
from sqlalchemy.dialects.postgresql import insert

from vulsweb.extensions import db
from vulsweb.models import IdempotencyKey

KEPT = timedelta(hours=24)
_UNANSWERED = {"status": None, "body": None, "content_type": None, "location": None}


@dataclass(frozen=True)
class Claim:
    """A key that was taken for a request, until its answer is kept."""

    user_id: int
    key: str
    fingerprint: str
    created_at: datetime


def claim(wanted: Claim) -> IdempotencyKey | None:
    """Take the key, and return None; or return what is kept under it from an earlier request.

    Waits for a transaction that holds the key. The claim is kept by the commit that keeps the work, so a
    process that dies between the two leaves either neither or a key without an answer, never work that a
    second request would do again.
    """
    values = {**_UNANSWERED, "fingerprint": wanted.fingerprint, "created_at": wanted.created_at}
    taken = db.session.scalar(
        insert(IdempotencyKey)
        .values(user_id=wanted.user_id, key=wanted.key, **values)
        .on_conflict_do_update(
            index_elements=["user_id", "key"],
            set_=values,
            where=IdempotencyKey.created_at < wanted.created_at - KEPT,
        )
        .returning(IdempotencyKey.key)
    )
    if taken is not None:
        return None
    return db.session.get(IdempotencyKey, (wanted.user_id, wanted.key), populate_existing=True)


def keep(claimed: Claim, answer: Mapping[str, Any]) -> None:
    """Keep the answer; a key that somebody else has taken since a rollback stays theirs."""
    db.session.execute(
        insert(IdempotencyKey)
        .values(
            user_id=claimed.user_id,
            key=claimed.key,
            fingerprint=claimed.fingerprint,
            created_at=claimed.created_at,
            **answer,
        )
        .on_conflict_do_update(
            index_elements=["user_id", "key"],
            set_=dict(answer),
            where=IdempotencyKey.created_at == claimed.created_at,
        )
    )


def prune_keys(now: datetime) -> int:
    """Delete the keys that no longer count, and return how many there were."""
    done = db.session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEPT))
    assert isinstance(done, CursorResult)  # noqa: S101 - a DELETE yields no rows, only their number
    return done.rowcount
