"""`/tasks/`: the scheduler."""

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
from vulsweb.models import Absence, Overlap, ScheduledTask, TaskType, Trigger
from vulsweb.runs import history, starting
from vulsweb.tasks import editing as task_editing
from vulsweb.tasks import queries as task_queries
from vulsweb.views import forms, live, stretches, words
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import ScanType

PER_PAGE = 50
HISTORY_PER_PAGE = 25
PREVIEW_SLOTS = 5
BULK_LIMIT = 500
# Of more hosts than these one is chosen by typing.
SELECT_LIMIT = 200
NO_REDIS = "Queued; it will start within two minutes, as soon as Redis answers again."

bp = Blueprint("tasks", __name__, url_prefix="/tasks")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the tasks that the filter leaves in."""
    return live.listing("tasks/index.html", "tasks/_live.html", _listed)


@bp.get("/new")
@login_required
def new() -> ResponseReturnValue:
    """Show the form for a new task."""
    return _form(None, forms.of_new(request.args, words.reader_zone()), {})


@bp.post("/")
@login_required
def create() -> ResponseReturnValue:
    """Keep a new task."""
    values = forms.posted(request.form)
    try:
        databases.reject_unused_database(current_app.config, values, datetime.now(UTC))
        task = task_editing.create(values, datetime.now(UTC))
    except task_editing.InvalidTask as error:
        db.session.rollback()
        return _form(None, values, error.errors), 422
    db.session.commit()
    flash(f"{task.name} is scheduled." if task.active else f"{task.name} is kept, inactive.", "success")
    return redirect(url_for("tasks.show", task_id=task.id), code=303)


@bp.get("/cron-preview")
@login_required
def cron_preview() -> str:
    """Say what a cron line means, or what is wrong with it."""
    return render_template("tasks/_cron_preview.html", preview=_preview(request.args))


@bp.post("/bulk")
@login_required
def bulk() -> ResponseReturnValue:
    """Do one thing to all selected tasks, and say what came of it."""
    chosen, action = forms.ids(request.form.getlist("ids")), request.form.get("action", "")
    wanted = forms.task_list(request.args)
    if action not in _BULK:
        abort(400)
    if not 0 < len(chosen) <= BULK_LIMIT:
        flash(f"Select between 1 and {BULK_LIMIT} tasks first.", "warning")
    elif action == "delete" and "confirmed" not in request.form:
        found = task_queries.by_ids(chosen)
        count = task_queries.run_count(*chosen)
        return render_template("tasks/delete_many.html", tasks=found, count=count, wanted=wanted)
    else:
        _BULK[action](chosen, datetime.now(UTC))
    return redirect(url_for("tasks.index", **wanted.address), code=303)


@bp.get("/<int:task_id>")
@login_required
def show(task_id: int) -> ResponseReturnValue:
    """Show a task and its history."""
    return live.listing("tasks/show.html", "tasks/_history.html", lambda: _history(task_id))


@bp.get("/<int:task_id>/duplicate")
@login_required
def duplicate(task_id: int) -> ResponseReturnValue:
    """Show the form for a new task, filled in like this one; it waits until somebody activates it."""
    task = task_or_404(task_id)
    name = f"Copy of {task.name}"[: task_editing.NAME_LENGTH]
    return _form(None, forms.of_task(task) | {"name": name, "is_active": False}, {})


@bp.get("/<int:task_id>/edit")
@login_required
def edit(task_id: int) -> ResponseReturnValue:
    """Show the form for a task."""
    task = task_or_404(task_id)
    return _form(task, forms.of_task(task), {})


@bp.post("/<int:task_id>")
@login_required
def change(task_id: int) -> ResponseReturnValue:
    """Make the task what the form says."""
    task = task_or_404(task_id)
    values = forms.posted(request.form)
    try:
        databases.reject_unused_database(current_app.config, values, datetime.now(UTC), task)
        task_editing.change(task, values, datetime.now(UTC))
    except task_editing.InvalidTask as error:
        db.session.rollback()
        return _form(task_or_404(task_id), values, error.errors), 422
    db.session.commit()
    flash(f"{task.name} is changed.", "success")
    return redirect(url_for("tasks.show", task_id=task.id), code=303)


@bp.get("/<int:task_id>/delete")
@login_required
def confirm_delete(task_id: int) -> ResponseReturnValue:
    """Ask before deleting a task, and say what goes with it."""
    task = task_or_404(task_id)
    count, active = task_queries.run_count(task.id), history.active_run(task.id)
    return render_template("tasks/delete.html", task=task, count=count, active=active)


@bp.post("/<int:task_id>/delete")
@login_required
def delete(task_id: int) -> ResponseReturnValue:
    """Delete a task and its history."""
    task = task_or_404(task_id)
    name = task.name
    going = task_editing.delete(task)
    db.session.commit()
    messages.send_stop(going)
    flash(f"{name} is deleted.", "success")
    return redirect(url_for("tasks.index"), code=303)


@bp.post("/<int:task_id>/run")
@login_required
def run(task_id: int) -> ResponseReturnValue:
    """Run a task now, and go to watch it."""
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
        return _to_run(error.run.id)
    except starting.TaskPaused as error:
        db.session.rollback()
        flash(str(error), "warning")
        return redirect(url_for("tasks.show", task_id=task_id), code=303)
    db.session.commit()
    # Sent twice when the form was: only one worker can claim it.
    if not messages.send_runs([started.id]):
        flash(NO_REDIS, "warning")
    return _to_run(started.id)


def task_or_404(task_id: int) -> ScheduledTask:
    """Return the task, or end the request with a 404."""
    return task_queries.get(task_id) or abort(404)


def _to_run(run_id: int) -> ResponseReturnValue:
    return redirect(url_for("runs.show", run_id=run_id), code=303)


def _form(task: ScheduledTask | None, values: dict[str, Any], errors: dict[str, str]) -> str:
    many = inventory.count_active() > SELECT_LIMIT
    choices = [] if many else list(inventory.scannable())
    if not many and task is not None and task.host is not None and task.host not in choices:
        choices.append(task.host)
    return render_template(
        "tasks/form.html",
        task=task,
        values=values,
        errors=errors,
        hosts=choices,
        many_hosts=many,
        tag_sizes=host_tags.host_counts(),
        task_types=TaskType,
        scan_types=ScanType,
        database_types=DatabaseType,
        overlaps=Overlap,
        absences=Absence,
        examples=forms.EXAMPLES,
        zones=forms.ZONES,
        preview=_preview(values),
    )


def _preview(values: Any) -> dict[str, Any]:
    zone = values.get("timezone", "").strip() or "UTC"
    if zone not in forms.ZONES:
        return {"error": f"{zone!r} is not a time zone."}
    try:
        line = cron.check(values.get("cron_expression", ""))
    except cron.CronError as error:
        return {"error": str(error)}
    slots = cron.upcoming(line, zone, datetime.now(UTC), PREVIEW_SLOTS)
    return {"line": line, "zone": zone, "slots": [slot.astimezone(ZoneInfo(zone)) for slot in slots]}


def _listed() -> dict[str, Any]:
    wanted = forms.task_list(request.args)
    found = task_queries.query(wanted.filter, wanted.sort, descending=wanted.descending)
    page = db.paginate(found, per_page=PER_PAGE, max_per_page=PER_PAGE)
    return {
        "page": page,
        "tag_sizes": _tag_sizes(*page.items),
        "wanted": wanted,
        "results": task_queries.LastResult,
        "statistics": task_queries.statistics(),
    }


def _history(task_id: int) -> dict[str, Any]:
    task = task_or_404(task_id)
    shown = {"task": task, "active": history.active_run(task.id), "tag_sizes": _tag_sizes(task)}
    return shown | stretches.read(task.id, HISTORY_PER_PAGE)


def _tag_sizes(*shown: ScheduledTask) -> dict[str, int]:
    tags = {task.host_tag for task in shown if task.host_tag}
    return host_tags.host_counts(tags) if tags else {}


def _run_many(task_ids: Sequence[int], now: datetime) -> None:
    started = starting.start_many(task_ids, trigger=Trigger.PERSON, now=now, requested_by=current_user)
    db.session.commit()
    queued = words.plural(len(started.run_ids) - started.waiting, "run") + " queued"
    waiting = words.plural(started.waiting, "waits for an earlier run", "wait for earlier runs")
    skipped = words.plural(started.skipped, "was running already", "were running already")
    flash(_told(queued, started.waiting and waiting, started.skipped and skipped), "success")
    if paused := task_queries.count_paused(task_ids):
        waits = words.plural(paused, "task waits", "tasks wait")
        flash(f"{waits} for a host that is no longer in config.toml.", "warning")
    if not messages.send_runs(started.run_ids):
        flash(NO_REDIS, "warning")


def _activate(task_ids: Sequence[int], now: datetime) -> None:
    changed, already = task_editing.set_active(task_ids, active=True, now=now)
    db.session.commit()
    rest = words.plural(already, "was active already", "were active already")
    flash(_told(words.plural(changed, "task") + " activated", already and rest), "success")


def _deactivate(task_ids: Sequence[int], now: datetime) -> None:
    changed, already = task_editing.set_active(task_ids, active=False, now=now)
    db.session.commit()
    rest = words.plural(already, "was inactive already", "were inactive already")
    flash(_told(words.plural(changed, "task") + " deactivated", already and rest), "success")


def _delete_many(task_ids: Sequence[int], _: datetime) -> None:
    deleted, going = task_editing.delete_many(task_ids)
    db.session.commit()
    messages.send_stop(going)
    flash(_told(words.plural(deleted, "task") + " deleted"), "success")


def _told(done: str, *rest: str | int) -> str:
    return "; ".join([done, *(str(each) for each in rest if each)]) + "."


_BULK = {"run": _run_many, "activate": _activate, "deactivate": _deactivate, "delete": _delete_many}
