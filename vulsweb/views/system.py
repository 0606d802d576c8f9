"""`/system`: which parts answer, and what to do about those that do not."""

from datetime import UTC, datetime
from importlib.metadata import version

from flask import Blueprint, current_app, render_template
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.system import health
from vulsweb.system.health import System
from vulsweb.views import live

bp = Blueprint("system", __name__, url_prefix="/system")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """Show every part, the tools, the databases and the disk."""
    found = _read()
    return render_template(
        "system/index.html",
        system=found,
        seen=live.key(found),
        key=live.key,
        version=version("vulsweb"),
    )


@bp.get("/live")
@login_required
def live_part() -> ResponseReturnValue:
    """Return the parts when something about them has changed."""
    found = _read()
    return live.fragment("system/_live.html", live.key(found), system=found, key=live.key)


@bp.get("/dot")
@login_required
def dot() -> str:
    """Return the sign in the navigation: the state of the worst part."""
    return render_template("system/_dot.html", state=_read().state)


def _read() -> System:
    return health.read(current_app.config, datetime.now(UTC))
