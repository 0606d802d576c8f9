"""`/runs/N/log`: a run's log, as it grows, by words, and to take away."""

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.models import Run
from vulsweb.runs import history, logs
from vulsweb.runs.logs import Position
from vulsweb.views import forms, log_card, log_lines

bp = Blueprint("logs", __name__, url_prefix="/runs")


@bp.get("/<int:run_id>/log")
@login_required
def show(run_id: int) -> ResponseReturnValue:
    """Return what the log's card shows, as a fragment; the address is the run's own."""
    run = _run_or_404(run_id)
    answer = Response(render_template("logs/_view.html", run=run, log=log_card.shown(run, request.args)))
    answer.headers["HX-Replace-Url"] = url_for(
        "runs.show", run_id=run.id, q=log_card.words(request.args) or None
    )
    return answer


@bp.get("/<int:run_id>/log/tail")
@login_required
def tail(run_id: int) -> ResponseReturnValue:
    """Return the lines that were added to the log since a position; 204 when there are none yet."""
    run = _run_or_404(run_id)
    query = request.args
    since = Position(*(forms.number(query, name) for name in ("piece", "skip", "line")))
    if "paused" in query:
        return _held(run, since)
    if run.status.is_active and forms.number(query, "seen") == run.log_offset:
        return Response(status=204)
    reading = log_lines.read(logs.chunks_from(run.id, since.piece), since, ended=not run.status.is_active)
    return render_template("logs/_tail.html", run=run, log={"reading": reading, "lines": reading.lines})


@bp.get("/<int:run_id>/log.txt")
@login_required
def download(run_id: int) -> ResponseReturnValue:
    """Return the whole log as it was written."""
    run = _run_or_404(run_id)
    headers = {"Content-Disposition": f'attachment; filename="run-{run.id}.log"'}
    return Response(logs.whole_text(run.id), mimetype="text/plain", headers=headers)


def _held(run: Run, since: Position) -> ResponseReturnValue:
    """Say how many lines wait for somebody who has paused; 204 when that is known."""
    held = max(logs.outline(run.id).lines - since.line + 1, 0)
    if held == forms.number(request.args, "held"):
        return Response(status=204)
    seen = forms.number(request.args, "seen")
    return render_template("logs/_held.html", run=run, since=since, held=held, seen=seen)


def _run_or_404(run_id: int) -> Run:
    return history.get(run_id) or abort(404)
