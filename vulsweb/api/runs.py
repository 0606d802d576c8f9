"""`/api/runs`: runs, their findings, hosts and logs."""

from datetime import UTC, datetime
from typing import Any

from flask import url_for
from sqlalchemy.orm import joinedload
from werkzeug.exceptions import Conflict, NotFound, UnprocessableEntity

from vulsweb.api.blueprint import Blueprint
from vulsweb.api.host_schemas import RunHostPage
from vulsweb.api.paging import page_of, page_of_list, stream
from vulsweb.api.schemas import FindingPage, LogOut, LogQuery, PageQuery, RunOut, RunQuery, RunStream
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Result, Run, RunHost
from vulsweb.runs import lifecycle, scan_results
from vulsweb.runs import logs as run_logs

bp = Blueprint("api_runs", __name__, url_prefix="/api/runs", description=__doc__)


@bp.get("")
@bp.arguments(RunQuery, location="query")
@bp.response(200, RunStream)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List the runs, newest first."""
    return stream(query, query.get("scheduled_task_id"))


@bp.get("/<int:run_id>")
@bp.response(200, RunOut)
def show(run_id: int) -> Run:
    """Get one run: its status, steps and result."""
    return _run_or_404(run_id)


@bp.get("/<int:run_id>/findings")
@bp.arguments(PageQuery, location="query")
@bp.response(200, FindingPage)
def found(query: dict[str, Any], run_id: int) -> dict[str, Any]:
    """List the findings of a run, worst first."""
    run = _run_or_404(run_id)
    rows = [
        {
            "cve_id": seen.finding.cve_id,
            "host_id": seen.host.id,
            "host_name": seen.host.name,
            "severity": seen.finding.severity,
            "severity_source": seen.finding.severity_source,
            "score": seen.finding.score,
            "title": seen.finding.title,
            "packages": seen.finding.packages,
            "new": seen.new,
        }
        for seen in storage.of_run(run.id)
    ]
    return page_of_list(rows, query["page"], query["per_page"])


@bp.get("/<int:run_id>/hosts")
@bp.arguments(PageQuery, location="query")
@bp.response(200, RunHostPage)
def hosts(query: dict[str, Any], run_id: int) -> dict[str, Any]:
    """List the results of a run per host, worst first."""
    run = _run_or_404(run_id)
    stamped = joinedload(RunHost.result).load_only(Result.detected_by)
    listed = scan_results.host_results(run.id).options(stamped)
    return page_of(listed, query["page"], query["per_page"])


@bp.post("/<int:run_id>/cancel")
@bp.response(202, RunOut)
def cancel(run_id: int) -> Run:
    """Cancel an active run. It may take some seconds to stop."""
    run = _run_or_404(run_id)
    if not lifecycle.cancel(run, datetime.now(UTC)):
        again = url_for("api_scheduled_tasks.run", task_id=run.task_id)
        raise Conflict(f"Run {run.id} has already ended: {run.status.value}. To run it again, POST {again}.")
    db.session.commit()
    return run


@bp.get("/<int:run_id>/logs")
@bp.arguments(LogQuery, location="query")
@bp.response(200, LogOut)
def logs(query: dict[str, Any], run_id: int) -> dict[str, Any]:
    """Read the log of a run from an offset.

    Start at 0 and continue with the last `next_offset`.
    """
    run = _run_or_404(run_id)
    ended = not run.status.is_active
    try:
        text, next_offset = run_logs.read_from(run.id, query["offset"])
    except ValueError as error:
        raise UnprocessableEntity(str(error)) from error
    return {"offset": query["offset"], "next_offset": next_offset, "text": text, "ended": ended}


def _run_or_404(run_id: int) -> Run:
    run = db.session.get(Run, run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run
