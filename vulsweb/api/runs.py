"""`/api/runs`: one run, its log, what it found, and its end."""

from datetime import UTC, datetime
from typing import Any

from flask_smorest import Blueprint
from werkzeug.exceptions import Conflict, NotFound, UnprocessableEntity

from vulsweb import findings, runs
from vulsweb.api.paging import page_of_list
from vulsweb.api.schemas import FindingPage, LogOut, LogQuery, PageQuery, RunOut
from vulsweb.extensions import db
from vulsweb.models import Run

bp = Blueprint("api_runs", __name__, url_prefix="/api/runs", description=__doc__)


@bp.get("/<int:run_id>")
@bp.response(200, RunOut)
def show(run_id: int) -> Run:
    """Get one run: its status, steps and result."""
    return _run_or_404(run_id)


@bp.post("/<int:run_id>/cancel")
@bp.response(202, RunOut)
def cancel(run_id: int) -> Run:
    """Stop a run; it is over when its status says so."""
    run = _run_or_404(run_id)
    if not run.status.is_active:
        raise Conflict(f"Run {run_id} is over already: {run.status.value}.")
    runs.cancel(run, datetime.now(UTC))
    db.session.commit()
    return run


@bp.get("/<int:run_id>/logs")
@bp.arguments(LogQuery, location="query")
@bp.response(200, LogOut)
def logs(query: dict[str, Any], run_id: int) -> dict[str, Any]:
    """Get the log from an offset on: 0, or a next_offset of an earlier answer."""
    run = _run_or_404(run_id)
    offset = query["offset"]
    try:
        text, next_offset = runs.log_from(run.id, offset)
    except ValueError as error:
        raise UnprocessableEntity(str(error)) from error
    return {"offset": offset, "next_offset": next_offset, "text": text, "ended": not run.status.is_active}


@bp.get("/<int:run_id>/findings")
@bp.arguments(PageQuery, location="query")
@bp.response(200, FindingPage)
def found(query: dict[str, Any], run_id: int) -> dict[str, Any]:
    """Get what the run found, worst first."""
    run = _run_or_404(run_id)
    rows = [
        {
            "cve_id": seen.finding.cve_id,
            "host_id": seen.host.id,
            "host_name": seen.host.name,
            "severity": seen.finding.severity,
            "score": seen.finding.score,
            "title": seen.finding.title,
            "packages": seen.finding.packages,
            "new": seen.new,
        }
        for seen in findings.of_run(run.id)
    ]
    return page_of_list(rows, query["page"], query["per_page"])


def _run_or_404(run_id: int) -> Run:
    run = db.session.get(Run, run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run
