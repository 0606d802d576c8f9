"""Template filters and globals: times, durations, sizes, cron lines and untrusted text."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from cron_descriptor import FormatError
from flask import Flask, has_request_context, request, url_for
from flask_login import current_user
from markupsafe import Markup, escape

from vulsweb import cron
from vulsweb.models import Run, RunStatus
from vulsweb.views.forms import new_request_key
from vulsweb.vuls import catalogue, releases, results, scores
from vulsweb.vuls.catalogue import DatabaseType

_EVERY_DAY = re.compile(r"At \d\d:\d\d")
_RUN_NUMBER = re.compile(r"\b[Rr]un ([0-9]{1,9})\b", re.ASCII)
_STEP_NAMES = {
    "configtest": "Check configuration and connection",
    "scan": "Read the installed packages",
    "report": "Look up known vulnerabilities",
}


def register(app: Flask) -> None:
    """Register the template filters and globals."""
    filters: tuple[Callable[..., Any], ...] = (
        ago,
        clean,
        clean_lines,
        clock,
        database_label,
        cron_in_words,
        day,
        due,
        duration,
        file_size,
        parse_time,
        reason_with_links,
        results.worst_first,
        roughly,
        source_name,
        step_name,
        vuls_label,
        when,
    )
    for function in filters:
        app.add_template_filter(function)
    for function in (expected_steps, may_operate, new_request_key, now, plural, reader_zone):
        app.add_template_global(function)
    app.add_template_global(releases.label, "system_label")


def source_name(source: str) -> str:
    """Return the name of a source of severities, such as NVD."""
    return scores.label(source)


def vuls_label(reported: object) -> str:
    """Return a reported version for pages, such as "Vuls v0.26.0"."""
    found = catalogue.version(str(reported))
    return catalogue.version_label(found) if found else "Vuls"


def database_label(name: str) -> str:
    """Return the name of a database for pages; unknown ones stay."""
    return DatabaseType(name).label if name in set(DatabaseType) else name


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def reader_zone() -> str:
    """Return the user's time zone.

    It comes from the account, else from the browser's cookie, else it is UTC.
    """
    if not has_request_context():
        return "UTC"
    chosen: str | None = current_user.timezone if current_user.is_authenticated else None
    zone = chosen or request.cookies.get("zone", "")
    return zone if zone in cron.ZONES else "UTC"


def may_operate() -> bool:
    """Return whether the user's role may change tasks, hosts and runs."""
    return bool(current_user.is_authenticated and current_user.role.operates)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(span: timedelta | None) -> str:
    """Format a duration in two units, such as "4 min 12 s"."""
    if span is None:
        return "\N{EM DASH}"
    seconds = max(int(span.total_seconds()), 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if not minutes:
        return f"{seconds} s"
    if not hours:
        return f"{minutes} min {seconds % 60} s"
    return f"{hours} h {minutes % 60} min" if not days else f"{days} d {hours % 24} h"


def roughly(span: timedelta) -> str:
    """Format a duration in its largest unit, such as "3 h"."""
    seconds = abs(span.total_seconds())
    for unit, size, least in (("d", 86400, 172800), ("h", 3600, 5400), ("min", 60, 60)):
        if seconds >= least:
            return f"{round(seconds / size)} {unit if unit != 'd' else 'days'}"
    return f"{int(seconds)} s"


def ago(point: datetime | None) -> str | Markup:
    """Format a time relative to now, such as "3 h ago".

    A tooltip has the exact time.
    """
    if point is None:
        return "\N{EM DASH}"
    text = _relative(point, past="{} ago", present="just now")
    return _time_element(point, reader_zone(), text, relative="ago")


def due(point: datetime | None) -> str | Markup:
    """Format when a task runs next.

    A time in the past is "due now" until the next tick.
    """
    if point is None:
        return "\N{EM DASH}"
    return _time_element(
        point, reader_zone(), _relative(point, past="due now", present="due now"), relative="due"
    )


def when(point: datetime | None, zone: str | None = None) -> str | Markup:
    """Format a time in a zone, such as "Tue 24 Nov, 02:30".

    Without `zone`, the user's time zone applies.
    """
    if point is None:
        return "\N{EM DASH}"
    zone = zone or reader_zone()
    local = point.astimezone(ZoneInfo(zone))
    year = f" {local.year}" if local.year != now().year else ""
    return _time_element(point, zone, f"{local:%a} {local.day} {local:%b}{year}, {local:%H:%M}")


def day(point: datetime | None) -> str | Markup:
    """Format the day of a time, such as "24 Nov"."""
    if point is None:
        return "\N{EM DASH}"
    local = point.astimezone(ZoneInfo(reader_zone()))
    year = f" {local.year}" if local.year != now().year else ""
    return _time_element(point, reader_zone(), f"{local.day} {local:%b}{year}")


def clock(point: datetime) -> str:
    """Format the time of day for the user, such as "02:30"."""
    return f"{point.astimezone(ZoneInfo(reader_zone())):%H:%M}"


def parse_time(text: object) -> datetime | None:
    """Parse a time from the executor; None if invalid."""
    try:
        point = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return point if point.tzinfo else point.replace(tzinfo=UTC)


@lru_cache(maxsize=1000)
def cron_in_words(cron_expression: str) -> str:
    """Describe a cron line in words, if possible."""
    try:
        words = cron.describe(cron_expression)
    except FormatError:
        return cron_expression
    return f"{words} every day" if _EVERY_DAY.fullmatch(words) else words


def clean(text: object) -> str:
    """Replace control and bidirectional characters in untrusted text."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def clean_lines(text: object) -> str:
    """Clean text like `clean`, but keep its line breaks."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def reason_with_links(run: Run) -> str | Markup:
    """Return the reason for a run's status, with links to runs.

    Only reasons written by Vuls Web get links to the runs that they name. Others may quote a host.
    """
    text = clean(run.reason)
    if run.status not in (RunStatus.QUEUED, RunStatus.SKIPPED, RunStatus.CANCELLED):
        return text

    def link(number: re.Match[str]) -> str:
        return f'<a href="{url_for("runs.show", run_id=int(number[1]))}">{number[0]}</a>'

    return Markup(_RUN_NUMBER.sub(link, str(escape(text))))  # noqa: S704 - escaped before the links are added


def step_name(name: str) -> str:
    """Return the label of an executor's step."""
    if name in _STEP_NAMES:
        return _STEP_NAMES[name]
    return DatabaseType(name).label if name in set(DatabaseType) else clean(name)


def expected_steps(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps to show before the executor lists them."""
    names = list(_STEP_NAMES) if "servers" in request else [str(request.get("database", ""))]
    if "documents" in request or "detection" in request:
        names = ["report"]
    if names == [DatabaseType.ALL]:
        names = [database for database in DatabaseType if database is not DatabaseType.ALL]
    return [{"name": name, "status": "waiting"} for name in names]


def file_size(size: int | None) -> str:
    """Format a size in bytes, such as "278 MB"."""
    if size is None:
        return "\N{EM DASH}"
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size = round(size / 1000)
    return f"{size:,} GB"


def _relative(point: datetime, past: str, present: str) -> str:
    distance = point - now()
    if abs(distance) < timedelta(seconds=5):
        return present
    return f"in {roughly(distance)}" if distance > timedelta(0) else past.format(roughly(distance))


def _time_element(point: datetime, zone: str, text: str, *, relative: str = "") -> Markup:
    exact = f"{point.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"
    mark = Markup(' data-relative="{}"').format(relative) if relative else ""
    stamp = point.astimezone(UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(stamp, exact, mark, text)
