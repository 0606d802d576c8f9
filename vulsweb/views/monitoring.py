"""`/metrics` for Prometheus, and `/livez`, `/readyz` and `/startupz` for whoever starts containers."""

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

from alembic.script import ScriptDirectory
from flask import Blueprint, Response, current_app
from flask.typing import ResponseReturnValue
from flask_login import current_user
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from vulsweb import metrics
from vulsweb.extensions import db

bp = Blueprint("monitoring", __name__)


@bp.get("/metrics")
def show() -> ResponseReturnValue:
    """Show the metrics to a token or a signed-in user."""
    if not current_user.is_authenticated:
        headers = {"WWW-Authenticate": 'Bearer realm="Vuls Web"'}
        return Response("Send a token: Authorization: Bearer TOKEN\n", 401, headers, mimetype="text/plain")
    return Response(
        metrics.text(version("vulsweb"), datetime.now(UTC)), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def live() -> ResponseReturnValue:
    """Answer that the process is alive, without asking anything."""
    return Response("ok", mimetype="text/plain")


def ready() -> ResponseReturnValue:
    """Answer whether the database answers and has the schema of this version."""
    try:
        found = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError:
        db.session.rollback()
        return Response("PostgreSQL does not answer, or has no schema yet.\n", 503, mimetype="text/plain")
    if found != _head(current_app.extensions["migrate"].directory):
        return Response("The database is being migrated.\n", 503, mimetype="text/plain")
    return live()


@cache
def _head(directory: str) -> str | None:
    return ScriptDirectory(directory).get_current_head()
