"""`/databases/`: the vulnerability databases, their age and the tasks that update them."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb import databases
from vulsweb.databases import Databases
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.settings import MAIN
from vulsweb.views import live
from vulsweb.vuls.catalogue import MOVE_ON, PROFILE_VERSIONS, DatabaseType

bp = Blueprint("databases", __name__, url_prefix="/databases")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show every database of the catalogue."""
    context = _context()
    return render_template("databases/index.html", seen=_fingerprint(context["databases"]), **context)


@bp.get("/live")
@login_required
def live_part() -> ResponseReturnValue:
    """Return the databases when something about them has changed."""
    context = _context()
    return live.fragment("databases/_live.html", _fingerprint(context["databases"]), **context)


@bp.get("/hint")
@login_required
def hint() -> str:
    """Return whether Vuls uses the database selected in the form."""
    name = request.args.get("database_type", "")
    known = name in set(DatabaseType) and name != DatabaseType.ALL
    support = databases.support(current_app.config, DatabaseType(name), datetime.now(UTC)) if known else None
    return render_template("databases/_hint.html", support=support)


def _context() -> dict[str, Any]:
    """Read the databases of the requested executor.

    The default is the main one; an unknown name aborts with 404.
    """
    name, executors = request.args.get("executor", MAIN), executor_settings.configured()
    executor = next((each for each in executors if each.name == name), None) or abort(404)
    found = databases.read(executor, datetime.now(UTC))
    return {
        "databases": found,
        "profile_advice": PROFILE_VERSIONS,
        "move_on": MOVE_ON,
        "executor": executor,
        "executors": executors,
    }


def _fingerprint(found: Databases) -> str:
    tasks = [
        [(task.id, task.name, task.active, task.next_run_at, task.last_run_id) for task in line.tasks]
        for line in found.rows
    ]
    facts = [(line.database, line.support, line.hosts, line.fetch) for line in found.rows]
    return live.fingerprint(
        found.executor, found.uncovered, found.outside_profile, found.profile, found.mismatch, facts, tasks
    )
