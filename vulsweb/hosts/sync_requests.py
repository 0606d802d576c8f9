"""Requests for a host sync, which a worker performs, and their outcomes."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.hosts import config_sync
from vulsweb.models import HostSync, Trigger, User
from vulsweb.vuls.config_toml import ConfigTomlError

log = logging.getLogger(__name__)

# After the first, the message counts as lost and is sent again; after the second, the sync is given up.
LOST_AFTER = timedelta(minutes=1)
ABANDONED_AFTER = timedelta(minutes=10)


def request(
    trigger: Trigger, *, now: datetime, requested_by: User | None, version_number: int | None = None
) -> HostSync:
    """Store a request for a host sync.

    After the commit, pass its id to `messages.send_sync`.
    """
    sync = HostSync(
        trigger=trigger, requested_at=now, requested_by=requested_by, version_number=version_number
    )
    db.session.add(sync)
    db.session.flush()
    return sync


def claim(sync_id: int) -> HostSync | None:
    """Lock and return a pending sync.

    Return None if another worker has taken it.
    """
    pending = select(HostSync).where(HostSync.id == sync_id, HostSync.finished_at.is_(None))
    return db.session.scalars(pending.with_for_update(skip_locked=True)).first()


def perform(sync: HostSync, config: Path, now: datetime) -> None:
    """Sync the hosts with the current config.toml.

    Store the outcome, or the error if the file cannot be used.
    """
    try:
        # Whoever removes the last host of the SSH configuration has seen that it will be retired.
        outcome = config_sync.sync_file(config, now, confirmed=sync.version_number is not None)
    except ConfigTomlError as error:
        sync.error = str(error)
        log.warning("host sync: %s", error)
    else:
        sync.outcome = asdict(outcome)
    sync.finished_at = now


def latest() -> HostSync | None:
    """Return the latest request, or None."""
    return db.session.scalars(select(HostSync).order_by(HostSync.id.desc()).limit(1)).first()


def abandoned(sync: HostSync, now: datetime) -> bool:
    """Return whether the sync is unfinished and too old.

    After this long, no worker will take it any more.
    """
    return sync.finished_at is None and sync.requested_at < now - ABANDONED_AFTER


def unclaimed(now: datetime) -> Sequence[int]:
    """Return the ids of pending syncs whose message was lost."""
    between = HostSync.requested_at.between(now - ABANDONED_AFTER, now - LOST_AFTER)
    return db.session.scalars(select(HostSync.id).where(HostSync.finished_at.is_(None), between)).all()
