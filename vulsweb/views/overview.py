"""`/`: the first screen."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb import changes, overview
from vulsweb import databases as vulnerability_databases
from vulsweb.executors import settings as executor_settings
from vulsweb.findings import storage
from vulsweb.models import RunStatus
from vulsweb.models.run import ACTIVE
from vulsweb.system import executors as system_executors
from vulsweb.tasks import queries as task_queries
from vulsweb.views import forms, live, words

ROWS = 6
# The parts of a bar from its foot on: what a person must look at stands where it is compared best.
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
    """Show what runs, what went wrong, what is bad and what comes next."""
    now = datetime.now(UTC)
    return render_template("overview/index.html", **_state(now), **_shown(now))


@bp.get("/overview/live")
@login_required
def live_part() -> ResponseReturnValue:
    """Return the overview's figures and lists when something about them has changed."""
    now = datetime.now(UTC)
    state = _state(now)
    if request.args.get("seen") == state["seen"]:
        return Response(status=204)
    return render_template("overview/_live.html", **state, **_shown(now))


@bp.get("/overview/databases")
@login_required
def databases() -> str:
    """Say how old the vulnerability databases are, as far as the executors answer."""
    stock = vulnerability_databases.summary(executor_settings.configured(), datetime.now(UTC))
    return render_template(
        "overview/_databases.html", stock=stock, several=len(executor_settings.configured()) > 1
    )


@bp.get("/system-notice")
@login_required
def system_notice() -> str:
    """Say the one thing to do when an executor cannot work; nothing when they can."""
    found = system_executors.ask_executors(executor_settings.configured(), datetime.now(UTC))
    executor, health = min(found, key=lambda each: system_executors.readiness(each[1]))
    return render_template(
        "overview/_notice.html",
        executor=executor if len(found) > 1 else None,
        part=system_executors.executor_check(health, executor),
        health=health if isinstance(health, system_executors.Health) else None,
        update=overview.database_update(),
    )


def _state(now: datetime) -> dict[str, Any]:
    """Return what is running, and a name for all that is shown: nothing else is asked while it is the same.

    The name first, then what it stands for; what is about to be committed is looked at again.
    """
    version, settled = changes.version(), changes.settled()
    running = overview.running(ROWS)
    # With each hour the bars move on, and with a day what counts as new.
    hour = now.replace(minute=0, second=0, microsecond=0)
    seen = live.key(version, hour, _yesterday(now), [run.steps for run in running])
    return {"running": running, "seen": seen if settled else ""}


def _shown(now: datetime) -> dict[str, Any]:
    hours, yesterday = overview.hours(now), _yesterday(now)
    return {
        "statistics": task_queries.statistics(),
        "severities": storage.open_counts(),
        "hosts": overview.host_counts(),
        "new": overview.new_since(forms.midnight(yesterday, words.reader_zone())),
        "since": yesterday,
        "hours": hours,
        "outcomes": overview.outcomes(hours),
        "bars": BARS,
        "worst": overview.worst_hosts(ROWS),
        "troubled": overview.recent_problems(ROWS),
        "next_up": overview.next_up(ROWS),
    }


def _yesterday(now: datetime) -> date:
    return now.astimezone(ZoneInfo(words.reader_zone())).date() - timedelta(days=1)
