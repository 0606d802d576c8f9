"""`/system`: health checks of every component, and how to fix what fails."""

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
    """Show all health checks, the tools and the databases."""
    found = _read()
    return render_template(
        "system/index.html",
        system=found,
        seen=live.fingerprint(found),
        fingerprint=live.fingerprint,
        version=version("vulsweb"),
    )


@bp.get("/live")
@login_required
def live_part() -> ResponseReturnValue:
    """Return the health checks when something in them has changed."""
    found = _read()
    return live.fragment(
        "system/_live.html", live.fingerprint(found), system=found, fingerprint=live.fingerprint
    )


@bp.get("/dot")
@login_required
def dot() -> str:
    """Return the dot in the navigation: the worst state of all checks."""
    return render_template("system/_dot.html", state=_read().state)


def _read() -> System:
    return health.read(current_app.config, datetime.now(UTC))
