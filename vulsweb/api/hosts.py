"""`/api/hosts`: the hosts, their tags, notes and connection tests."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app
from werkzeug.exceptions import Conflict, NotFound

from vulsweb import messages
from vulsweb.api import read_only
from vulsweb.api.blueprint import Blueprint
from vulsweb.api.host_schemas import (
    Confirm,
    ConnectionTestOut,
    Counted,
    HostIn,
    HostOut,
    HostPage,
    HostQuery,
    SyncOut,
)
from vulsweb.api.paging import page_of
from vulsweb.api.problems import problem
from vulsweb.extensions import db
from vulsweb.hosts import config_sync, connection_tests, inventory
from vulsweb.hosts.inventory import Filter, Show
from vulsweb.models import ConnectionTest, Host
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.results import Severity

bp = Blueprint("api_hosts", __name__, url_prefix="/api/hosts", description=__doc__)

EXAMPLE = {"tags": ["web", "production"], "notes": "Rack 7; ask operations before a full scan."}


@bp.get("")
@bp.arguments(HostQuery, location="query")
@bp.response(200, HostPage)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List the hosts, by name.

    Hosts that are no longer in config.toml have `retired_at` set. With `end_of_life=true`, only active hosts
    without any support left are listed; with `warned=true`, only those that Vuls warned of in their latest
    scan.
    """
    show = {True: Show.RETIRED, False: Show.ALL, None: None}[query["retired"]]
    if query["end_of_life"] or query["warned"]:
        show = Show.END_OF_LIFE if query["end_of_life"] else Show.WARNED
    wanted = Filter(
        show, query["search"], query["tag"], query["connection"], query["family"], query["release"]
    )
    page = page_of(inventory.query(wanted), query["page"], query["per_page"])
    return page | {"items": _counted(page["items"])}


@bp.post("/sync-from-vuls-config")
@bp.arguments(Confirm, location="query")
@bp.response(200, SyncOut)
def sync(query: dict[str, Any]) -> config_sync.SyncOutcome:
    """Sync the hosts with config.toml now.

    A file that does not parse changes nothing. One without most of the hosts answers 409, unless
    `confirm=true`.
    """
    config = current_app.config["VULS_CONFIG"]
    outcome = config_sync.sync_file(config, datetime.now(UTC), confirmed=query["confirm"])
    db.session.commit()
    return outcome


@bp.get("/<int:host_id>")
@bp.response(200, HostOut)
def show(host_id: int) -> Counted:
    """Get one host."""
    return _counted([_host_or_404(host_id)])[0]


@bp.patch("/<int:host_id>")
@bp.arguments(HostIn, example=EXAMPLE)
@bp.response(200, HostOut)
def describe(body: dict[str, Any], host_id: int) -> Counted:
    """Change a host's tags or notes."""
    host = _host_or_404(host_id)
    read_only.reject_changes(HostIn, lambda: _counted([host])[0])
    inventory.update_details(host, body)
    db.session.commit()
    return _counted([host])[0]


@bp.post("/<int:host_id>/connection-test")
@bp.response(202, ConnectionTestOut)
def test_connection(host_id: int) -> ConnectionTest:
    """Test whether Vuls can scan the host.

    If a test is already in progress, it is returned.
    """
    host = _host_or_404(host_id)
    if host.retired_at is not None:
        raise Conflict(f"{host.name} is no longer in config.toml.")
    test = connection_tests.start(host, datetime.now(UTC))
    db.session.commit()
    messages.send_connection_tests()
    return test


@bp.get("/<int:host_id>/connection-test")
@bp.response(200, ConnectionTestOut)
def show_connection_test(host_id: int) -> ConnectionTest:
    """Get the latest connection test of a host."""
    test = connection_tests.latest(_host_or_404(host_id).id)
    if test is None:
        raise NotFound(f"The connection to host {host_id} has not been tested yet.")
    return test


@bp.errorhandler(inventory.InvalidHost)
def invalid(error: inventory.InvalidHost) -> Response:
    """Answer 422 for invalid fields."""
    db.session.rollback()
    errors = {field: [sentence] for field, sentence in error.errors.items()}
    return problem(422, "Unprocessable Entity", "Some fields are wrong.", errors)


@bp.errorhandler(config_sync.RetiresMost)
def retires_most(error: config_sync.RetiresMost) -> Response:
    """Answer 409 for a sync that needs a confirmation."""
    db.session.rollback()
    return problem(409, "Conflict", f"{error} Send confirm=true to do it anyway.")


@bp.errorhandler(ConfigTomlError)
def unreadable(error: ConfigTomlError) -> Response:
    """Answer 422 for a config.toml that cannot be read."""
    db.session.rollback()
    return problem(422, "Unprocessable Entity", str(error))


def _host_or_404(host_id: int) -> Host:
    host = inventory.get(host_id)
    if host is None:
        raise NotFound(f"There is no host {host_id}.")
    return host


def _counted(hosts: Sequence[Host]) -> list[Counted]:
    """Count the open findings of all hosts with one query."""
    counts = inventory.open_counts([host.id for host in hosts])
    return [Counted(host, {each.value: counts[host.id].get(each, 0) for each in Severity}) for host in hosts]
