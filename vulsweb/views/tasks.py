"""`/tasks/`: the scheduler."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import hosts, runs, schedules, tasks, worker
from vulsweb.extensions import db
from vulsweb.models import RunStatus, ScheduledTask, TaskType, Trigger
from vulsweb.views import forms, live
from vulsweb.vuls.databases import DatabaseType
from vulsweb.vuls.results import ScanType

PER_PAGE = 50
HISTORY_PER_PAGE = 25
PREVIEW_SLOTS = 3

bp = Blueprint("tasks", __name__, url_prefix="/tasks")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the tasks that the filter leaves in."""
    wanted = _filter()
    page = db.paginate(tasks.query(wanted), per_page=PER_PAGE, max_per_page=PER_PAGE)
    states = [(task.id, task.updated_at, task.next_run_at, _last_status(task)) for task in page]
    seen = live.key(states, page.total)
    shown = {"page": page, "wanted": wanted, "filters": _filters(wanted), "statistics": tasks.statistics()}
    if "HX-Request" in request.headers:
        return live.fragment("tasks/_table.html", seen, **shown)
    return render_template("tasks/index.html", seen=seen, **shown)


@bp.get("/new")
@login_required
def new() -> ResponseReturnValue:
    """Show the form for a new task."""
    return _form(None, forms.of_new(request.args), {})


@bp.post("/")
@login_required
def create() -> ResponseReturnValue:
    """Keep a new task."""
    values = forms.posted(request.form)
    try:
        task = tasks.create(values, datetime.now(UTC))
    except tasks.InvalidTask as error:
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


@bp.get("/<int:task_id>")
@login_required
def show(task_id: int) -> ResponseReturnValue:
    """Show a task and its history."""
    task = task_or_404(task_id)
    page = db.paginate(tasks.history(task.id), per_page=HISTORY_PER_PAGE, max_per_page=HISTORY_PER_PAGE)
    facts = live.key([(run.id, run.status) for run in page], task.next_run_at, page.total)
    shown = {"task": task, "page": page, "active": runs.active_run(task.id)}
    if "HX-Request" in request.headers:
        return live.fragment("tasks/_history.html", facts, **shown)
    return render_template("tasks/show.html", seen=facts, **shown)


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
        tasks.change(task, values, datetime.now(UTC))
    except tasks.InvalidTask as error:
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
    count, active = tasks.run_count(task.id), runs.active_run(task.id)
    return render_template("tasks/delete.html", task=task, count=count, active=active)


@bp.post("/<int:task_id>/delete")
@login_required
def delete(task_id: int) -> ResponseReturnValue:
    """Delete a task and its history."""
    task = task_or_404(task_id)
    name = task.name
    going = tasks.delete(task)
    db.session.commit()
    worker.stop(going)
    flash(f"{name} is deleted.", "success")
    return redirect(url_for("tasks.index"), code=303)


@bp.post("/<int:task_id>/run")
@login_required
def run(task_id: int) -> ResponseReturnValue:
    """Run a task now, and go to watch it."""
    task = task_or_404(task_id)
    try:
        started = runs.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC), requested_by=current_user)
    except runs.AlreadyActive as error:
        flash(str(error), "warning")
        return _to_run(error.run.id)
    db.session.commit()
    if not worker.send([started.id]):
        flash("Queued; it will start within two minutes, as soon as Redis answers again.", "warning")
    return _to_run(started.id)


def task_or_404(task_id: int) -> ScheduledTask:
    """Return the task, or end the request with a 404."""
    return tasks.get(task_id) or abort(404)


def _last_status(task: ScheduledTask) -> RunStatus | None:
    return task.last_run.status if task.last_run else None


def _to_run(run_id: int) -> ResponseReturnValue:
    return redirect(url_for("runs.show", run_id=run_id), code=303)


def _form(task: ScheduledTask | None, values: dict[str, Any], errors: dict[str, str]) -> str:
    choices = list(hosts.scannable())
    if task is not None and task.host is not None and task.host not in choices:
        choices.append(task.host)
    return render_template(
        "tasks/form.html",
        task=task,
        values=values,
        errors=errors,
        hosts=choices,
        task_types=TaskType,
        scan_types=ScanType,
        database_types=DatabaseType,
        examples=forms.EXAMPLES,
        zones=forms.ZONES,
        preview=_preview(values),
    )


def _preview(values: Any) -> dict[str, Any]:
    zone = values.get("timezone", "").strip() or "UTC"
    if zone not in forms.ZONES:
        return {"error": f"{zone!r} is not a time zone."}
    try:
        line = schedules.check_cron(values.get("cron_expression", ""))
    except schedules.CronError as error:
        return {"error": str(error)}
    slots = schedules.upcoming(line, zone, datetime.now(UTC), PREVIEW_SLOTS)
    return {"line": line, "zone": zone, "slots": [slot.astimezone(ZoneInfo(zone)) for slot in slots]}


def _filter() -> tasks.Filter:
    return tasks.Filter(
        task_type=request.args.get("type", type=TaskType),
        active={"active": True, "inactive": False}.get(request.args.get("status", "")),
        text=request.args.get("search", "").replace("\x00", "").strip(),
    )


def _filters(wanted: tasks.Filter) -> dict[str, str]:
    """Return the filter as it stands in addresses."""
    named = {
        "type": wanted.task_type.value if wanted.task_type else "",
        "status": {True: "active", False: "inactive", None: ""}[wanted.active],
        "search": wanted.text,
    }
    return {name: value for name, value in named.items() if value}
