"""Slots that nobody could start, recorded once the scheduler is back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.models import Heartbeat, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.models.heartbeat import TICK
from vulsweb.runs import notices, overlap

# For each task. A task of every minute misses thousands in a weekend, and nobody reads them one by one.
MOST_RECORDED = 100


def record(due: Sequence[ScheduledTask], made_up_by: Mapping[int, int], now: datetime) -> None:
    """Store a skipped run for each slot since a task's due one.

    `made_up_by` has the run of each task's due slot, which stands for all of them.
    """
    slots = {
        key: _slots_after(*key, now)
        for key in {(task.cron_expression, task.timezone, task.next_run_at) for task in due}
    }
    missed = [
        (task, slot, is_last)
        for task in due
        for slot, is_last in slots[task.cron_expression, task.timezone, task.next_run_at]
    ]
    if not missed:
        return
    since = db.session.scalar(select(Heartbeat.at).where(Heartbeat.name == TICK))
    why = f"the scheduler did not run between {_shown(since)} and {_shown(now)}" if since else "nothing ran"
    run_ids = overlap.reserve_run_ids(len(missed))
    rows = [
        {
            "id": run_id,
            "task_id": task.id,
            "status": RunStatus.SKIPPED,
            "trigger": Trigger.SCHEDULE,
            "scheduled_for": slot,
            "created_at": now,
            "completed_at": now,
            "reason": f"Missed, because {why}."
            + (" All later slots until then were missed too." if is_last else "")
            + f" Run {made_up_by[task.id]} makes up for it.",
            "request": {},
        }
        for run_id, (task, slot, is_last) in zip(run_ids, missed, strict=True)
    ]
    db.session.execute(insert(Run).on_conflict_do_nothing(), rows)
    notices.not_run([(task, slot, f"The scheduler was down: {why}.") for task, slot, _ in missed], now)


def _slots_after(line: str, zone: str, first: datetime | None, now: datetime) -> list[tuple[datetime, bool]]:
    """Return the slots since `first`; a flag says that more follow."""
    found: list[tuple[datetime, bool]] = []
    try:
        slot = cron.next_slot(line, zone, first or now)
        while slot <= now and len(found) < MOST_RECORDED:
            following = cron.next_slot(line, zone, slot)
            found.append((slot, following <= now and len(found) == MOST_RECORDED - 1))
            slot = following
    except cron.CronError:
        return found  # the task is paused for it, with the reason
    return found


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
