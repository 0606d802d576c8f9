"""Tasks whose host is out of service wait until it is back, and say so."""

from datetime import datetime

from sqlalchemy import case, select, update
from sqlalchemy.orm import joinedload

from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.models import Host, ScheduledTask

WHY = " is no longer in config.toml. The task goes on by itself when the host is back."
WHY_CONTAINER = " was not among the running containers. The task goes on by itself when the container is."


def update_pauses(now: datetime) -> None:
    """Pause the tasks of retired hosts, and let exactly those that were paused so go on when it is back.

    What a person has deactivated stays so: a pause leaves `active` alone.
    """
    why = case((Host.parent_id.is_(None), WHY), else_=WHY_CONTAINER)
    db.session.flush()
    db.session.execute(
        update(ScheduledTask)
        .where(
            ScheduledTask.host_id == Host.id,
            Host.retired_at.is_not(None),
            ScheduledTask.paused_at.is_(None),
        )
        .values(paused_at=now, paused_reason=Host.name + why, next_run_at=None)
        .execution_options(synchronize_session=False)
    )
    db.session.expire_all()
    _resume(now)


def _resume(now: datetime) -> None:
    waiting = (
        select(ScheduledTask)
        .join(ScheduledTask.host)
        .where(ScheduledTask.paused_at.is_not(None), Host.retired_at.is_(None))
        .options(joinedload(ScheduledTask.host))
        .order_by(ScheduledTask.id)
        .with_for_update(of=ScheduledTask)
    )
    for task in db.session.scalars(waiting):
        task.paused_at = task.paused_reason = None
        if task.active:
            task.next_run_at = cron.next_slot(task.cron_expression, task.timezone, now)
    db.session.flush()
