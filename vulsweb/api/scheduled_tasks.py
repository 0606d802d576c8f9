"""`/api/scheduled-tasks/`: scheduled tasks, their runs and history."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, url_for
from flask_login import current_user
from werkzeug.exceptions import NotFound

from vulsweb import databases, messages
from vulsweb.api import read_only, task_values
from vulsweb.api.blueprint import Blueprint
from vulsweb.api.paging import page_of, stream
from vulsweb.api.preconditions import IF_MATCH, etag, require_match
from vulsweb.api.problems import problem
from vulsweb.api.schemas import HistoryQuery, RunOut, RunStream
from vulsweb.api.task_schemas import TaskChange, TaskIn, TaskOut, TaskPage, TaskQuery
from vulsweb.extensions import db
from vulsweb.models import ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.tasks import editing as task_editing
from vulsweb.tasks import queries as task_queries

bp = Blueprint("api_scheduled_tasks", __name__, url_prefix="/api/scheduled-tasks", description=__doc__)

EXAMPLE = {
    "name": "Monthly Database Updates",
    "description": "Keeps them current.",
    "task_type": "db_update",
    "config": {"database_type": "all"},
    "cron_expression": "0 2 1 * *",
    "timezone": "UTC",
    "is_active": True,
}

# The API's names of the fields that it nests.
_NESTED = {"scan_type": "config.scan_type", "database_type": "config.database_type"}


@bp.get("/")
@bp.arguments(TaskQuery, location="query")
@bp.response(200, TaskPage)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List all scheduled tasks."""
    filters = task_queries.Filter(
        task_type=query["task_type"], active=query["is_active"], text=query["search"]
    )
    return page_of(task_queries.query(filters), query["page"], query["per_page"])


@bp.post("/")
@bp.arguments(TaskIn, example=EXAMPLE)
@bp.response(201, TaskOut)
def create(body: dict[str, Any]) -> tuple[ScheduledTask, dict[str, str]]:
    """Create a new task."""
    read_only.reject_changes(TaskIn)
    values = task_values.of_body(body)
    databases.reject_unused_database(current_app.config, values, datetime.now(UTC))
    task = task_editing.create(values, datetime.now(UTC))
    db.session.commit()
    return task, {"Location": url_for("api_scheduled_tasks.show", task_id=task.id)} | _etag(task)


@bp.get("/<int:task_id>")
@bp.response(200, TaskOut)
def show(task_id: int) -> tuple[ScheduledTask, dict[str, str]]:
    """Get specific task details. The ETag changes with its settings."""
    task = _task_or_404(task_id)
    return task, _etag(task)


@bp.put("/<int:task_id>", parameters=[IF_MATCH])
@bp.arguments(TaskChange, example=EXAMPLE)
@bp.response(200, TaskOut)
def update(body: dict[str, Any], task_id: int) -> tuple[ScheduledTask, dict[str, str]]:
    """Update a scheduled task.

    Fields that are left out stay as they are, and so does its history.
    """
    return _changed(_task_or_404(task_id), body)


@bp.patch("/<int:task_id>", parameters=[IF_MATCH])
@bp.arguments(TaskChange, example={"is_active": False})
@bp.response(200, TaskOut)
def patch(body: dict[str, Any], task_id: int) -> tuple[ScheduledTask, dict[str, str]]:
    """Change some fields of a scheduled task. The same as PUT."""
    return _changed(_task_or_404(task_id), body)


@bp.delete("/<int:task_id>", parameters=[IF_MATCH])
@bp.response(204)
def delete(task_id: int) -> None:
    """Delete a scheduled task and its history."""
    task = _task_or_404(task_id)
    _require_match(task)
    active = task_editing.delete(task)
    db.session.commit()
    messages.send_stop(active)


@bp.post("/<int:task_id>/run")
@bp.response(202, RunOut)
def run(task_id: int) -> Any:
    """Manually trigger a task."""
    task = _task_or_404(task_id)
    started = starting.start(task, trigger=Trigger.API, now=datetime.now(UTC), requested_by=current_user)
    db.session.commit()
    messages.send_runs([started.id])
    return started, {"Location": url_for("api_runs.show", run_id=started.id)}


@bp.get("/<int:task_id>/runs")
@bp.arguments(HistoryQuery, location="query")
@bp.response(200, RunStream)
def history(query: dict[str, Any], task_id: int) -> dict[str, Any]:
    """Get task execution history, newest first."""
    return stream(query, _task_or_404(task_id).id)


@bp.errorhandler(task_editing.InvalidTask)
def invalid(error: task_editing.InvalidTask) -> Response:
    """Answer 422 for invalid fields, 409 for a name in use."""
    db.session.rollback()
    errors = {_NESTED.get(field, field): [sentence] for field, sentence in error.errors.items()}
    if isinstance(error, task_editing.NameTaken):
        return problem(409, "Conflict", str(error), errors)
    return problem(422, "Unprocessable Entity", "Some fields are wrong.", errors)


@bp.errorhandler(starting.AlreadyActive)
def already_active(error: starting.AlreadyActive) -> Response:
    """Answer 409 for a task that already has an active run."""
    detail = f"{error} See {url_for('api_runs.show', run_id=error.run.id)}."
    db.session.rollback()
    return problem(409, "Conflict", detail)


@bp.errorhandler(starting.TaskPaused)
def paused(error: starting.TaskPaused) -> Response:
    """Answer 409 for a task that is paused."""
    db.session.rollback()
    return problem(409, "Conflict", str(error))


def _task_or_404(task_id: int) -> ScheduledTask:
    task = task_queries.get(task_id)
    if task is None:
        raise NotFound(f"There is no scheduled task {task_id}.")
    return task


def _etag(task: ScheduledTask) -> dict[str, str]:
    return etag(task.updated_at.isoformat())


def _require_match(task: ScheduledTask) -> None:
    # Locked, so that of two changes with the same ETag only one is made.
    db.session.refresh(task, ["updated_at"], with_for_update={"key_share": True})
    require_match(task.updated_at.isoformat())


def _changed(task: ScheduledTask, body: Mapping[str, Any]) -> tuple[ScheduledTask, dict[str, str]]:
    _require_match(task)
    read_only.reject_changes(TaskChange, lambda: task)
    values = task_values.of_body(body, task)
    databases.reject_unused_database(current_app.config, values, datetime.now(UTC), task)
    task_editing.change(task, values, datetime.now(UTC))
    db.session.commit()
    return task, _etag(task)
