"""`/hosts/ID/test`: tests whether Vuls can scan a host."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb import messages
from vulsweb.extensions import db
from vulsweb.hosts import connection_tests
from vulsweb.models import Host
from vulsweb.views import ansi, live

bp = Blueprint("connection_tests", __name__, url_prefix="/hosts/<int:host_id>/test")


@bp.post("")
@login_required
def start(host_id: int) -> ResponseReturnValue:
    """Start a connection test and redirect to its page."""
    host = host_or_404(host_id)
    if host.retired_at is not None:
        abort(409, f"{host.name} is no longer in config.toml.")
    connection_tests.start(host, datetime.now(UTC))
    db.session.commit()
    messages.send_connection_tests()
    return redirect(url_for("connection_tests.show", host_id=host.id), code=303)


@bp.get("")
@login_required
def show(host_id: int) -> ResponseReturnValue:
    """Show the latest test of a host."""
    return render_template("connection_tests/show.html", **_context(host_or_404(host_id)))


@bp.get("/status")
@login_required
def status(host_id: int) -> Response:
    """Return the latest test of a host when it has changed."""
    context = _context(host_or_404(host_id))
    seen = context.pop("seen")
    return live.fragment("connection_tests/_status.html", seen, **context)


def host_or_404(host_id: int) -> Host:
    """Return the host, or abort with 404."""
    return db.session.get(Host, host_id) or abort(404)


def _context(host: Host) -> dict[str, Any]:
    test = connection_tests.latest(host.id)
    return {
        "host": host,
        "test": test,
        "explanations": connection_tests.explanations(test) if test else [],
        "log": "\n".join(ansi.readable(line) for line in test.log.split("\n")) if test else "",
        "seen": live.fingerprint(test and (test.id, test.status, test.reason)),
    }
