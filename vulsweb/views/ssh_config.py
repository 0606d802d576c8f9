"""`/ssh-config/`: how the hosts are reached; saving brings config.toml and the hosts in step."""

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
NO_REDIS = "The hosts follow within two minutes, as soon as Redis answers again."

log = logging.getLogger(__name__)
bp = Blueprint("ssh_config", __name__, url_prefix="/ssh-config")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show the configuration in force, in an editor."""
    version = versions.latest()
    return _page(version.content if version else "", version)


@bp.post("/check")
@login_required
def check() -> str:
    """Say what is wrong with the text in the editor, as it is typed."""
    refusals = versions.check(request.form.get("content", ""), places().folder)
    return render_template("ssh_config/_refusals.html", refusals=refusals)


@bp.post("/preview")
@login_required
def preview() -> ResponseReturnValue:
    """Show what saving the text would do, and do nothing."""
    content = request.form.get("content", "")
    planned, refusals, error = _planned(content)
    if "HX-Request" in request.headers:
        return render_template("ssh_config/_preview.html", plan=planned, refusals=refusals, error=error)
    return _page(content, versions.latest(), planned=planned, refusals=refusals, error=error)


@bp.post("/")
@login_required
def save() -> ResponseReturnValue:
    """Save the text, unless it is refused or somebody else saved meanwhile; then nothing of it is lost."""
    content, note = request.form.get("content", ""), request.form.get("note", "")
    return _save(content, note, _number(request.form.get("version", "")))


@bp.get("/sync")
@login_required
def sync() -> ResponseReturnValue:
    """Return what the last synchronization came to, when that has changed."""
    found = sync_requests.latest()
    return live.fragment("ssh_config/_sync.html", _seen(found), sync=found, over=_over(found))


@bp.get("/versions/<int:number>")
@login_required
def version(number: int) -> ResponseReturnValue:
    """Show a version, and how it differs from the one in force."""
    shown, current = _version_or_404(number), versions.latest()
    difference = versions.diff(current, shown.content, f"version {number}")
    return render_template("ssh_config/version.html", version=shown, current=current, difference=difference)


@bp.post("/versions/<int:number>/restore")
@login_required
def restore(number: int) -> ResponseReturnValue:
    """Save an old version again; it is checked like any other text."""
    old = _version_or_404(number)
    return _save(old.content, f"Restored from version {number}.", _number(request.form.get("version", "")))


def places() -> Paths:
    """Return where the files are."""
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
    except (Outdated, SshConfigError, ConfigTomlError, NotWritten) as error:
        db.session.rollback()
        return _not_saved(content, note, error)
    number, sync_id = saved.version.number, saved.sync.id
    db.session.commit()
    log.info("ssh config: version %d saved by %s", number, current_user.name)
    if not messages.send_sync(sync_id):
        flash(NO_REDIS, "warning")
    flash(f"Saved as version {number}.", "success")
    return redirect(url_for("ssh_config.index"), code=303)


def _not_saved(
    content: str, note: str, error: Outdated | SshConfigError | ConfigTomlError | NotWritten
) -> ResponseReturnValue:
    current = versions.latest()
    if isinstance(error, SshConfigError):
        return _page(content, current, note=note, refusals=error.refusals, refused=True), 422
    if isinstance(error, Outdated):
        return _page(content, current, note=note, outdated=True), 409
    return _page(content, current, note=note, error=str(error), refused=True), 422


def _planned(content: str) -> tuple[Plan | None, Sequence[Refusal], str]:
    try:
        return versions.plan(content, places()), (), ""
    except SshConfigError as error:
        return None, error.refusals, ""
    except ConfigTomlError as error:
        return None, (), str(error)


def _page(
    content: str,
    version: SshConfigVersion | None,
    *,
    note: str = "",
    planned: Plan | None = None,
    refusals: Sequence[Refusal] | None = None,
    error: str = "",
    refused: bool = False,
    outdated: bool = False,
) -> str:
    if refusals is None:
        refusals = versions.check(content, places().folder)
    found = sync_requests.latest()
    return render_template(
        "ssh_config/index.html",
        content=content,
        version=version,
        note=note,
        plan=planned,
        refusals=refusals,
        error=error,
        refused=refused,
        outdated=outdated,
        theirs=versions.diff(version, versions.normalize(content), "yours") if outdated else "",
        differs=not refused and versions.file_differs(version, places()),
        templates=TEMPLATES,
        hosts=versions.hosts_of(version),
        trusted={known.place for known in known_hosts.accepted()},
        versions=versions.history(HISTORY_SHOWN),
        sync=found,
        seen=_seen(found),
        over=_over(found),
    )


def _seen(sync: HostSync | None) -> str:
    return live.key(sync and (sync.id, sync.finished_at), _over(sync))


def _over(sync: HostSync | None) -> bool:
    return sync is None or sync.finished_at is not None or sync_requests.abandoned(sync, datetime.now(UTC))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _version_or_404(number: int) -> SshConfigVersion:
    return versions.get(number) or abort(404)
