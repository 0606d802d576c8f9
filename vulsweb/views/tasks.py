"""`/tasks/`: the Scheduler."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import cron, databases, messages
from vulsweb.extensions import db
from vulsweb.hosts import inventory
from vulsweb.hosts import tags as host_tags
from vulsweb.models import Absence, OldDatabases, Overlap, ScheduledTask, TaskType, Trigger
from vulsweb.runs import history, starting
from vulsweb.tasks import crowding
from vulsweb.tasks import editing as task_editing
from vulsweb.tasks import queries as task_queries
from vulsweb.views import filters, forms, live, paging
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import ScanType

PER_PAGE = 50
HISTORY_PER_PAGE = 25
PREVIEW_SLOTS = 5
BULK_LIMIT = 500
# With more hosts than this, the form has a text field instead of a drop-down.
SELECT_LIMIT = 200
NO_REDIS = "Redis is not reachable. The run is queued and starts within two minutes after it is back."
BULK_ACTIONS = ("run", "activate", "deactivate", "delete")

bp = Blueprint("tasks", __name__, url_prefix="/tasks")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the tasks that match the filter."""
    return live.listing("tasks/index.html", "tasks/_live.html", _list_context)


@bp.get("/new")
@login_required
def new() -> ResponseReturnValue:
    """Show the form for a new task."""
    return _form(None, forms.new_task(request.args, filters.reader_zone()), {})


@bp.post("/")
@login_required
def create() -> ResponseReturnValue:
    """Save a new task."""
    values = forms.posted_task(request.form)
    try:
        databases.reject_unused_database(current_app.config, values, datetime.now(UTC))
        task = task_editing.create(values, datetime.now(UTC))
    except task_editing.InvalidTask as error:
        db.session.rollback()
        return _form(None, values, error.errors), 422
    db.session.commit()
    flash(f"{task.name} scheduled." if task.active else f"{task.name} saved as inactive.", "success")
    return redirect(url_for("tasks.show", task_id=task.id), code=303)


@bp.get("/cron-preview")
@login_required
def cron_preview() -> str:
    """Return the meaning and next runs of a cron line.

    If it is invalid, return what is wrong with it.
    """
    task_id = forms.number(request.args, "task") or None
    return render_template("tasks/_cron_preview.html", preview=_preview(request.args, task_id))


@bp.post("/bulk")
@login_required
def bulk() -> ResponseReturnValue:
    """Run, activate, deactivate or delete all selected tasks."""
    task_ids, action = forms.ids(request.form.getlist("ids")), request.form.get("action", "")
    query, now = forms.task_query(request.args), datetime.now(UTC)
    if action not in BULK_ACTIONS:
        abort(400)
    if not 0 < len(task_ids) <= BULK_LIMIT:
        flash(f"Select between 1 and {BULK_LIMIT} tasks first.", "warning")
    elif action == "delete" and "confirmed" not in request.form:
        selected, count = task_queries.by_ids(task_ids), task_queries.run_count(*task_ids)
        return render_template("tasks/delete_many.html", tasks=selected, count=count, query=query)
    elif action == "delete":
        deleted, active_runs = task_editing.delete_many(task_ids)
        db.session.commit()
        messages.send_stop(active_runs)
        flash(f"{filters.plural(deleted, 'task')} deleted.", "success")
    elif action == "run":
        _run_many(task_ids, now)
    else:
        active = action == "activate"
        changed, unchanged = task_editing.set_active(task_ids, active=active, now=now)
        db.session.commit()
        already = f"; {unchanged} already {'active' if active else 'inactive'}" if unchanged else ""
        flash(f"{filters.plural(changed, 'task')} {action}d{already}.", "success")
    return redirect(url_for("tasks.index", **query.args), code=303)


@bp.get("/<int:task_id>")
@login_required
def show(task_id: int) -> ResponseReturnValue:
    """Show a task and its history."""

    def context() -> dict[str, Any]:
        task = task_or_404(task_id)
        sizes, active = _tag_sizes(task), history.active_run(task.id)
        return {"task": task, "active": active, "tag_sizes": sizes} | paging.page_of_runs(
            task.id, HISTORY_PER_PAGE
        )

    return live.listing("tasks/show.html", "tasks/_history.html", context)


@bp.get("/<int:task_id>/duplicate")
@login_required
def duplicate(task_id: int) -> ResponseReturnValue:
    """Show the form for a copy of the task, inactive at first."""
    task = task_or_404(task_id)
    name = f"Copy of {task.name}"[: task_editing.NAME_LENGTH]
    return _form(None, forms.existing_task(task) | {"name": name, "is_active": False}, {})


@bp.get("/<int:task_id>/edit")
@login_required
def edit(task_id: int) -> ResponseReturnValue:
    """Show the form for an existing task."""
    task = task_or_404(task_id)
    return _form(task, forms.existing_task(task), {})


@bp.post("/<int:task_id>")
@login_required
def change(task_id: int) -> ResponseReturnValue:
    """Save the changes to a task."""
    task = task_or_404(task_id)
    values = forms.posted_task(request.form)
    try:
        databases.reject_unused_database(current_app.config, values, datetime.now(UTC), task)
        task_editing.change(task, values, datetime.now(UTC))
    except task_editing.InvalidTask as error:
        db.session.rollback()
        return _form(task_or_404(task_id), values, error.errors), 422
    db.session.commit()
    flash(f"{task.name} saved.", "success")
    return redirect(url_for("tasks.show", task_id=task.id), code=303)


@bp.get("/<int:task_id>/delete")
@login_required
def confirm_delete(task_id: int) -> ResponseReturnValue:
    """Ask for confirmation before a task is deleted."""
    task = task_or_404(task_id)
    count, active = task_queries.run_count(task.id), history.active_run(task.id)
    return render_template("tasks/delete.html", task=task, count=count, active=active)


@bp.post("/<int:task_id>/delete")
@login_required
def delete(task_id: int) -> ResponseReturnValue:
    """Delete a task and its history."""
    task = task_or_404(task_id)
    name = task.name
    active_runs = task_editing.delete(task)
    db.session.commit()
    messages.send_stop(active_runs)
    flash(f"{name} deleted.", "success")
    return redirect(url_for("tasks.index"), code=303)


@bp.post("/<int:task_id>/run")
@login_required
def run(task_id: int) -> ResponseReturnValue:
    """Run a task now and redirect to the run."""
    task = task_or_404(task_id)
    try:
        started = starting.start(
            task,
            trigger=Trigger.PERSON,
            now=datetime.now(UTC),
            requested_by=current_user,
            request_key=forms.request_key(request.form),
        )
    except starting.AlreadyActive as error:
        flash(str(error), "warning")
        return _redirect_to_run(error.run.id)
    except starting.TaskPaused as error:
        db.session.rollback()
        flash(str(error), "warning")
        return redirect(url_for("tasks.show", task_id=task_id), code=303)
    db.session.commit()
    # A form that was sent twice sends two messages; only one worker can claim the run.
    if not messages.send_runs([started.id]):
        flash(NO_REDIS, "warning")
    return _redirect_to_run(started.id)


def task_or_404(task_id: int) -> ScheduledTask:
    """Return the task, or abort with 404."""
    return task_queries.get(task_id) or abort(404)


def _redirect_to_run(run_id: int) -> ResponseReturnValue:
    return redirect(url_for("runs.show", run_id=run_id), code=303)


def _form(task: ScheduledTask | None, values: dict[str, Any], errors: dict[str, str]) -> str:
    many_hosts = inventory.count_active() > SELECT_LIMIT
    choices = [] if many_hosts else list(inventory.scannable())
    if not many_hosts and task is not None and task.host is not None and task.host not in choices:
        choices.append(task.host)
    return render_template(
        "tasks/form.html",
        task=task,
        values=values,
        errors=errors,
        hosts=choices,
        many_hosts=many_hosts,
        tag_sizes=host_tags.host_counts(),
        task_types=TaskType,
        scan_types=ScanType,
        database_types=DatabaseType,
        overlaps=Overlap,
        absences=Absence,
        old_databases=OldDatabases,
        examples=forms.EXAMPLES,
        zones=cron.ZONES,
        name_length=task_editing.NAME_LENGTH,
        preview=_preview(values, task.id if task else None),
    )


def _preview(values: Any, task_id: int | None) -> dict[str, Any]:
    zone = values.get("timezone", "").strip() or "UTC"
    if zone not in cron.ZONES:
        return {"error": f"{zone!r} is not a time zone."}
    try:
        line = cron.check(values.get("cron_expression", ""))
    except cron.CronError as error:
        return {"error": str(error)}
    now = datetime.now(UTC)
    slots = cron.upcoming(line, zone, now, PREVIEW_SLOTS)
    return {
        "line": line,
        "zone": zone,
        "slots": [slot.astimezone(ZoneInfo(zone)) for slot in slots],
        "crowd": crowding.find(line, zone, now, task_id),
    }


def _list_context() -> dict[str, Any]:
    query = forms.task_query(request.args)
    matching = task_queries.query(query.filter, query.sort, descending=query.descending)
    page = paging.numbered(matching, per_page=PER_PAGE)
    return {
        "page": page,
        "tag_sizes": _tag_sizes(*page.items),
        "query": query,
        "results": task_queries.LastResult,
        "statistics": task_queries.statistics(),
    }


def _tag_sizes(*shown: ScheduledTask) -> dict[str, int]:
    tags = {task.host_tag for task in shown if task.host_tag}
    return host_tags.host_counts(tags) if tags else {}


def _run_many(task_ids: Sequence[int], now: datetime) -> None:
    started = starting.start_many(task_ids, trigger=Trigger.PERSON, now=now, requested_by=current_user)
    db.session.commit()
    facts = [filters.plural(len(started.run_ids) - started.waiting, "run") + " queued"]
    if started.waiting:
        facts.append(filters.plural(started.waiting, "waits for an earlier run", "wait for earlier runs"))
    if started.skipped:
        facts.append(f"{started.skipped} already running")
    flash("; ".join(facts) + ".", "success")
    if paused := task_queries.count_paused(task_ids):
        tasks_are = filters.plural(paused, "task is", "tasks are")
        flash(f"{tasks_are} paused and did not start. Each task says what resumes it.", "warning")
    if not messages.send_runs(started.run_ids):
        flash(NO_REDIS, "warning")
