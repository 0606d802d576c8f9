"""Between what browsers send and what the domain takes: forms, filters, and their addresses."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from werkzeug.datastructures import MultiDict

from vulsweb.findings import lists as finding_lists
from vulsweb.models import Absence, Overlap, RunStatus, ScheduledTask, TaskType, Trigger
from vulsweb.models.run import ACTIVE
from vulsweb.runs import history
from vulsweb.tasks import queries as task_queries
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
)
# Read once: looking for them goes through the file system.
ZONES = tuple(sorted(available_timezones()))
EXAMPLES = (
    ("0 2 * * *", "Every day at 2 AM"),
    ("0 0 * * 0", "Every Sunday at midnight"),
    ("0 * * * *", "Every hour"),
    ("*/15 * * * *", "Every 15 minutes"),
    ("0 3 1 * *", "First day of month at 3 AM"),
    ("0 6 * * 1-5", "Weekdays at 6 AM"),
)


def posted(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a form that was sent; a box that is not ticked is not sent."""
    values = {field: form.get(field, "") for field in TEXT_FIELDS}
    # The fields of the target that was not chosen are sent, too.
    other = ("host_id", "host_name") if values["target"] == "tag" else ("host_tag",)
    values |= dict.fromkeys(other, "")
    rules = {
        "overlap": values["overlap"] or Overlap.SKIP.value,
        "absence": values["absence"] or Absence.WAIT.value,
    }
    return values | rules | {"is_active": "is_active" in form}


def of_task(task: ScheduledTask) -> dict[str, Any]:
    """Return the values of the form for a task as it stands."""
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
        "is_active": task.active,
    }


def of_new(query: Mapping[str, str], zone: str) -> dict[str, Any]:
    """Return the values of the form for a new task in `zone`; the address may choose type and target."""
    wanted, database = query.get("type"), query.get("database")
    return dict.fromkeys(TEXT_FIELDS, "") | {
        "task_type": wanted if wanted in set(TaskType) else TaskType.SCAN.value,
        "scan_type": "fast",
        "database_type": database if database in set(DatabaseType) else DatabaseType.ALL.value,
        "target": "tag" if query.get("tag") else "host",
        "host_id": query.get("host", ""),
        "host_tag": query.get("tag", ""),
        "cron_expression": EXAMPLES[0][0],
        "timezone": zone,
        "overlap": Overlap.SKIP.value,
        "absence": Absence.WAIT.value,
        "is_active": True,
    }


LARGEST_ID = 2**31 - 1
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_Choice = TypeVar("_Choice", TaskType, task_queries.LastResult, Trigger, RunStatus, finding_lists.Sort)


def new_request_key() -> str:
    """Return a value by which a form that is sent twice is known again."""
    return secrets.token_urlsafe(16)


def request_key(form: Mapping[str, str]) -> str | None:
    """Return the value that `new_request_key` put into the form, or None when it is not one."""
    key = form.get("request_key", "")
    return key if _KEY.fullmatch(key) else None


def place(query: MultiDict[str, str]) -> dict[str, int]:
    """Return where in a list the address stands: before or after a row's id, or at its beginning."""
    return {name: number(query, name) for name in ("before", "after") if query.get(name)}


def ids(values: Iterable[str]) -> list[int]:
    """Return the ids among the values, each once."""
    numbers = (int(value) for value in values if value.isascii() and value.isdecimal() and len(value) <= 10)
    return [number for number in dict.fromkeys(numbers) if number <= LARGEST_ID]


def number(query: MultiDict[str, str], name: str) -> int:
    """Return a whole number of an address, from 0 to the largest id; 0 where it is none."""
    return min(max(query.get(name, 0, type=int), 0), LARGEST_ID)


@dataclass(frozen=True)
class TaskList:
    """Which tasks in which order, and how an address says so."""

    filter: task_queries.Filter
    sort: task_queries.Sort
    descending: bool

    @property
    def chosen(self) -> dict[str, Any]:
        """Return the filter as it stands in addresses."""
        wanted = self.filter
        named = {
            "type": wanted.task_type or "",
            "status": {True: "active", False: "inactive", None: ""}[wanted.active],
            "result": wanted.result or "",
            "search": wanted.text,
        }
        return {name: str(value) for name, value in named.items() if value}

    @property
    def address(self) -> dict[str, Any]:
        """Return filter and order as they stand in addresses."""
        order = f"{'-' if self.descending else ''}{self.sort}"
        return self.chosen | ({} if order == task_queries.Sort.NAME else {"sort": order})

    def sorted_by(self, sort: str) -> dict[str, Any]:
        """Return the address of the same tasks by `sort`, turned round if that is their order now."""
        turned = self.sort == sort and not self.descending
        # Most people who go by the last run look for the latest.
        descending = turned if self.sort == sort else sort == task_queries.Sort.LAST_RUN
        return TaskList(self.filter, task_queries.Sort(sort), descending).address

    def aria_sort(self, sort: str) -> str:
        """Return what a column's head says of the order."""
        if self.sort != sort:
            return "none"
        return "descending" if self.descending else "ascending"


def task_list(query: MultiDict[str, str]) -> TaskList:
    """Read a list of tasks out of an address; what makes no sense is left out."""
    order = query.get("sort", "")
    name = order.removeprefix("-")
    known = name in set(task_queries.Sort)
    return TaskList(
        task_queries.Filter(
            task_type=member(TaskType, query, "type"),
            active={"active": True, "inactive": False}.get(query.get("status", "")),
            text=query.get("search", "").replace("\x00", "").strip(),
            result=member(task_queries.LastResult, query, "result"),
        ),
        sort=task_queries.Sort(name) if known else task_queries.Sort.NAME,
        descending=known and order != name,
    )


@dataclass(frozen=True)
class RunList:
    """Which runs, and how an address says so."""

    status: str
    trigger: Trigger | None
    since: date | None
    until: date | None
    zone: str
    # Exact to the second, where an address asks for the runs that a picture counts.
    begin: datetime | None = None

    @property
    def address(self) -> dict[str, Any]:
        """Return the filter as it stands in addresses."""
        named = {"status": self.status, "trigger": self.trigger, "from": self.since, "to": self.until}
        begin = {"since": self.begin.isoformat()} if self.begin else {}
        return {name: str(value) for name, value in named.items() if value} | begin

    def filter_of(self, task_id: int | None) -> history.Filter:
        """Return what to look for in one task's runs or in all; days are the reader's, the last included."""
        active = self.status == "active"
        begins = [*([midnight(self.since, self.zone)] if self.since else []), *filter(None, [self.begin])]
        return history.Filter(
            task_id=task_id,
            statuses=ACTIVE if active else (RunStatus(self.status),) if self.status else (),
            trigger=self.trigger,
            since=max(begins, default=None),
            until=midnight(self.until + timedelta(days=1), self.zone) if self.until else None,
        )


def run_list(query: MultiDict[str, str], zone: str) -> RunList:
    """Read a list of runs out of an address, its days in `zone`; what makes no sense is left out."""
    status = query.get("status", "")
    return RunList(
        status=status if status == "active" or status in set(RunStatus) else "",
        trigger=member(Trigger, query, "trigger"),
        since=day(query.get("from", "")),
        until=day(query.get("to", "")),
        zone=zone,
        begin=_moment(query.get("since", "")),
    )


def member(members: type[_Choice], query: Mapping[str, str], name: str) -> _Choice | None:
    """Return the one that the address names, or None when there is no such one."""
    value = query.get(name, "")
    return members(value) if value in set(members) else None


def day(text: str) -> date | None:
    """Return the day that a field or an address names, or None when it is not one."""
    try:
        named = date.fromisoformat(text)
    except ValueError:
        return None
    return named if 2000 <= named.year < 3000 else None


def _moment(text: str) -> datetime | None:
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        return None
    return named.astimezone(UTC) if named.tzinfo and 2000 <= named.year < 3000 else None


def midnight(day: date, zone: str) -> datetime:
    """Return the moment at which a day begins in a zone."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
