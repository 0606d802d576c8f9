"""`/api/system`: how the parts of the system are."""

from datetime import UTC, datetime

from flask import current_app
from flask_smorest import Blueprint

from vulsweb.api.schemas import SystemOut
from vulsweb.system import health
from vulsweb.system.health import System

bp = Blueprint("api_system", __name__, url_prefix="/api/system", description=__doc__)


@bp.get("")
@bp.response(200, SystemOut)
def show() -> System:
    """Tell which parts answer, and what to do about those that do not; `state` is the worst of them."""
    return health.read(current_app.config, datetime.now(UTC))
