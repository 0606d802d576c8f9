"""Pauses of tasks whose host is retired."""

from datetime import datetime

from sqlalchemy import case, or_, select, update
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.models import Host, ScheduledTask
from vulsweb.models.task import EDIT_TO_RESUME

HOST_REASON = " is no longer in config.toml. The task resumes when the host is back."
CONTAINER_REASON = " was not among the running containers. The task resumes when the container is back."


def update_pauses(now: datetime) -> None:
    """Pause the tasks of retired hosts, and resume those of active hosts.

    `active` does not change, so a task that a user deactivated stays inactive. A task paused because its
    schedule cannot be read stays paused too, until it is edited.
    """
    reason = case((Host.parent_id.is_(None), HOST_REASON), else_=CONTAINER_REASON)
    to_edit = ScheduledTask.paused_reason.endswith(EDIT_TO_RESUME)
    db.session.flush()
    db.session.execute(
        update(ScheduledTask)
        .where(
            ScheduledTask.host_id == Host.id,
            Host.retired_at.is_not(None),
            or_(ScheduledTask.paused_at.is_(None), to_edit),
        )
        .values(paused_at=now, paused_reason=Host.name + reason, next_run_at=None)
        .execution_options(synchronize_session=False)
    )
    db.session.expire_all()
    resumable = (
        select(ScheduledTask)
        .join(ScheduledTask.host)
        .where(ScheduledTask.paused_at.is_not(None), ~to_edit, Host.retired_at.is_(None))
        .options(joinedload(ScheduledTask.host))
        .order_by(ScheduledTask.id)
        .with_for_update(of=ScheduledTask, key_share=True)
    )
    for task in db.session.scalars(resumable):
        task.plan(now)
    db.session.flush()
