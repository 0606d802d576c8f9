"""`/hosts/`: the machines that are scanned, what is known of them and what people say of them."""

from datetime import UTC, datetime
from typing import Any

import tomlkit
from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.executors import settings as executor_settings
from vulsweb.executors.settings import for_tags
from vulsweb.extensions import db
from vulsweb.hosts import config_sync, inventory, tags
from vulsweb.hosts.inventory import InvalidHost, Show
from vulsweb.models import Host
from vulsweb.tasks import queries as task_queries
from vulsweb.views import forms, live, words
from vulsweb.views.host_address import host_list
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Severity

PER_PAGE = 50
FINDINGS_PER_PAGE = 50
LATEST_RUNS = 10
SHOWN_TASKS = 50
BULK_LIMIT = 500
ERRORS_TOLD = 5
SUGGESTIONS = 20

bp = Blueprint("hosts", __name__, url_prefix="/hosts")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the hosts that the filter leaves in."""
    return live.listing("hosts/index.html", "hosts/_table.html", _listed)


@bp.post("/sync")
@login_required
def sync() -> ResponseReturnValue:
    """Bring the hosts in step with config.toml, and say what that came to."""
    try:
        outcome = config_sync.sync_file(current_app.config["VULS_CONFIG"], datetime.now(UTC))
    except ConfigTomlError as error:
        db.session.rollback()
        flash(f"Nothing was changed. {error}", "error")
    else:
        db.session.commit()
        flash(outcome.summary, "warning" if outcome.errors else "success")
        for sentence in outcome.errors[:ERRORS_TOLD]:
            flash(words.clean(sentence), "error")
    return redirect(url_for("hosts.index"), code=303)


@bp.post("/bulk")
@login_required
def bulk() -> ResponseReturnValue:
    """Give all selected hosts a tag, or take it from them."""
    chosen, action = forms.ids(request.form.getlist("ids")), request.form.get("action")
    if action not in ("tag", "untag"):
        abort(400)
    if not 0 < len(chosen) <= BULK_LIMIT:
        flash(f"Select between 1 and {BULK_LIMIT} hosts first.", "warning")
    else:
        _tag(chosen, request.form.get("tag", ""), on=action == "tag")
    return redirect(url_for("hosts.index", **host_list(request.args).address), code=303)


@bp.get("/names")
@login_required
def names() -> str:
    """Return names of hosts that match what was typed, as options."""
    typed = request.args.get("host_name", "").replace("\x00", "").strip()
    return render_template("hosts/_names.html", names=inventory.names_containing(typed, SUGGESTIONS))


@bp.get("/<int:host_id>")
@login_required
def show(host_id: int) -> ResponseReturnValue:
    """Show a host: its facts, tasks, runs and open findings."""
    return live.listing("hosts/show.html", "hosts/_live.html", lambda: _shown(host_id))


@bp.post("/<int:host_id>")
@login_required
def describe(host_id: int) -> ResponseReturnValue:
    """Keep tags and notes as the form says."""
    host = host_or_404(host_id)
    typed = {"tags": request.form.get("tags", ""), "notes": request.form.get("notes", "")}
    try:
        inventory.update_details(
            host, typed | {"tags": [word for word in typed["tags"].split(",") if word.strip()]}
        )
    except InvalidHost as error:
        db.session.rollback()
        page = _shown(host_id) | {"typed": typed, "errors": error.errors}
        return render_template("hosts/show.html", seen="", **page), 422
    db.session.commit()
    flash(f"Tags and notes of {words.clean(host.name)} are kept.", "success")
    return redirect(url_for("hosts.show", host_id=host.id), code=303)


def host_or_404(host_id: int) -> Host:
    """Return the host, or end the request with a 404."""
    return inventory.get(host_id) or abort(404)


def _tag(host_ids: list[int], word: str, *, on: bool) -> None:
    try:
        changed = inventory.tag_many(host_ids, word, on=on)
    except InvalidHost as error:
        db.session.rollback()
        flash(str(error), "warning")
        return
    db.session.commit()
    done = "got" if on else "lost"
    flash(f"{words.plural(changed, 'host')} {done} the tag {tags.normalize(word)}.", "success")


def _listed() -> dict[str, Any]:
    wanted = host_list(request.args)
    found = inventory.query(wanted.filter, wanted.sort, descending=wanted.descending)
    page = db.paginate(found, per_page=PER_PAGE, max_per_page=PER_PAGE)
    return {
        "page": page,
        "wanted": wanted,
        "counts": inventory.open_counts([host.id for host in page.items]),
        "task_counts": inventory.task_counts(page.items),
        "statistics": inventory.statistics(),
        "shows": Show,
        "tags": tags.host_counts(),
        "connections": HostConnection,
    }


def _shown(host_id: int) -> dict[str, Any]:
    host = host_or_404(host_id)
    severity = request.args.get("severity", type=Severity)
    own = db.session.scalars(task_queries.scanning_host(host).limit(SHOWN_TASKS)).all()
    found = inventory.findings(host.id, severity)
    return {
        "host": host,
        "tasks": own,
        "scan": next((task for task in own if task.host_id == host.id), None),
        "tag_sizes": tags.host_counts(host.tags) if host.tags else {},
        "neighbours": inventory.count_sharing_entry(host),
        "lines": inventory.latest_runs(host.id, LATEST_RUNS),
        "counts": inventory.open_counts([host.id])[host.id],
        "wanted": severity,
        "found": db.paginate(found, per_page=FINDINGS_PER_PAGE, max_per_page=FINDINGS_PER_PAGE),
        "section": _section(host),
        "executor": _executor(host),
        "typed": {"tags": ", ".join(host.tags), "notes": host.notes},
        "errors": {},
    }


def _executor(host: Host) -> str | None:
    """Return the name of the executor that scans the host, where there is more than one."""
    known = executor_settings.configured()
    return for_tags(known, (host.parent or host).tags).name if len(known) > 1 else None


def _section(host: Host) -> list[str]:
    """Return the host's section of config.toml, line by line; secrets have never been kept."""
    described = host.parent or host
    text = tomlkit.dumps({"servers": {described.entry: described.vuls_config}})
    return [words.clean(line) for line in text.strip().split("\n")]
