"""`/`: the overview."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import changes, overview
from vulsweb import databases as vulnerability_databases
from vulsweb.executors import settings as executor_settings
from vulsweb.findings import storage
from vulsweb.models import RunStatus
from vulsweb.models.run import ACTIVE
from vulsweb.notifications import channels
from vulsweb.system import executor_checks
from vulsweb.tasks import queries as task_queries
from vulsweb.views import filters, forms, live

ROWS = 6
# The segments of a bar from the bottom up. Failures come first, because the bottom is easiest to compare.
BARS = (
    ("failed", (RunStatus.FAILED, RunStatus.TIMEOUT)),
    ("partial", (RunStatus.PARTIAL,)),
    ("success", (RunStatus.SUCCESS,)),
    ("other", (*ACTIVE, RunStatus.CANCELLED, RunStatus.SKIPPED)),
)

bp = Blueprint("overview", __name__)


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show the current state: findings, hosts, recent problems, active and next runs."""
    now = datetime.now(UTC)
    lacks_channel = current_user.role.administers and not channels.exist()
    return render_template("overview/index.html", lacks_channel=lacks_channel, **_state(now), **_context(now))


@bp.get("/overview/live")
@login_required
def live_part() -> ResponseReturnValue:
    """Return the live part of the overview when it has changed."""
    now = datetime.now(UTC)
    state = _state(now)
    if request.args.get("seen") == state["seen"]:
        return Response(status=204)
    return render_template("overview/_live.html", **state, **_context(now))


@bp.get("/overview/databases")
@login_required
def databases() -> str:
    """Return how many vulnerability databases there are and how old they are."""
    stock = vulnerability_databases.summary(executor_settings.configured(), datetime.now(UTC))
    return render_template(
        "overview/_databases.html", stock=stock, several=len(executor_settings.configured()) > 1
    )


@bp.get("/system-notice")
@login_required
def system_notice() -> str:
    """Return what to do if an executor cannot work."""
    found = executor_checks.ask_executors(executor_settings.configured(), datetime.now(UTC))
    executor, answer = min(found, key=lambda each: executor_checks.readiness(each[1]))
    health = answer if isinstance(answer, executor_checks.Health) else None
    return render_template(
        "overview/_notice.html",
        executor=executor if len(found) > 1 else None,
        check=executor_checks.executor_check(answer, executor),
        health=health,
        first=vulnerability_databases.first_update(health.profile) if health else None,
    )


def _state(now: datetime) -> dict[str, Any]:
    """Return the active runs, and a fingerprint of the whole page.

    The fingerprint covers all that the page shows. While it stays the same, no other query is made. The
    version is read before the data, and counts only if no other transaction that changes it is still open.
    """
    version, settled = changes.version(), changes.settled()
    running = overview.running(ROWS)
    # The bars change with the hour, and "since yesterday" with the day.
    hour = now.replace(minute=0, second=0, microsecond=0)
    seen = live.fingerprint(version, hour, _yesterday(now), [run.steps for run in running])
    return {"running": running, "seen": seen if settled else ""}


def _context(now: datetime) -> dict[str, Any]:
    hours, yesterday = overview.hours(now), _yesterday(now)
    return {
        "statistics": task_queries.statistics(),
        "severities": storage.open_counts(),
        "hosts": overview.host_counts(),
        "new": overview.new_since(forms.midnight(yesterday, filters.reader_zone())),
        "since": yesterday,
        "hours": hours,
        "outcomes": overview.outcomes(hours),
        "bars": BARS,
        "most_at_risk": overview.worst_hosts(ROWS),
        "problems": overview.recent_problems(ROWS),
        "next_up": overview.next_up(ROWS),
    }


def _yesterday(now: datetime) -> date:
    return now.astimezone(ZoneInfo(filters.reader_zone())).date() - timedelta(days=1)
