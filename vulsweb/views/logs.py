"""`/runs/N/log`: a run's log: live, searched, and as a download."""

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
    """Return the log card's content as a fragment.

    The browser's URL stays that of the run's page.
    """
    run = _run_or_404(run_id)
    answer = Response(render_template("logs/_view.html", run=run, log=log_card.context(run, request.args)))
    words = log_card.search_words(request.args) or None
    answer.headers["HX-Replace-Url"] = url_for("runs.show", run_id=run.id, q=words)
    return answer


@bp.get("/<int:run_id>/log/tail")
@login_required
def tail(run_id: int) -> ResponseReturnValue:
    """Return the lines after a position; 204 if there are none.

    While the log is paused, return only their number.
    """
    run, args = _run_or_404(run_id), request.args
    since = Position(*(forms.number(args, name) for name in ("piece", "skip", "line")))
    seen = forms.number(args, "seen")
    if "paused" in args:
        waiting = max(logs.outline(run.id).lines - since.line + 1, 0)
        if waiting == forms.number(args, "waiting"):
            return Response(status=204)
        return render_template("logs/_paused.html", run=run, since=since, waiting=waiting, seen=seen)
    if run.status.is_active and seen == run.log_offset:
        return Response(status=204)
    new = log_lines.read(logs.chunks_from(run.id, since.piece), since, ended=not run.status.is_active)
    return render_template("logs/_new_lines.html", run=run, log={"tail": new, "lines": new.lines})


@bp.get("/<int:run_id>/log.txt")
@login_required
def download(run_id: int) -> ResponseReturnValue:
    """Return the whole log as plain text."""
    run = _run_or_404(run_id)
    headers = {"Content-Disposition": f'attachment; filename="run-{run.id}.log"'}
    return Response(logs.whole_text(run.id), mimetype="text/plain", headers=headers)


def _run_or_404(run_id: int) -> Run:
    return history.get(run_id) or abort(404)
