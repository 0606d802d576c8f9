"""`/databases/`: what Vuls looks into, how old it is, and what keeps it fresh."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb import databases
from vulsweb.databases import Databases
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.views import live
from vulsweb.vuls.catalogue import PROFILE_VERSIONS, DatabaseType

bp = Blueprint("databases", __name__, url_prefix="/databases")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show every database of the catalogue."""
    found = _read()
    return render_template("databases/index.html", found=found, seen=_key(found), **_shown())


@bp.get("/live")
@login_required
def live_part() -> ResponseReturnValue:
    """Return the databases when something about them has changed."""
    found = _read()
    return live.fragment("databases/_live.html", _key(found), found=found, **_shown())


@bp.get("/hint")
@login_required
def hint() -> str:
    """Say beside the form's field whether the Vuls that runs reads the database that is chosen there."""
    name = request.args.get("database_type", "")
    known = name in set(DatabaseType) and name != DatabaseType.ALL
    reading = databases.support(current_app.config, DatabaseType(name), _now()) if known else None
    return render_template("databases/_hint.html", reading=reading)


def _read() -> Databases:
    return databases.read(_executor(), _now())


def _executor() -> Executor:
    """Return the executor that the address names, else the main one; an unknown name is a 404."""
    name = request.args.get("executor", MAIN)
    return next((each for each in executor_settings.configured() if each.name == name), None) or abort(404)


def _shown() -> dict[str, Any]:
    return {"pairs": PROFILE_VERSIONS, "executor": _executor(), "executors": executor_settings.configured()}


def _key(found: Databases) -> str:
    tasks = [
        [(task.id, task.name, task.active, task.next_run_at, task.last_run_id) for task in line.tasks]
        for line in found.rows
    ]
    facts = [(line.database, line.support, line.hosts, line.fetch) for line in found.rows]
    return live.key(
        found.executor, found.uncovered, found.outside_profile, found.profile, found.mismatch, facts, tasks
    )


def _now() -> datetime:
    return datetime.now(UTC)
