"""What people are told about runs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, select

from vulsweb.extensions import db
from vulsweb.models import EventKind, Finding, Host, Run, RunStatus, ScheduledTask
from vulsweb.notifications import events
from vulsweb.notifications.events import Happening
from vulsweb.runs import history
from vulsweb.vuls.results import Severity

_KINDS = {
    RunStatus.FAILED: EventKind.RUN_FAILED,
    RunStatus.TIMEOUT: EventKind.RUN_TIMED_OUT,
    RunStatus.PARTIAL: EventKind.RUN_PARTIAL,
}
_JUDGED = (RunStatus.SUCCESS, *_KINDS)
# Much longer: this many times the usual duration, and at least this much more.
SLOW_TIMES = 2
SLOW_MORE = timedelta(minutes=5)
# In one message; the run's page has all of them.
MOST_FINDINGS = 10


def run_ended(run: Run, now: datetime) -> None:
    """Tell how a run ended, and what it found."""
    kinds = (*_KINDS.values(), EventKind.RUN_RECOVERED, EventKind.RUN_SLOW, EventKind.NEW_FINDINGS)
    if run.status in _JUDGED and events.is_wanted(*kinds):
        events.record([*_outcome(run), *_slowness(run), *_findings(run)], now)


def not_run(skipped: Sequence[tuple[ScheduledTask, datetime | None, str]], now: datetime) -> None:
    """Tell of slots that were skipped or missed, given with the reason.

    Several slots of one task are one message.
    """
    if not skipped or not events.is_wanted(EventKind.RUN_MISSED):
        return
    of_task: dict[int, list[tuple[ScheduledTask, datetime | None, str]]] = {}
    for each in skipped:
        of_task.setdefault(each[0].id, []).append(each)
    told = []
    for slots in of_task.values():
        task, slot, reason = slots[0]
        times = f"{len(slots)} times" if len(slots) > 1 else f"at {_utc(slot or now)}"
        told.append(
            Happening(
                EventKind.RUN_MISSED,
                _subject(task),
                f"{task.name} did not run {times}",
                reason,
                _path(task),
                task,
            )
        )
    events.record(told, now)


def _outcome(run: Run) -> list[Happening]:
    before = _previous_status(run)
    if run.status is not RunStatus.SUCCESS:
        title = f"{run.task.name}: {run.status.label.lower()}"
        news = before is not run.status
        return [_about(run, _KINDS[run.status], title, run.reason or "", news=news)]
    if before in _KINDS:
        text = f"{_took(run)} The run before it: {before.label.lower()}."
        return [_about(run, EventKind.RUN_RECOVERED, f"{run.task.name}: works again", text)]
    return []


def _slowness(run: Run) -> list[Happening]:
    usual = history.usual_duration(run.task_id, before=run.id) if run.duration else None
    if not usual or not run.duration or run.duration < max(usual * SLOW_TIMES, usual + SLOW_MORE):
        return []
    text = f"{_took(run)} Usual for this task: {_words(usual)}."
    return [_about(run, EventKind.RUN_SLOW, f"{run.task.name}: took much longer than usual", text)]


def _findings(run: Run) -> list[Happening]:
    counts: Mapping[str, int] = (run.result_data or {}).get("opened_counts", {})
    found = {severity: counts[severity] for severity in Severity if counts.get(severity)}
    if not found:
        return []
    total = sum(found.values())
    summary = ", ".join(f"{count:,} {severity.value}" for severity, count in found.items())
    noun = "new finding" if total == 1 else "new findings"
    title = f"{run.task.name}: {total:,} {noun} ({summary})"
    return [_about(run, EventKind.NEW_FINDINGS, title, _worst(run, total), severity=next(iter(found)))]


def _worst(run: Run, total: int) -> str:
    """Return the worst new findings of the run, one to a line."""
    worst_first = case({severity.value: severity.rank for severity in Severity}, value=Finding.severity)
    rows = db.session.execute(
        select(Finding.cve_id, Finding.severity, Host.name, Finding.title)
        .join(Host, Finding.host_id == Host.id)
        .where(Finding.first_run_id == run.id)
        .order_by(worst_first, Finding.score.desc().nulls_last(), Finding.cve_id)
        .limit(MOST_FINDINGS)
    ).all()
    lines = [finding_line(*row) for row in rows]
    return "\n".join([*lines, *([f"And {total - len(rows):,} more."] if total > len(rows) else [])])


def finding_line(cve_id: str, severity: Severity, host: str, title: str) -> str:
    """Return a finding as one line of a message."""
    return f"{cve_id} ({severity.value}) on {host}" + (f": {title}" if title else "")


def _about(
    run: Run,
    kind: EventKind,
    title: str,
    text: str,
    *,
    severity: Severity | None = None,
    news: bool = True,
) -> Happening:
    path = f"/runs/{run.id}"
    return Happening(kind, _subject(run.task), title, text, path, run.task, severity, news)


def _previous_status(run: Run) -> RunStatus | None:
    earlier = select(Run.status).where(Run.task_id == run.task_id, Run.id < run.id, Run.status.in_(_JUDGED))
    return db.session.scalar(earlier.order_by(Run.id.desc()).limit(1))


def _subject(task: ScheduledTask) -> str:
    return f"task {task.id}"


def _path(task: ScheduledTask) -> str:
    return f"/tasks/{task.id}"


def _took(run: Run) -> str:
    return f"It took {_words(run.duration)}." if run.duration else ""


def _words(duration: timedelta) -> str:
    seconds = round(duration.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
