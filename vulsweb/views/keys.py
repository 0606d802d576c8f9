"""`/keys/` and `/known-hosts/`: what Vuls signs in with, and the hosts that it trusts."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import messages
from vulsweb.extensions import db
from vulsweb.models import HostKeyOffer, KnownHost
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
    """List the keys, and show how to add one."""
    return _keys_page({}, "")


@bp.post("/keys/generate")
@login_required
def generate() -> ResponseReturnValue:
    """Make a new key."""
    name = request.form.get("name", "").strip()
    try:
        key = ssh_keys.generate(folder(), name)
    except (KeyRefused, KeyNameTaken) as error:
        return _keys_page({"generate": str(error)}, name), 422
    return _added(key)


@bp.post("/keys/")
@login_required
def upload() -> ResponseReturnValue:
    """Keep a private key that was pasted or chosen as a file; it is never shown again."""
    name = request.form.get("name", "").strip()
    try:
        key = ssh_keys.upload(folder(), name, _private_text())
    except (KeyRefused, KeyNameTaken) as error:
        return _keys_page({"upload": str(error)}, name), 422
    return _added(key)


@bp.get("/keys/<name>/delete")
@login_required
def confirm_delete(name: str) -> str:
    """Ask before deleting a key, and say which hosts sign in with it."""
    key = _key_or_404(name)
    return render_template("keys/delete.html", key=key, hosts=versions.hosts_using_key(key.name))


@bp.post("/keys/<name>/delete")
@login_required
def delete(name: str) -> ResponseReturnValue:
    """Delete a key."""
    key = _key_or_404(name)
    ssh_keys.delete(folder(), key)
    log.info("key %s: deleted by %s", key.name, current_user.name)
    flash(f"The key {key.name} is deleted.", "success")
    return redirect(url_for("keys.index"), code=303)


@bp.get("/known-hosts/")
@login_required
def known() -> str:
    """List the hosts that are trusted, and show how to add one."""
    return _known_page({}, request.args)


@bp.post("/known-hosts/fetch")
@login_required
def fetch() -> ResponseReturnValue:
    """Have a host asked for its keys, and go to see them."""
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
    """Take keys that a person has of a host, and show them for comparison."""
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
    """Show the keys of a host with their fingerprints, for a person to compare and accept."""
    return render_template("keys/offer.html", **_offered(_offer_or_404(offer_id)))


@bp.get("/known-hosts/offers/<int:offer_id>/live")
@login_required
def offer_part(offer_id: int) -> Response:
    """Return the keys once the host has told them."""
    shown = _offered(_offer_or_404(offer_id))
    return live.fragment("keys/_offer.html", str(shown.pop("seen")), **shown)


@bp.post("/known-hosts/offers/<int:offer_id>/accept")
@login_required
def accept(offer_id: int) -> ResponseReturnValue:
    """Trust the host with the keys that were shown."""
    found = _offer_or_404(offer_id)
    changed_too, now = "changed_too" in request.form, datetime.now(UTC)
    try:
        known_hosts.accept(found, folder(), changed_too=changed_too, now=now, accepted_by=current_user)
    except OfferClosed as error:
        db.session.rollback()
        return render_template("keys/offer.html", error=str(error), **_offered(_offer_or_404(offer_id))), 422
    db.session.commit()
    log.info("host keys of %s port %d: accepted by %s", found.hostname, found.port, current_user.name)
    flash(f"{found.hostname} is trusted with the keys that you saw.", "success")
    return redirect(url_for("keys.known"), code=303)


@bp.get("/known-hosts/<int:known_host_id>/remove")
@login_required
def confirm_remove(known_host_id: int) -> str:
    """Ask before a host is not trusted any more."""
    found = _known_or_404(known_host_id)
    using = [host.alias for host in _hosts() if host.known_as.lower() == found.place]
    return render_template("keys/remove.html", known=found, hosts=using)


@bp.post("/known-hosts/<int:known_host_id>/remove")
@login_required
def remove(known_host_id: int) -> ResponseReturnValue:
    """Take the trust in a host back."""
    found = _known_or_404(known_host_id)
    known_hosts.remove(found, folder(), now=datetime.now(UTC), removed_by=current_user)
    place = found.place
    db.session.commit()
    log.info("host keys of %s: removed by %s", place, current_user.name)
    flash(f"The keys of {place} are removed.", "success")
    return redirect(url_for("keys.known"), code=303)


def folder() -> SshFolder:
    """Return the managed folder."""
    return SshFolder(current_app.config["SSH_FOLDER"])


def _added(key: SshKey) -> ResponseReturnValue:
    log.info("key %s %s: added by %s", key.name, key.public.fingerprint, current_user.name)
    flash(f"The key {key.name} is kept. Put its public part on the hosts that it shall open.", "success")
    return redirect(url_for("keys.index"), code=303)


def _private_text() -> str:
    chosen = request.files.get("file")
    if chosen is not None and chosen.filename:
        # One more than is taken, so that what is too long is seen to be.
        return chosen.stream.read(ssh_keys.LONGEST + 1).decode(errors="replace")
    return request.form.get("private_key", "")


def _keys_page(errors: dict[str, str], name: str) -> str:
    keys, hosts = ssh_keys.all_keys(folder()), _hosts()
    users = {key.name: [host.alias for host in hosts if key.name in host.identity_files] for key in keys}
    # Whatever is in the name's field is shown again only if it can be a name: a key may be pasted there.
    shown = name if ssh_keys.is_name(name) else ""
    return render_template("keys/index.html", keys=keys, users=users, errors=errors, name=shown)


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


def _offered(found: HostKeyOffer) -> dict[str, Any]:
    known_hosts.expire(found, datetime.now(UTC))
    db.session.commit()
    keys = known_hosts.offered_keys(found)
    return {
        "offer": found,
        "keys": keys,
        "dropped": known_hosts.keys_to_drop(found) if keys else [],
        "changed": any(each.state == "changed" for each in keys),
        "seen": live.key(found.finished_at, found.accepted_at),
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
