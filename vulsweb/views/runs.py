"""`/runs/`: the runs, live while they are active."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required
from flask_sqlalchemy.pagination import Pagination

from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Run
from vulsweb.runs import history, lifecycle, scan_results
from vulsweb.views import live, log_card, paging
from vulsweb.vuls.results import Severity

PER_PAGE = 50
FINDINGS_PER_PAGE = 100
HOSTS_PER_PAGE = 25

bp = Blueprint("runs", __name__, url_prefix="/runs")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the runs, newest first."""
    return live.listing("runs/index.html", "runs/_table.html", lambda: paging.page_of_runs(None, PER_PAGE))


@bp.get("/<int:run_id>")
@login_required
def show(run_id: int) -> ResponseReturnValue:
    """Show a run with its status, steps, log and findings."""
    run = run_or_404(run_id)
    return render_template(
        "runs/show.html",
        run=run,
        seen=_fingerprint(run),
        log=log_card.context(run, request.args),
        findings=_findings(run),
        host_results=_host_results(run),
        usual=history.usual_duration(run.task_id),
    )


@bp.get("/<int:run_id>/status")
@login_required
def status(run_id: int) -> ResponseReturnValue:
    """Return the run's status and steps when they have changed.

    At the end, the event `run-over` makes the page load the findings.
    """
    run = run_or_404(run_id)
    answer = live.fragment(
        "runs/_status.html",
        _fingerprint(run),
        run=run,
        usual=history.usual_duration(run.task_id),
        host_results=_host_results(run),
    )
    if not run.status.is_active:
        answer.headers["HX-Trigger-After-Swap"] = "run-over"
    return answer


@bp.get("/<int:run_id>/findings")
@login_required
def findings_part(run_id: int) -> ResponseReturnValue:
    """Return the run's findings as a fragment."""
    run = run_or_404(run_id)
    return render_template("runs/_findings.html", run=run, findings=_findings(run))


@bp.post("/<int:run_id>/cancel")
@login_required
def cancel(run_id: int) -> ResponseReturnValue:
    """Cancel an active run."""
    run = run_or_404(run_id)
    if not lifecycle.cancel(run, datetime.now(UTC)):
        flash("This run is already over.", "warning")
    db.session.commit()
    return redirect(url_for("runs.show", run_id=run.id), code=303)


def run_or_404(run_id: int) -> Run:
    """Return the run, or abort with 404."""
    return history.get(run_id) or abort(404)


def _fingerprint(run: Run) -> str:
    # Without the heartbeat, which changes every two seconds and is not shown.
    jobs = [(job.status, job.reason, job.steps) for job in run.jobs]
    return live.fingerprint(run.status, jobs, run.reason, run.started_at, run.cancel_requested_at)


def _findings(run: Run) -> dict[str, Any] | None:
    """Return the requested page of the run's findings.

    None if the run is active, is no scan or has no result.
    """
    if run.status.is_active or "servers" not in run.request or not run.result_data:
        return None
    everything = storage.of_run(run.id)
    severity, only_new = request.args.get("severity", type=Severity), request.args.get("new") == "1"
    matching = [
        seen
        for seen in everything
        if severity in (None, seen.finding.severity) and (seen.new or not only_new)
    ]
    pages = max(-(-len(matching) // FINDINGS_PER_PAGE), 1)
    page = min(max(request.args.get("page", 1, type=int), 1), pages)
    return {
        "total": len(everything),
        "rows": matching[(page - 1) * FINDINGS_PER_PAGE : page * FINDINGS_PER_PAGE],
        "counts": {each: sum(seen.finding.severity is each for seen in everything) for each in Severity},
        "hosts": len({seen.host.id for seen in everything}),
        "new": sum(seen.new for seen in everything),
        "severity": severity,
        "only_new": only_new,
        "page": page,
        "pages": pages,
    }


def _host_results(run: Run) -> Pagination:
    """Return a page of the run's results by host."""
    # `page` is the page of findings, so this has another name.
    return paging.numbered(scan_results.host_results(run.id), per_page=HOSTS_PER_PAGE, name="hosts")
