"""Synchronizations of the hosts with config.toml: asked for in one place, done in another, and remembered."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.hosts import config_sync
from vulsweb.models import HostSync, Trigger, User
from vulsweb.vuls.config_toml import ConfigTomlError

# A message that is not taken up within the first was lost with Redis; after the second nobody waits any more.
LOST_AFTER = timedelta(minutes=1)
ABANDONED_AFTER = timedelta(minutes=10)


def request(
    trigger: Trigger, *, now: datetime, requested_by: User | None, version_number: int | None = None
) -> HostSync:
    """Note that the hosts shall be synchronized; after the commit, hand its id to `worker.sync_hosts`."""
    sync = HostSync(
        trigger=trigger, requested_at=now, requested_by=requested_by, version_number=version_number
    )
    db.session.add(sync)
    db.session.flush()
    return sync


def claim(sync_id: int) -> HostSync | None:
    """Take a sync that is not done yet; None when another worker has it or has done it."""
    waiting = select(HostSync).where(HostSync.id == sync_id, HostSync.finished_at.is_(None))
    return db.session.scalars(waiting.with_for_update(skip_locked=True)).first()


def perform(sync: HostSync, config: Path, now: datetime) -> None:
    """Synchronize the hosts with the file as it is now, and note what it came to."""
    try:
        outcome = config_sync.sync_file(config, now)
    except ConfigTomlError as error:
        sync.error = str(error)
    else:
        sync.outcome = asdict(outcome)
    sync.finished_at = now


def latest() -> HostSync | None:
    """Return the sync that was asked for last."""
    return db.session.scalars(select(HostSync).order_by(HostSync.id.desc()).limit(1)).first()


def abandoned(sync: HostSync, now: datetime) -> bool:
    """Say whether nobody will do this sync any more."""
    return sync.finished_at is None and sync.requested_at < now - ABANDONED_AFTER


def unclaimed(now: datetime) -> Sequence[int]:
    """Return the ids of the syncs whose message nobody took."""
    between = HostSync.requested_at.between(now - ABANDONED_AFTER, now - LOST_AFTER)
    return db.session.scalars(select(HostSync.id).where(HostSync.finished_at.is_(None), between)).all()
