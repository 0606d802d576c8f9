"""`/api/system`: health checks of every component."""

from datetime import UTC, datetime

from flask import current_app

from vulsweb.api.blueprint import Blueprint
from vulsweb.api.schemas import SystemOut
from vulsweb.system import health
from vulsweb.system.health import System

bp = Blueprint("api_system", __name__, url_prefix="/api/system", description=__doc__)


@bp.get("")
@bp.response(200, SystemOut)
def show() -> System:
    """Check every component.

    `state` is the worst state; `advice` says how to fix what fails.
    """
    return health.read(current_app.config, datetime.now(UTC))
