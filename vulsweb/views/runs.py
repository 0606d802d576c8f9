"""`/runs/`: what was done, live while it is done."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required
from flask_sqlalchemy.pagination import Pagination

from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.findings.storage import SeenFinding
from vulsweb.models import Run
from vulsweb.runs import history, lifecycle, scans
from vulsweb.views import forms, live, log_card, stretches
from vulsweb.vuls.results import Severity

PER_PAGE = 50
FINDINGS_PER_PAGE = 100
HOSTS_PER_PAGE = 25

bp = Blueprint("runs", __name__, url_prefix="/runs")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the runs, newest first."""
    return live.listing("runs/index.html", "runs/_table.html", lambda: stretches.read(None, PER_PAGE))


@bp.get("/<int:run_id>")
@login_required
def show(run_id: int) -> ResponseReturnValue:
    """Show a run: its state, steps, log and, at its end, what it found."""
    run = run_or_404(run_id)
    return render_template(
        "runs/show.html",
        run=run,
        seen=_state(run),
        log=log_card.shown(run, request.args),
        found=_found(run),
        covered=_covered(run),
        usual=history.usual_duration(run.task_id),
    )


@bp.get("/<int:run_id>/status")
@login_required
def status(run_id: int) -> ResponseReturnValue:
    """Return the run's state and steps while they change; tell the page when the run is over."""
    run = run_or_404(run_id)
    shown = {"usual": history.usual_duration(run.task_id), "covered": _covered(run)}
    answer = live.fragment("runs/_status.html", _state(run), run=run, **shown)
    if not run.status.is_active:
        answer.headers["HX-Trigger-After-Swap"] = "run-over"
    return answer


@bp.get("/<int:run_id>/findings")
@login_required
def found(run_id: int) -> ResponseReturnValue:
    """Return what the run found, as a fragment."""
    run = run_or_404(run_id)
    return render_template("runs/_findings.html", run=run, found=_found(run))


@bp.post("/<int:run_id>/cancel")
@login_required
def cancel(run_id: int) -> ResponseReturnValue:
    """Stop a run that is not over."""
    run = run_or_404(run_id)
    if not lifecycle.cancel(run, datetime.now(UTC)):
        flash("This run was over already.", "warning")
    db.session.commit()
    return redirect(url_for("runs.show", run_id=run.id), code=303)


def run_or_404(run_id: int) -> Run:
    """Return the run, or end the request with a 404."""
    return history.get(run_id) or abort(404)


def _state(run: Run) -> str:
    # Not the heartbeat: it changes every two seconds and nobody sees it.
    jobs = [(job.status, job.reason, job.steps) for job in run.jobs]
    return live.key(run.status, jobs, run.reason, run.started_at, run.cancel_requested_at)


def _found(run: Run) -> dict[str, Any] | None:
    """Return the page of the run's findings that the address asks for, or None where there can be none."""
    if run.status.is_active or "servers" not in run.request or not run.result_data:
        return None
    everything = storage.of_run(run.id)
    severity, only_new = request.args.get("severity", type=Severity), request.args.get("new") == "1"
    chosen = [seen for seen in everything if _wanted(seen, severity, only_new=only_new)]
    pages = max(-(-len(chosen) // FINDINGS_PER_PAGE), 1)
    page = min(max(request.args.get("page", 1, type=int), 1), pages)
    return {
        "total": len(everything),
        "chosen": len(chosen),
        "rows": chosen[(page - 1) * FINDINGS_PER_PAGE : page * FINDINGS_PER_PAGE],
        "counts": {each: sum(seen.finding.severity is each for seen in everything) for each in Severity},
        "hosts": len({seen.host.id for seen in everything}),
        "new": sum(seen.new for seen in everything),
        "severity": severity,
        "only_new": only_new,
        "page": page,
        "pages": pages,
    }


def _covered(run: Run) -> Pagination:
    """Return a page of what the run came to on each of its hosts."""
    # Its own argument: `page` is that of the findings.
    page = min(max(request.args.get("hosts", 1, type=int), 1), forms.LARGEST_ID)
    lines = scans.host_results(run.id)
    return db.paginate(lines, page=page, per_page=HOSTS_PER_PAGE, error_out=False)


def _wanted(seen: SeenFinding, severity: Severity | None, *, only_new: bool) -> bool:
    return (severity is None or seen.finding.severity is severity) and (seen.new or not only_new)
