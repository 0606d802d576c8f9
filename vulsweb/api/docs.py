"""`/api/docs`: the API's document as a page to browse and try."""

from flask import Blueprint, render_template
from flask_login import login_required

bp = Blueprint("docs", __name__)


@bp.get("/api/docs")
@login_required
def show() -> str:
    """Show the OpenAPI document, without asking any other host."""
    return render_template("api/docs.html")
