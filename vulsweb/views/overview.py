"""`/`: the first screen."""

from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb import findings, overview, tasks, worker
from vulsweb.executor_client import ExecutorError
from vulsweb.views import live

ROWS = 6

bp = Blueprint("overview", __name__)


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show what runs, what went wrong and what comes next."""
    shown = _shown()
    return render_template("overview/index.html", seen=_state(shown), **shown)


@bp.get("/overview/live")
@login_required
def live_part() -> ResponseReturnValue:
    """Return the overview's figures and lists while they change."""
    shown = _shown()
    return live.fragment("overview/_live.html", _state(shown), **shown)


@bp.get("/system-notice")
@login_required
def system_notice() -> str:
    """Say the one thing to do when the executor cannot work; nothing when it can."""
    try:
        with worker.executor() as client:
            health = client.health()
    except ExecutorError as error:
        return render_template("overview/_notice.html", error=str(error))
    missing = sorted(name for name, tool in (health.get("tools") or {}).items() if tool is None)
    databases = health.get("databases")
    update = None if missing or databases else overview.database_update()
    return render_template("overview/_notice.html", missing=missing, databases=databases, update=update)


def _shown() -> dict[str, Any]:
    return {
        "statistics": tasks.statistics(),
        "severities": findings.open_counts(),
        "running": overview.running(ROWS),
        "troubled": overview.troubled(ROWS),
        "next_up": overview.next_up(ROWS),
    }


def _state(shown: dict[str, Any]) -> str:
    return live.key(
        shown["statistics"],
        sorted(shown["severities"].items()),
        [(run.id, run.status, run.steps) for run in shown["running"]],
        [run.id for run in shown["troubled"]],
        [(task.id, task.name, task.next_run_at) for task in shown["next_up"]],
    )
