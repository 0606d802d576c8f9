"""`/api/keys` and `/api/known-hosts`: SSH keys, and the host keys that Vuls trusts."""

import logging
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, url_for
from flask_login import current_user
from werkzeug.exceptions import NotFound

from vulsweb import messages
from vulsweb.api.blueprint import Blueprint
from vulsweb.api.paging import page_of_list
from vulsweb.api.problems import problem
from vulsweb.api.schemas import PageQuery, Problem
from vulsweb.api.ssh_schemas import (
    AcceptIn,
    Force,
    KeyIn,
    KeyOut,
    KeyPage,
    KnownHostOut,
    KnownHostPage,
    NewKeyIn,
    OfferIn,
    OfferOut,
)
from vulsweb.extensions import db
from vulsweb.models import AuditAction, HostKeyOffer, KnownHost
from vulsweb.ssh import keys, known_hosts, versions
from vulsweb.ssh.folder import SshFolder
from vulsweb.ssh.host_keys import HostRefused
from vulsweb.ssh.keys import KeyNameTaken, SshKey
from vulsweb.ssh.known_hosts import OfferClosed
from vulsweb.ssh.public_keys import KeyRefused

log = logging.getLogger(__name__)
bp = Blueprint("api_keys", __name__, url_prefix="/api", description=__doc__)


@bp.get("/keys")
@bp.arguments(PageQuery, location="query")
@bp.response(200, KeyPage)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List the keys, by name. Only public parts are returned."""
    return page_of_list(keys.all_keys(_folder()), query["page"], query["per_page"])


@bp.post("/keys")
@bp.arguments(KeyIn)
@bp.response(201, KeyOut)
def upload(body: dict[str, Any]) -> SshKey:
    """Upload a private key without a passphrase. It is never returned."""
    return _added(keys.upload(_folder(), body["name"], body["private_key"]))


@bp.post("/keys/generate")
@bp.arguments(NewKeyIn, example={"name": "scanner"})
@bp.response(201, KeyOut)
def generate(body: dict[str, Any]) -> SshKey:
    """Generate an Ed25519 key. Add its public key to your hosts."""
    return _added(keys.generate(_folder(), body["name"]))


@bp.delete("/keys/<name>")
@bp.arguments(Force, location="query")
@bp.response(204)
@bp.alt_response(409, schema=Problem, content_type="application/problem+json", description="Hosts use it.")
def delete(query: dict[str, Any], name: str) -> Response | None:
    """Delete a key. A key that hosts use needs `force=true`."""
    key = keys.get(_folder(), name)
    if key is None:
        raise NotFound("There is no key with this name.")
    using = versions.hosts_using_key(key.name)
    if using and not query["force"]:
        return problem(
            409, "Conflict", f"Hosts use this key: {', '.join(using[:20])}. Send force=true to delete it."
        )
    keys.note(AuditAction.DELETED, key)
    keys.delete(_folder(), key)
    db.session.commit()
    log.info("key %s: deleted by %s", key.name, current_user.name)
    return None


@bp.get("/known-hosts")
@bp.arguments(PageQuery, location="query")
@bp.response(200, KnownHostPage)
def known(query: dict[str, Any]) -> dict[str, Any]:
    """List the trusted host keys, by host."""
    return page_of_list(known_hosts.accepted(), query["page"], query["per_page"])


@bp.post("/known-hosts/offers")
@bp.arguments(OfferIn, example={"hostname": "web-1.example.com", "port": 22})
@bp.response(202, OfferOut)
def offer(body: dict[str, Any]) -> tuple[HostKeyOffer, dict[str, str]]:
    """Fetch the keys of a host, or enter them in `lines`.

    Poll the offer until its status is no longer `pending`, compare the fingerprints, then accept it.
    """
    hostname, port, now = body["hostname"], body["port"], datetime.now(UTC)
    if body["lines"] is None:
        made = known_hosts.request_fetch(hostname, port, now=now, requested_by=current_user)
    else:
        made = known_hosts.offer_pasted(hostname, port, body["lines"], now=now, requested_by=current_user)
    db.session.commit()
    if made.finished_at is None:
        messages.send_key_fetch(made.id)
    return made, {"Location": url_for("api_keys.show_offer", offer_id=made.id)}


@bp.get("/known-hosts/offers/<int:offer_id>")
@bp.response(200, OfferOut)
def show_offer(offer_id: int) -> HostKeyOffer:
    """Get the fetched keys of a host, compared with the trusted ones."""
    found = _offer_or_404(offer_id)
    known_hosts.expire(found, datetime.now(UTC))
    db.session.commit()
    return found


@bp.post("/known-hosts/offers/<int:offer_id>/accept")
@bp.arguments(AcceptIn, example={"accept_changed": False})
@bp.response(200, KnownHostOut(many=True))
def accept(body: dict[str, Any], offer_id: int) -> list[KnownHost]:
    """Trust exactly these keys of the host. Changed keys need `accept_changed`."""
    found, changed_too = _offer_or_404(offer_id), body["accept_changed"]
    kept = known_hosts.accept(
        found, _folder(), changed_too=changed_too, now=datetime.now(UTC), accepted_by=current_user
    )
    db.session.commit()
    log.info("host keys of %s port %d: accepted by %s", found.hostname, found.port, current_user.name)
    return kept


@bp.delete("/known-hosts/<int:known_host_id>")
@bp.response(204)
def remove(known_host_id: int) -> None:
    """Stop trusting the host of this key: removes all its keys."""
    found = known_hosts.get(known_host_id)
    if found is None:
        raise NotFound(f"There is no accepted host key {known_host_id}.")
    place = found.place
    known_hosts.remove(found, _folder(), now=datetime.now(UTC), removed_by=current_user)
    db.session.commit()
    log.info("host keys of %s: removed by %s", place, current_user.name)


@bp.errorhandler(KeyRefused)
def key_refused(error: KeyRefused) -> Response:
    """Answer 422 for an invalid key, without quoting the key."""
    db.session.rollback()
    return problem(422, "Unprocessable Entity", str(error))


@bp.errorhandler(HostRefused)
def host_refused(error: HostRefused) -> Response:
    """Answer 422 for an invalid host."""
    db.session.rollback()
    return problem(422, "Unprocessable Entity", "Some fields are wrong.", {"hostname": [str(error)]})


@bp.errorhandler(KeyNameTaken)
@bp.errorhandler(OfferClosed)
def conflict(error: Exception) -> Response:
    """Answer 409 for a name in use or a closed offer."""
    db.session.rollback()
    return problem(409, "Conflict", str(error))


def _added(key: SshKey) -> SshKey:
    keys.note(AuditAction.ADDED, key)
    db.session.commit()
    log.info("key %s %s: added by %s", key.name, key.public.fingerprint, current_user.name)
    return key


def _offer_or_404(offer_id: int) -> HostKeyOffer:
    found = known_hosts.get_offer(offer_id)
    if found is None:
        raise NotFound(f"There are no offered host keys {offer_id}.")
    return found


def _folder() -> SshFolder:
    return SshFolder(current_app.config["SSH_FOLDER"])
