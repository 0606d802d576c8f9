"""`/api`, which says where the documentation is, and `/api/docs`."""

from typing import Any

from flask import Blueprint, current_app, render_template, url_for
from flask_login import login_required

bp = Blueprint("docs", __name__)


@bp.get("/api", strict_slashes=False)
def root() -> dict[str, Any]:
    """Say where the documentation is."""
    return {
        "title": current_app.config["API_TITLE"],
        "version": current_app.config["API_VERSION"],
        "documentation": url_for("docs.show"),
        "openapi": url_for("api-docs.openapi_json"),
    }


@bp.get("/api/docs")
@login_required
def show() -> str:
    """Show the OpenAPI document; loads nothing from other hosts."""
    return render_template("api/docs.html")
