"""Values of the task form, and filters from query strings."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict

from vulsweb.models import Absence, OldDatabases, Overlap, RunStatus, ScheduledTask, TaskType, Trigger
from vulsweb.models.run import ACTIVE
from vulsweb.runs import history
from vulsweb.tasks import queries as task_queries
from vulsweb.views import list_query
from vulsweb.views.list_query import ListQuery, one_line
from vulsweb.vuls.catalogue import DatabaseType

TEXT_FIELDS = (
    "name",
    "description",
    "task_type",
    "scan_type",
    "database_type",
    "target",
    "host_id",
    "host_name",
    "host_tag",
    "cron_expression",
    "timezone",
    "overlap",
    "absence",
    "database_hours",
    "old_databases",
)
EXAMPLES = (
    ("0 2 * * *", "Every day at 2 AM"),
    ("0 0 * * 0", "Every Sunday at midnight"),
    ("0 * * * *", "Every hour"),
    ("*/15 * * * *", "Every 15 minutes"),
    ("0 3 1 * *", "First day of month at 3 AM"),
    ("0 6 * * 1-5", "Weekdays at 6 AM"),
)


def posted_task(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a submitted task form."""
    values = {field: form.get(field, "") for field in TEXT_FIELDS}
    # Browsers also send the fields of the target that is not selected.
    other = ("host_id", "host_name") if values["target"] == "tag" else ("host_tag",)
    values |= dict.fromkeys(other, "")
    rules = {
        "overlap": values["overlap"] or Overlap.SKIP.value,
        "absence": values["absence"] or Absence.WAIT.value,
    }
    # Browsers do not send a checkbox that is not checked.
    return values | rules | {"is_active": "is_active" in form}


def existing_task(task: ScheduledTask) -> dict[str, Any]:
    """Return the form values for an existing task."""
    return {
        "name": task.name,
        "description": task.description,
        "task_type": task.task_type.value,
        "scan_type": task.scan_type or "",
        "database_type": task.database_type or "",
        "target": "tag" if task.host_tag else "host",
        "host_id": str(task.host_id or ""),
        "host_name": task.host.name if task.host else "",
        "host_tag": task.host_tag or "",
        "cron_expression": task.cron_expression,
        "timezone": task.timezone,
        "overlap": task.overlap.value,
        "absence": task.absence.value,
        "database_hours": task.database_hours or "",
        "old_databases": task.old_databases.value,
        "is_active": task.active,
    }


def new_task(args: Mapping[str, str], zone: str) -> dict[str, Any]:
    """Return the form values for a new task.

    The URL may set its type and target.
    """
    task_type, database = args.get("type"), args.get("database")
    return dict.fromkeys(TEXT_FIELDS, "") | {
        "task_type": task_type if task_type in set(TaskType) else TaskType.SCAN.value,
        "scan_type": "fast",
        "database_type": database if database in set(DatabaseType) else DatabaseType.ALL.value,
        "target": "tag" if args.get("tag") else "host",
        "host_id": args.get("host", ""),
        "host_tag": args.get("tag", ""),
        "cron_expression": EXAMPLES[0][0],
        "timezone": zone,
        "overlap": Overlap.SKIP.value,
        "absence": Absence.WAIT.value,
        "old_databases": OldDatabases.UPDATE.value,
        "is_active": True,
    }


LARGEST_ID = 2**31 - 1
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_Choice = TypeVar("_Choice", bound=StrEnum)


def new_request_key() -> str:
    """Return a random key, so that sending a form twice counts once."""
    return secrets.token_urlsafe(16)


def request_key(form: Mapping[str, str]) -> str | None:
    """Return the form's key from `new_request_key`, if it is valid."""
    key = form.get("request_key", "")
    return key if _KEY.fullmatch(key) else None


def cursor(args: MultiDict[str, str]) -> dict[str, int]:
    """Return the position in a list, empty for the first page.

    It is `before` or `after` the id of a row.
    """
    return {name: number(args, name) for name in ("before", "after") if args.get(name)}


def ids(values: Iterable[str]) -> list[int]:
    """Return the valid ids among the values, without duplicates."""
    numbers = (int(value) for value in values if value.isascii() and value.isdecimal() and len(value) <= 10)
    return [number for number in dict.fromkeys(numbers) if number <= LARGEST_ID]


def number(args: MultiDict[str, str], name: str) -> int:
    """Return an argument as a number from 0 to LARGEST_ID.

    Invalid values count as 0.
    """
    return min(max(args.get(name, 0, type=int), 0), LARGEST_ID)


@dataclass(frozen=True)
class TaskQuery(ListQuery[task_queries.Filter, task_queries.Sort]):
    """Which tasks a page shows, and in which order."""

    descending_first = frozenset({task_queries.Sort.LAST_RUN})

    @property
    def filter_args(self) -> dict[str, Any]:
        """Return the filter as arguments of the URL."""
        args = {
            "type": self.filter.task_type or "",
            "status": {True: "active", False: "inactive", None: ""}[self.filter.active],
            "result": self.filter.result or "",
            "search": self.filter.text,
        }
        return {name: str(value) for name, value in args.items() if value}


def task_query(args: MultiDict[str, str]) -> TaskQuery:
    """Parse the query string of the Scheduler page; ignore invalid values."""
    filter_ = task_queries.Filter(
        task_type=member(TaskType, args, "type"),
        active={"active": True, "inactive": False}.get(args.get("status", "")),
        text=one_line(args, "search"),
        result=member(task_queries.LastResult, args, "result"),
    )
    return TaskQuery(filter_, *list_query.order(args, task_queries.Sort))


@dataclass(frozen=True)
class RunQuery:
    """Which runs a page shows, and the query string for them."""

    status: str
    trigger: Trigger | None
    since: date | None
    until: date | None
    zone: str
    # An exact time instead of a day: links of the overview's chart use it.
    begin: datetime | None = None

    @property
    def args(self) -> dict[str, Any]:
        """Return the filter as arguments of the URL."""
        args = {"status": self.status, "trigger": self.trigger, "from": self.since, "to": self.until}
        begin = {"since": self.begin.isoformat()} if self.begin else {}
        return {name: str(value) for name, value in args.items() if value} | begin

    def filter_of(self, task_id: int | None) -> history.Filter:
        """Return the filter for the runs of one task or all.

        The last day is included.
        """
        active = self.status == "active"
        begins = [*([midnight(self.since, self.zone)] if self.since else []), *filter(None, [self.begin])]
        return history.Filter(
            task_id=task_id,
            statuses=ACTIVE if active else (RunStatus(self.status),) if self.status else (),
            trigger=self.trigger,
            since=max(begins, default=None),
            until=midnight(self.until + timedelta(days=1), self.zone) if self.until else None,
        )


def run_query(args: MultiDict[str, str], zone: str) -> RunQuery:
    """Parse the query string of a list of runs.

    Days are in `zone`. Invalid values are ignored.
    """
    status = args.get("status", "")
    try:
        begin = datetime.fromisoformat(args.get("since", ""))
    except ValueError:
        begin = None
    return RunQuery(
        status=status if status == "active" or status in set(RunStatus) else "",
        trigger=member(Trigger, args, "trigger"),
        since=day(args.get("from", "")),
        until=day(args.get("to", "")),
        zone=zone,
        begin=begin.astimezone(UTC) if begin and begin.tzinfo and 2000 <= begin.year < 3000 else None,
    )


def member(members: type[_Choice], args: Mapping[str, str], name: str) -> _Choice | None:
    """Return an argument as a member of the enumeration, or None."""
    value = args.get(name, "")
    return members(value) if value in set(members) else None


def day(text: str) -> date | None:
    """Parse a date; return None if it is not valid."""
    try:
        parsed = date.fromisoformat(text)
    except ValueError:
        return None
    return parsed if 2000 <= parsed.year < 3000 else None


def midnight(day: date, zone: str) -> datetime:
    """Return the time at which a day begins in a time zone."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
