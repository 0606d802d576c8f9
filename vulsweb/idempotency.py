"""Idempotency keys: a request that is sent twice is carried out once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, delete
from sqlalchemy.dialects.postgresql import insert

from vulsweb.extensions import db
from vulsweb.models import IdempotencyKey

LIFETIME = timedelta(hours=24)
_NO_RESPONSE = {"status": None, "body": None, "content_type": None, "location": None}


@dataclass(frozen=True)
class Claim:
    """A key claimed for a request that has no response yet."""

    user_id: int
    key: str
    fingerprint: str
    created_at: datetime


def claim(wanted: Claim) -> IdempotencyKey | None:
    """Claim the key; if taken, return the request that has it.

    Waits for a transaction that holds the key. The claim is committed together with the work. If the process
    dies, it leaves either nothing or a key without a response, but never work that a second request would
    repeat.
    """
    values = {**_NO_RESPONSE, "fingerprint": wanted.fingerprint, "created_at": wanted.created_at}
    claimed = db.session.scalar(
        insert(IdempotencyKey)
        .values(user_id=wanted.user_id, key=wanted.key, **values)
        .on_conflict_do_update(
            index_elements=["user_id", "key"],
            set_=values,
            where=IdempotencyKey.created_at < wanted.created_at - LIFETIME,
        )
        .returning(IdempotencyKey.key)
    )
    if claimed is not None:
        return None
    return db.session.get(IdempotencyKey, (wanted.user_id, wanted.key), populate_existing=True)


def store_response(claimed: Claim, response: Mapping[str, Any]) -> None:
    """Store the response, unless another request claimed the key after a rollback."""
    db.session.execute(
        insert(IdempotencyKey)
        .values(
            user_id=claimed.user_id,
            key=claimed.key,
            fingerprint=claimed.fingerprint,
            created_at=claimed.created_at,
            **response,
        )
        .on_conflict_do_update(
            index_elements=["user_id", "key"],
            set_=dict(response),
            where=IdempotencyKey.created_at == claimed.created_at,
        )
    )


def prune_keys(now: datetime) -> int:
    """Delete expired keys; return how many."""
    done = db.session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - LIFETIME))
    assert isinstance(done, CursorResult)  # noqa: S101 - a DELETE yields no rows, only their number
    return done.rowcount
