"""`/api/docs`: the API documentation, to read and try out."""

from flask import Blueprint, render_template
from flask_login import login_required

bp = Blueprint("docs", __name__)


@bp.get("/api/docs")
@login_required
def show() -> str:
    """Show the OpenAPI document; loads nothing from other hosts."""
    return render_template("api/docs.html")
