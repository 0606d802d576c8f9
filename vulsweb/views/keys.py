"""`/keys/` and `/known-hosts/`: SSH keys and trusted host keys."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import messages
from vulsweb.extensions import db
from vulsweb.models import AuditAction, HostKeyOffer, KnownHost
from vulsweb.ssh import keys as ssh_keys
from vulsweb.ssh import known_hosts, versions
from vulsweb.ssh.folder import SshFolder
from vulsweb.ssh.host_keys import HostRefused
from vulsweb.ssh.keys import KeyNameTaken, SshKey
from vulsweb.ssh.known_hosts import OfferClosed
from vulsweb.ssh.public_keys import KeyRefused
from vulsweb.views import live
from vulsweb.vuls.ssh.config import SshHost

log = logging.getLogger(__name__)
bp = Blueprint("keys", __name__)


@bp.get("/keys/")
@login_required
def index() -> str:
    """List the SSH keys, with forms to add one."""
    return _keys_page({}, "")


@bp.post("/keys/generate")
@login_required
def generate() -> ResponseReturnValue:
    """Generate a key."""
    name = request.form.get("name", "").strip()
    try:
        key = ssh_keys.generate(folder(), name)
    except (KeyRefused, KeyNameTaken) as error:
        return _keys_page({"generate": str(error)}, name), 422
    return _key_added(key)


@bp.post("/keys/")
@login_required
def upload() -> ResponseReturnValue:
    """Save a private key, pasted or uploaded as a file.

    It is never shown again.
    """
    name, file = request.form.get("name", "").strip(), request.files.get("file")
    if file is not None and file.filename:
        # One byte more than allowed, so that a longer file is rejected and not cut.
        private_key = file.stream.read(ssh_keys.LONGEST + 1).decode(errors="replace")
    else:
        private_key = request.form.get("private_key", "")
    try:
        key = ssh_keys.upload(folder(), name, private_key)
    except (KeyRefused, KeyNameTaken) as error:
        return _keys_page({"upload": str(error)}, name), 422
    return _key_added(key)


@bp.get("/keys/<name>/delete")
@login_required
def confirm_delete(name: str) -> str:
    """Ask for confirmation before a key is deleted."""
    key = _key_or_404(name)
    return render_template("keys/delete.html", key=key, hosts=versions.hosts_using_key(key.name))


@bp.post("/keys/<name>/delete")
@login_required
def delete(name: str) -> ResponseReturnValue:
    """Delete a key."""
    key = _key_or_404(name)
    ssh_keys.note(AuditAction.DELETED, key)
    ssh_keys.delete(folder(), key)
    db.session.commit()
    log.info("key %s: deleted by %s", key.name, current_user.name)
    flash(f"Key {key.name} deleted.", "success")
    return redirect(url_for("keys.index"), code=303)


@bp.get("/known-hosts/")
@login_required
def known() -> str:
    """List the known hosts, with forms to add one."""
    return _known_page({}, request.args)


@bp.post("/known-hosts/fetch")
@login_required
def fetch() -> ResponseReturnValue:
    """Start fetching a host's keys and redirect to their page."""
    now = datetime.now(UTC)
    try:
        offer = known_hosts.request_fetch(_hostname(), _port(), now=now, requested_by=current_user)
    except HostRefused as error:
        return _known_page({"fetch": str(error)}, request.form), 422
    db.session.commit()
    messages.send_key_fetch(offer.id)
    return redirect(url_for("keys.offer", offer_id=offer.id), code=303)


@bp.post("/known-hosts/paste")
@login_required
def paste() -> ResponseReturnValue:
    """Read pasted host keys and redirect to the page that shows them."""
    now, lines = datetime.now(UTC), request.form.get("lines", "")
    try:
        offer = known_hosts.offer_pasted(_hostname(), _port(), lines, now=now, requested_by=current_user)
    except (HostRefused, KeyRefused) as error:
        return _known_page({"paste": str(error)}, request.form), 422
    db.session.commit()
    return redirect(url_for("keys.offer", offer_id=offer.id), code=303)


@bp.get("/known-hosts/offers/<int:offer_id>")
@login_required
def offer(offer_id: int) -> str:
    """Show a host's keys with their fingerprints, to compare and accept."""
    return render_template("keys/offer.html", **_offer_context(_offer_or_404(offer_id)))


@bp.get("/known-hosts/offers/<int:offer_id>/live")
@login_required
def offer_part(offer_id: int) -> Response:
    """Return the host's keys when they have been fetched."""
    context = _offer_context(_offer_or_404(offer_id))
    return live.fragment("keys/_offer.html", str(context.pop("seen")), **context)


@bp.post("/known-hosts/offers/<int:offer_id>/accept")
@login_required
def accept(offer_id: int) -> ResponseReturnValue:
    """Accept the host keys that were shown."""
    found = _offer_or_404(offer_id)
    changed_too, now = "changed_too" in request.form, datetime.now(UTC)
    try:
        known_hosts.accept(found, folder(), changed_too=changed_too, now=now, accepted_by=current_user)
    except OfferClosed as error:
        db.session.rollback()
        context = _offer_context(_offer_or_404(offer_id))
        return render_template("keys/offer.html", error=str(error), **context), 422
    db.session.commit()
    log.info("host keys of %s port %d: accepted by %s", found.hostname, found.port, current_user.name)
    flash(f"{found.hostname} is now trusted.", "success")
    return redirect(url_for("keys.known"), code=303)


@bp.get("/known-hosts/<int:known_host_id>/remove")
@login_required
def confirm_remove(known_host_id: int) -> str:
    """Ask for confirmation before a known host is removed."""
    found = _known_or_404(known_host_id)
    using = [host.alias for host in _hosts() if host.known_as.lower() == found.place]
    return render_template("keys/remove.html", known=found, hosts=using)


@bp.post("/known-hosts/<int:known_host_id>/remove")
@login_required
def remove(known_host_id: int) -> ResponseReturnValue:
    """Remove the keys of a known host."""
    found = _known_or_404(known_host_id)
    known_hosts.remove(found, folder(), now=datetime.now(UTC), removed_by=current_user)
    place = found.place
    db.session.commit()
    log.info("host keys of %s: removed by %s", place, current_user.name)
    flash(f"{place} removed from known hosts.", "success")
    return redirect(url_for("keys.known"), code=303)


def folder() -> SshFolder:
    """Return the managed SSH folder."""
    return SshFolder(current_app.config["SSH_FOLDER"])


def _key_added(key: SshKey) -> ResponseReturnValue:
    ssh_keys.note(AuditAction.ADDED, key)
    db.session.commit()
    log.info("key %s %s: added by %s", key.name, key.public.fingerprint, current_user.name)
    flash(f'Key "{key.name}" saved. Add its public key to your hosts.', "success")
    return redirect(url_for("keys.index"), code=303)


def _keys_page(errors: dict[str, str], name: str) -> str:
    keys, hosts = ssh_keys.all_keys(folder()), _hosts()
    used_by = {key.name: [host.alias for host in hosts if key.name in host.identity_files] for key in keys}
    # Show the name again only if it is valid: someone may have pasted a private key into the field.
    name = name if ssh_keys.is_name(name) else ""
    return render_template("keys/index.html", keys=keys, used_by=used_by, errors=errors, name=name)


def _known_page(errors: dict[str, str], values: Mapping[str, str]) -> str:
    accepted = known_hosts.accepted()
    trusted = {known.place for known in accepted}
    return render_template(
        "keys/known_hosts.html",
        accepted=[(known, known_hosts.public_key(known)) for known in accepted],
        missing=[host for host in _hosts() if host.known_as.lower() not in trusted],
        errors=errors,
        hostname=values.get("hostname", "")[:253],
        port=values.get("port", "22")[:5],
    )


def _offer_context(found: HostKeyOffer) -> dict[str, Any]:
    known_hosts.expire(found, datetime.now(UTC))
    db.session.commit()
    keys = known_hosts.offered_keys(found)
    return {
        "offer": found,
        "keys": keys,
        "dropped": known_hosts.keys_to_drop(found) if keys else [],
        "changed": any(each.state == "changed" for each in keys),
        "seen": live.fingerprint(found.finished_at, found.accepted_at),
    }


def _hosts() -> list[SshHost]:
    return versions.hosts_of(versions.latest())


def _hostname() -> str:
    return request.form.get("hostname", "").strip()


def _port() -> int:
    text = request.form.get("port", "").strip() or "22"
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0


def _key_or_404(name: str) -> SshKey:
    return ssh_keys.get(folder(), name) or abort(404)


def _offer_or_404(offer_id: int) -> HostKeyOffer:
    return known_hosts.get_offer(offer_id) or abort(404)


def _known_or_404(known_host_id: int) -> KnownHost:
    return known_hosts.get(known_host_id) or abort(404)
