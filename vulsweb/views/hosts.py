"""`/hosts/`: the scanned machines, with their findings, tasks, runs, tags and notes."""

from datetime import UTC, datetime
from typing import Any

import tomlkit
from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb import databases
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.settings import for_tags
from vulsweb.extensions import db
from vulsweb.hosts import config_sync, inventory
from vulsweb.hosts import tags as host_tags
from vulsweb.hosts.inventory import InvalidHost, Show
from vulsweb.models import Host
from vulsweb.tasks import queries as task_queries
from vulsweb.views import filters, forms, host_query, live, paging
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Severity

PER_PAGE = 50
FINDINGS_PER_PAGE = 50
LATEST_RUNS = 10
SHOWN_TASKS = 50
BULK_LIMIT = 500
ERRORS_SHOWN = 5
SUGGESTIONS = 20

bp = Blueprint("hosts", __name__, url_prefix="/hosts")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the hosts that match the filter."""
    return live.listing("hosts/index.html", "hosts/_table.html", _list_context)


@bp.post("/sync")
@login_required
def sync() -> ResponseReturnValue:
    """Update the hosts from config.toml and show the result."""
    confirmed = "confirmed" in request.form
    try:
        outcome = config_sync.sync_file(
            current_app.config["VULS_CONFIG"], datetime.now(UTC), confirmed=confirmed
        )
    except config_sync.RetiresMost as error:
        db.session.rollback()
        return render_template("hosts/confirm_sync.html", names=error.names, total=error.total), 409
    except ConfigTomlError as error:
        db.session.rollback()
        flash(f"Hosts not updated. {error}", "error")
    else:
        db.session.commit()
        flash(outcome.summary, "warning" if outcome.errors else "success")
        for sentence in outcome.errors[:ERRORS_SHOWN]:
            flash(filters.clean(sentence), "error")
    return redirect(url_for("hosts.index"), code=303)


@bp.post("/bulk")
@login_required
def bulk() -> ResponseReturnValue:
    """Add a tag to all selected hosts, or remove it."""
    host_ids, action = forms.ids(request.form.getlist("ids")), request.form.get("action")
    if action not in ("tag", "untag"):
        abort(400)
    back = redirect(url_for("hosts.index", **host_query.parse(request.args).args), code=303)
    if not 0 < len(host_ids) <= BULK_LIMIT:
        flash(f"Select between 1 and {BULK_LIMIT} hosts first.", "warning")
        return back
    tag, adding = request.form.get("tag", ""), action == "tag"
    try:
        changed = inventory.tag_many(host_ids, tag, on=adding)
    except InvalidHost as error:
        db.session.rollback()
        flash(str(error), "warning")
        return back
    db.session.commit()
    done = "added to" if adding else "removed from"
    flash(f"Tag {host_tags.normalize(tag)} {done} {filters.plural(changed, 'host')}.", "success")
    return back


@bp.get("/names")
@login_required
def names() -> str:
    """Return the host names that match the typed text, as options."""
    typed = request.args.get("host_name", "").replace("\x00", "").strip()
    return render_template("hosts/_name_options.html", names=inventory.names_containing(typed, SUGGESTIONS))


@bp.get("/foreseen")
@login_required
def foreseen() -> str:
    """Return what scans of the chosen host or tag will not find.

    Loaded separately, because executors are asked.
    """
    args = request.args
    by_tag, tag = args.get("target") == "tag", args.get("host_tag", "").replace("\x00", "").strip()
    named = inventory.ids_named(args.get("host_name", "").replace("\x00", "").strip())
    host_ids = [] if by_tag else [*forms.ids(args.getlist("host_id")), *named]
    chosen = inventory.system_counts(host_ids, tag if by_tag else "")
    gaps = databases.foreseen_gaps(executor_settings.configured(), chosen, datetime.now(UTC))
    return render_template("hosts/_foreseen.html", gaps=gaps, single=not by_tag)


@bp.get("/<int:host_id>")
@login_required
def show(host_id: int) -> ResponseReturnValue:
    """Show a host with its tasks, runs and open findings."""
    return live.listing("hosts/show.html", "hosts/_live.html", lambda: _host_context(host_id))


@bp.post("/<int:host_id>")
@login_required
def describe(host_id: int) -> ResponseReturnValue:
    """Save the tags and notes of a host."""
    host = host_or_404(host_id)
    typed = {"tags": request.form.get("tags", ""), "notes": request.form.get("notes", "")}
    try:
        tags = [tag for tag in typed["tags"].split(",") if tag.strip()]
        inventory.update_details(host, typed | {"tags": tags})
    except InvalidHost as error:
        db.session.rollback()
        context = _host_context(host_id) | {"typed": typed, "errors": error.errors}
        return render_template("hosts/show.html", seen="", **context), 422
    db.session.commit()
    flash(f"Tags and notes of {filters.clean(host.name)} saved.", "success")
    return redirect(url_for("hosts.show", host_id=host.id), code=303)


def host_or_404(host_id: int) -> Host:
    """Return the host, or abort with 404."""
    return inventory.get(host_id) or abort(404)


def _list_context() -> dict[str, Any]:
    query = host_query.parse(request.args)
    matching = inventory.query(query.filter, query.sort, descending=query.descending)
    page = paging.numbered(matching, per_page=PER_PAGE)
    return {
        "page": page,
        "query": query,
        "counts": inventory.open_counts([host.id for host in page.items]),
        "task_counts": inventory.task_counts(page.items),
        "statistics": inventory.statistics(),
        "shows": Show,
        "tags": host_tags.host_counts(),
        "tag_length": host_tags.TAG_LENGTH,
        "connections": HostConnection,
        "systems": inventory.systems(),
    }


def _host_context(host_id: int) -> dict[str, Any]:
    host = host_or_404(host_id)
    severity = request.args.get("severity", type=Severity)
    shown_tasks = db.session.scalars(task_queries.scanning_host(host).limit(SHOWN_TASKS)).all()
    found = inventory.findings(host.id, severity)
    # A container is scanned with its host. Tokens in the section were removed before it was stored.
    scanned = host.parent or host
    section = tomlkit.dumps({"servers": {scanned.entry: scanned.vuls_config}})
    executors = executor_settings.configured()
    return {
        "host": host,
        "tasks": shown_tasks,
        "scan": next((task for task in shown_tasks if task.host_id == host.id), None),
        "tag_sizes": host_tags.host_counts(host.tags) if host.tags else {},
        "neighbours": inventory.count_sharing_entry(host),
        "host_results": inventory.latest_runs(host.id, LATEST_RUNS),
        "counts": inventory.open_counts([host.id])[host.id],
        "severity": severity,
        "page": paging.numbered(found, per_page=FINDINGS_PER_PAGE),
        "section": [filters.clean(line) for line in section.strip().split("\n")],
        "executor": for_tags(executors, scanned.tags).name if len(executors) > 1 else None,
        "typed": {"tags": ", ".join(host.tags), "notes": host.notes},
        "errors": {},
    }
