"""`/ssh-config/`: the editor for the SSH configuration and its versions."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import messages
from vulsweb.extensions import db
from vulsweb.hosts import sync_requests
from vulsweb.models import HostSync, SshConfigVersion, Trigger
from vulsweb.ssh import known_hosts, versions
from vulsweb.ssh.versions import NotWritten, Outdated, Paths
from vulsweb.views import live
from vulsweb.vuls.config_toml import ConfigTomlError, Plan
from vulsweb.vuls.ssh.config import TEMPLATES, SshConfigError
from vulsweb.vuls.ssh.lines import Refusal

HISTORY_SHOWN = 20
NO_REDIS = "Redis is not reachable. The hosts are updated within two minutes after it is back."

log = logging.getLogger(__name__)
bp = Blueprint("ssh_config", __name__, url_prefix="/ssh-config")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show the current configuration in an editor."""
    version = versions.latest()
    return _page(version.content if version else "", version)


@bp.post("/check")
@login_required
def check() -> str:
    """Return the problems in the editor's text while it is typed."""
    content, folder = request.form.get("content", ""), places().folder
    refusals, warnings = versions.check(content, folder), versions.warnings(content, folder)
    return render_template("ssh_config/_problems.html", refusals=refusals, warnings=warnings)


@bp.post("/preview")
@login_required
def preview() -> ResponseReturnValue:
    """Show what saving the text would change, without saving."""
    content = request.form.get("content", "")
    plan: Plan | None = None
    refusals: Sequence[Refusal] = ()
    error = ""
    try:
        plan = versions.plan(content, places())
    except SshConfigError as invalid:
        refusals = invalid.refusals
    except ConfigTomlError as invalid:
        error = str(invalid)
    if "HX-Request" in request.headers:
        return render_template("ssh_config/_preview.html", plan=plan, refusals=refusals, error=error)
    return _page(content, versions.latest(), plan=plan, refusals=refusals, error=error)


@bp.post("/fix")
@login_required
def fix() -> str:
    """Show the text without its refused lines, unsaved."""
    if "undo" in request.form:
        return _page(request.form.get("before", ""), versions.latest(), note=request.form.get("note", ""))
    content = request.form.get("content", "")
    fixed, removed = versions.without_refused(content, places().folder)
    note = request.form.get("note", "")
    return _page(fixed, versions.latest(), note=note, removed=removed, before=content)


@bp.post("/")
@login_required
def save() -> ResponseReturnValue:
    """Save the text.

    If it is invalid or outdated, the editor shows it again.
    """
    content, note = request.form.get("content", ""), request.form.get("note", "")
    return _save(content, note, _number(request.form.get("version", "")))


@bp.get("/sync")
@login_required
def sync() -> ResponseReturnValue:
    """Return the result of the last host sync when it has changed."""
    latest = sync_requests.latest()
    over = _is_over(latest)
    return live.fragment("ssh_config/_sync.html", _sync_fingerprint(latest), sync=latest, over=over)


@bp.get("/versions/<int:number>")
@login_required
def version(number: int) -> ResponseReturnValue:
    """Show a version and its difference from the current one."""
    shown, current = _version_or_404(number), versions.latest()
    difference = versions.diff(current, shown.content, f"version {number}")
    return render_template("ssh_config/version.html", version=shown, current=current, difference=difference)


@bp.post("/versions/<int:number>/restore")
@login_required
def restore(number: int) -> ResponseReturnValue:
    """Save an old version as the new one, after the same checks."""
    old = _version_or_404(number)
    return _save(old.content, f"Restored from version {number}.", _number(request.form.get("version", "")))


def places() -> Paths:
    """Return the paths of the files."""
    return versions.paths_from(current_app.config)


def _save(content: str, note: str, expected: int) -> ResponseReturnValue:
    try:
        saved = versions.save(
            content,
            places(),
            expected=expected,
            note=note,
            now=datetime.now(UTC),
            saved_by=current_user,
            trigger=Trigger.PERSON,
        )
    except Outdated:
        db.session.rollback()
        return _page(content, versions.latest(), note=note, outdated=True), 409
    except SshConfigError as error:
        db.session.rollback()
        page = _page(content, versions.latest(), note=note, refusals=error.refusals, not_saved=True)
        return page, 422
    except (ConfigTomlError, NotWritten) as error:
        db.session.rollback()
        return _page(content, versions.latest(), note=note, error=str(error), not_saved=True), 422
    number, sync_id = saved.version.number, saved.sync.id
    db.session.commit()
    log.info("ssh config: version %d saved by %s", number, current_user.name)
    if not messages.send_sync(sync_id):
        flash(NO_REDIS, "warning")
    flash(f"Saved as version {number}.", "success")
    return redirect(url_for("ssh_config.index"), code=303)


def _page(
    content: str,
    version: SshConfigVersion | None,
    *,
    note: str = "",
    plan: Plan | None = None,
    refusals: Sequence[Refusal] | None = None,
    error: str = "",
    not_saved: bool = False,
    outdated: bool = False,
    removed: Sequence[Refusal] = (),
    before: str = "",
) -> str:
    if refusals is None:
        refusals = versions.check(content, places().folder)
    latest_sync = sync_requests.latest()
    hosts = versions.hosts_of(version)
    return render_template(
        "ssh_config/index.html",
        content=content,
        version=version,
        note=note,
        plan=plan,
        refusals=refusals,
        warnings=versions.warnings(content, places().folder),
        error=error,
        not_saved=not_saved,
        outdated=outdated,
        removed=removed,
        before=before,
        difference=versions.diff(version, versions.normalize(content), "yours") if outdated else "",
        differs=not not_saved and versions.file_differs(version, places()),
        templates=TEMPLATES,
        hosts=hosts,
        scanned=versions.scanned_aliases(hosts),
        trusted={known.place for known in known_hosts.accepted()},
        versions=versions.history(HISTORY_SHOWN),
        sync=latest_sync,
        seen=_sync_fingerprint(latest_sync),
        over=_is_over(latest_sync),
        note_length=versions.LONGEST_NOTE,
    )


def _sync_fingerprint(sync: HostSync | None) -> str:
    return live.fingerprint(sync and (sync.id, sync.finished_at), _is_over(sync))


def _is_over(sync: HostSync | None) -> bool:
    return sync is None or sync.finished_at is not None or sync_requests.abandoned(sync, datetime.now(UTC))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _version_or_404(number: int) -> SshConfigVersion:
    return versions.get(number) or abort(404)
