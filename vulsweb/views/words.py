"""How pages say things: moments, durations, cron lines, and text that comes from elsewhere."""

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
from vulsweb.views.forms import ZONES, new_request_key
from vulsweb.vuls import results
from vulsweb.vuls.catalogue import DatabaseType

_EVERY_DAY = re.compile(r"At \d\d:\d\d")
_RUN_NUMBER = re.compile(r"\b[Rr]un ([0-9]{1,9})\b", re.ASCII)
_STEP_NAMES = {
    "configtest": "Check configuration and connection",
    "scan": "Read the installed packages",
    "report": "Look up known vulnerabilities",
}


def register(app: Flask) -> None:
    """Give the templates these words."""
    spoken: tuple[Callable[..., Any], ...] = (
        ago,
        bytes_in_words,
        clean,
        clean_lines,
        clock,
        due,
        duration,
        in_words,
        moment,
        results.worst_first,
        roughly,
        step_name,
        told,
        when,
    )
    for word in spoken:
        app.add_template_filter(word)
    for function in (expected_steps, may_operate, new_request_key, now, plural, reader_zone):
        app.add_template_global(function)


def now() -> datetime:
    """Return the time, for templates."""
    return datetime.now(UTC)


def reader_zone() -> str:
    """Return the time zone of whoever reads: their own choice, else what their browser told, else UTC."""
    if not has_request_context():
        return "UTC"
    chosen: str | None = current_user.timezone if current_user.is_authenticated else None
    zone = chosen or request.cookies.get("zone", "")
    return zone if zone in ZONES else "UTC"


def may_operate() -> bool:
    """Say whether the reader's role lets them change tasks, hosts and runs (see doors.py)."""
    return bool(current_user.is_authenticated and current_user.role.operates)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(span: timedelta | None) -> str:
    """Return a span in its two largest units, such as "4 min 12 s"."""
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
    """Return a span in its largest unit, such as "3 h"."""
    seconds = abs(span.total_seconds())
    for unit, size, least in (("d", 86400, 172800), ("h", 3600, 5400), ("min", 60, 60)):
        if seconds >= least:
            return f"{round(seconds / size)} {unit if unit != 'd' else 'days'}"
    return f"{int(seconds)} s"


def ago(point: datetime | None) -> str | Markup:
    """Return a moment as people say it ("in 12 min", "3 h ago"), with the exact one on hover."""
    if point is None:
        return "\N{EM DASH}"
    return _time(point, reader_zone(), _away(point, past="{} ago", present="now"), relative="ago")


def due(point: datetime | None) -> str | Markup:
    """Return when a task runs next; one whose moment has passed is due until the next tick takes it."""
    if point is None:
        return "\N{EM DASH}"
    return _time(point, reader_zone(), _away(point, past="due now", present="due now"), relative="due")


def when(point: datetime | None, zone: str | None = None) -> str | Markup:
    """Return a moment by the reader's clock, or that of `zone`, such as "Tue 24 Nov, 02:30"."""
    if point is None:
        return "\N{EM DASH}"
    zone = zone or reader_zone()
    local = point.astimezone(ZoneInfo(zone))
    year = f" {local.year}" if local.year != now().year else ""
    return _time(point, zone, f"{local:%a} {local.day} {local:%b}{year}, {local:%H:%M}")


def clock(point: datetime) -> str:
    """Return the time of day by the reader's clock, such as "02:30"."""
    return f"{point.astimezone(ZoneInfo(reader_zone())):%H:%M}"


def moment(text: object) -> datetime | None:
    """Return the moment that the executor wrote, or None when it is not one."""
    try:
        point = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return point if point.tzinfo else point.replace(tzinfo=UTC)


@lru_cache(maxsize=1000)
def _described(cron_expression: str) -> str:
    return cron.describe(cron_expression)


def in_words(cron_expression: str) -> str:
    """Return a cron line in words, or as it is where nobody has words for it."""
    try:
        words = _described(cron_expression)
    except FormatError:
        return cron_expression
    return f"{words} every day" if _EVERY_DAY.fullmatch(words) else words


def clean(text: object) -> str:
    """Return text from a host or a feed without characters that hide or turn round what follows."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def clean_lines(text: object) -> str:
    """Return text as `clean` does, with its line breaks."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def told(run: Run) -> str | Markup:
    """Return why a run is as it is; where we wrote that ourselves, with links to the runs that it names."""
    text = clean(run.reason)
    if run.status not in (RunStatus.QUEUED, RunStatus.SKIPPED, RunStatus.CANCELLED):
        return text
    return Markup(  # noqa: S704 - escaped before the links come in
        _RUN_NUMBER.sub(lambda found: _link_to_run(int(found[1]), found[0]), str(escape(text)))
    )


def _link_to_run(run_id: int, text: str) -> str:
    return f'<a href="{url_for("runs.show", run_id=run_id)}">{text}</a>'


def step_name(name: str) -> str:
    """Return what a step of the executor's does, in words."""
    if name in _STEP_NAMES:
        return _STEP_NAMES[name]
    return DatabaseType(name).label if name in set(DatabaseType) else clean(name)


def expected_steps(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that a run will have, for the time before the executor has named them."""
    names = list(_STEP_NAMES) if "servers" in request else [str(request.get("database", ""))]
    if names == [DatabaseType.ALL]:
        names = [database for database in DatabaseType if database is not DatabaseType.ALL]
    return [{"name": name, "status": "waiting"} for name in names]


def bytes_in_words(size: int | None) -> str:
    """Return a size such as "278 MB"."""
    if size is None:
        return "\N{EM DASH}"
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size = round(size / 1000)
    return f"{size:,} GB"


def _away(point: datetime, past: str, present: str) -> str:
    away = point - now()
    if abs(away) < timedelta(seconds=5):
        return present
    return f"in {roughly(away)}" if away > timedelta(0) else past.format(roughly(away))


def _time(point: datetime, zone: str, text: str, *, relative: str = "") -> Markup:
    exact = f"{point.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"
    mark = Markup(' data-relative="{}"').format(relative) if relative else ""
    stamp = point.astimezone(UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(stamp, exact, mark, text)
