"""`/tasks/N/ping`: the outside service that watches a task, for admins."""

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.extensions import db
from vulsweb.models import ScheduledTask
from vulsweb.notifications import task_pings
from vulsweb.views.tasks import task_or_404

bp = Blueprint("task_pings", __name__, url_prefix="/tasks/<int:task_id>/ping")


@bp.get("")
@login_required
def show(task_id: int) -> str:
    """Return the form for the task's page, with what waits."""
    return _form(task_or_404(task_id), "", "")


@bp.post("")
@login_required
def save(task_id: int) -> ResponseReturnValue:
    """Save the address, or remove it."""
    task = task_or_404(task_id)
    url = "" if "remove" in request.form else request.form.get("url", "").strip()
    try:
        task_pings.set_address(task, url, current_app.config["SECRET_KEY"])
    except task_pings.WrongAddress as error:
        return _form(task, str(error), url), 422
    db.session.commit()
    flash("Runs of this task are pinged." if url else "Runs of this task are not pinged any more.", "success")
    return redirect(url_for("tasks.show", task_id=task.id), code=303)


def _form(task: ScheduledTask, problem: str, typed: str) -> str:
    template = "tasks/_ping.html" if "HX-Request" in request.headers else "tasks/ping.html"
    return render_template(
        template,
        task=task,
        host=task_pings.host(task, current_app.config["SECRET_KEY"]),
        waiting=task_pings.waiting(task),
        values={"url": typed},
        errors={"url": problem} if problem else {},
    )
