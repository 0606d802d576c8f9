"""`/api/ssh-config`: the SSH configuration, checked as on the page."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app
from flask_login import current_user

from vulsweb import messages
from vulsweb.api import read_only
from vulsweb.api.blueprint import Blueprint
from vulsweb.api.preconditions import IF_MATCH, etag, require_match
from vulsweb.api.problems import problem
from vulsweb.api.ssh_schemas import HowToSave, SshConfigIn, SshConfigOut, SshPlan
from vulsweb.extensions import db
from vulsweb.models import SshConfigVersion, Trigger
from vulsweb.ssh import versions
from vulsweb.ssh.versions import NotWritten, Outdated, Paths
from vulsweb.vuls.config_toml import ConfigTomlError, Plan
from vulsweb.vuls.ssh.config import SshConfigError
from vulsweb.vuls.ssh.lines import Refusal

EXAMPLE = {
    "content": "Host web-1\n    HostName 192.0.2.10\n    User scanner\n    IdentityFile scanner\n",
    "version": 3,
}

log = logging.getLogger(__name__)
bp = Blueprint("api_ssh_config", __name__, url_prefix="/api/ssh-config", description=__doc__)


@bp.get("")
@bp.response(200, SshConfigOut)
def show() -> tuple[dict[str, Any], dict[str, str]]:
    """Get the SSH configuration and its hosts.

    `version` is 0 before the first save, and it is the ETag too.
    """
    shown = _shown()
    return shown, etag(shown["version"])


@bp.put("", parameters=[IF_MATCH])
@bp.arguments(HowToSave, location="query")
@bp.arguments(SshConfigIn, example=EXAMPLE)
@bp.response(200, SshPlan)
def update(query: dict[str, Any], body: dict[str, Any]) -> Any:
    """Replace the SSH configuration, update config.toml and sync the hosts.

    With `dry_run=true` nothing is changed. With `fix=true`, lines that are not allowed are removed and listed
    in `removed`. Send the `version` that you read to get a conflict if somebody
    else has saved in the meantime.
    """
    latest = versions.latest()
    require_match(latest.number if latest else 0)
    read_only.reject_changes(SshConfigIn, _shown)
    content: str = body["content"]
    removed: list[Refusal] = []
    if query["fix"]:
        content, removed = versions.without_refused(content, _places().folder)
    if query["dry_run"]:
        return _plan_json(versions.plan(content, _places()), latest, content, removed)
    saved = versions.save(
        content,
        _places(),
        expected=body["version"],
        note=body["note"],
        now=datetime.now(UTC),
        saved_by=current_user,
        trigger=Trigger.API,
    )
    answer, sync_id = _plan_json(saved.plan, saved.version, content, removed), saved.sync.id
    db.session.commit()
    log.info("ssh config: version %d saved by %s", answer["version"], current_user.name)
    messages.send_sync(sync_id)
    return answer


@bp.errorhandler(SshConfigError)
def refused(error: SshConfigError) -> Response:
    """Answer 422 for lines that are not allowed."""
    db.session.rollback()
    errors = [
        {"line": refusal.line, "text": refusal.text, "reason": refusal.reason} for refusal in error.refusals
    ]
    return problem(422, "Unprocessable Entity", "Some lines are not allowed.", errors)


@bp.errorhandler(ConfigTomlError)
def unreadable(error: ConfigTomlError) -> Response:
    """Answer 422 for a config.toml that cannot be read or extended."""
    db.session.rollback()
    return problem(422, "Unprocessable Entity", str(error))


@bp.errorhandler(Outdated)
def outdated(error: Outdated) -> Response:
    """Answer 409 if somebody else has saved in the meantime."""
    number = error.latest.number if error.latest else 0
    db.session.rollback()
    return problem(409, "Conflict", f"{error} The current version is {number}.")


@bp.errorhandler(NotWritten)
def not_written(error: NotWritten) -> Response:
    """Answer 503 if the files could not be written."""
    db.session.rollback()
    log.error("ssh config: %s", error)
    return problem(503, "Service Unavailable", str(error))


def _shown() -> dict[str, Any]:
    version = versions.latest()
    return {
        "content": version.content if version else "",
        "version": version.number if version else 0,
        "updated_at": version.created_at if version else None,
        "updated_by": version.created_by.name if version and version.created_by else None,
        "hosts": versions.hosts_of(version),
    }


def _plan_json(
    plan: Plan, version: SshConfigVersion | None, content: str, removed: Sequence[Refusal]
) -> dict[str, Any]:
    return {
        "added": plan.added,
        "changed": plan.changed,
        "retired": plan.retired,
        "unchanged": plan.unchanged,
        "version": version.number if version else 0,
        "left_out": plan.left_out,
        "diff": plan.diff,
        "warnings": versions.warnings(content, _places().folder),
        "removed": removed,
    }


def _places() -> Paths:
    return versions.paths_from(current_app.config)
