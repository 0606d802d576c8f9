"""Known hosts: the accepted host keys. ssh connects to no other host.

The table is the source of truth; each change writes the whole known_hosts file from it. The file is written
before the transaction commits: if that fails, nothing is accepted. If the process dies in between, the next
change or the next start (`restore`) writes the file again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import joinedload

from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditKind, HostKeyOffer, KeySource, KnownHost, User
from vulsweb.ssh import folder as ssh_folder
from vulsweb.ssh import host_keys
from vulsweb.ssh.folder import NewFile, SshFolder
from vulsweb.ssh.public_keys import PublicKey

# After this long, no worker will fetch the keys any more.
FETCH_TIMEOUT = timedelta(seconds=60)
OFFERS_KEPT = timedelta(days=1)
NO_WORKER = "No worker fetched the keys. Check that the worker and Redis run, then fetch again."
_HEADER = "# Written by Vuls Web: the host keys that a person accepted. Changes made here are lost.\n"


class OfferClosed(ValueError):
    """Offered keys that cannot be accepted now; the message says why."""


@dataclass(frozen=True)
class OfferedKey:
    """A key offered for a host, and the one accepted now."""

    key: PublicKey
    before: PublicKey | None

    @property
    def state(self) -> str:
        """Return `new`, `known` or `changed`.

        A key of another type than the accepted one is a change, too: an attacker in between us and the host
        would offer that.
        """
        if self.before is None:
            return "new"
        return "known" if self.before == self.key else "changed"


def accepted() -> Sequence[KnownHost]:
    """Return the accepted keys, by host."""
    order = (KnownHost.hostname, KnownHost.port, KnownHost.key_type)
    query = select(KnownHost).where(KnownHost.removed_at.is_(None)).order_by(*order)
    return db.session.scalars(query.options(joinedload(KnownHost.accepted_by))).all()


def get(known_host_id: int) -> KnownHost | None:
    """Return an accepted key, or None."""
    found = db.session.get(KnownHost, known_host_id)
    return found if found is not None and found.removed_at is None else None


def get_offer(offer_id: int) -> HostKeyOffer | None:
    """Return an offer, or None."""
    return db.session.get(HostKeyOffer, offer_id)


def public_key(known: KnownHost) -> PublicKey:
    """Return the key of a row."""
    return PublicKey(known.key_type, known.key)


def request_fetch(hostname: str, port: int, *, now: datetime, requested_by: User | None) -> HostKeyOffer:
    """Add an offer for a worker to fetch; raise HostRefused."""
    hostname, port = host_keys.check_host(hostname, port)
    return _add_offer(hostname, port, KeySource.FETCHED, now, requested_by)


def offer_pasted(
    hostname: str, port: int, lines: str, *, now: datetime, requested_by: User | None
) -> HostKeyOffer:
    """Add an offer with pasted keys; raise HostRefused or KeyRefused."""
    hostname, port = host_keys.check_host(hostname, port)
    keys = host_keys.read_lines(lines, hostname, port)
    offer = _add_offer(hostname, port, KeySource.PASTED, now, requested_by)
    record_keys(offer, keys, now)
    return offer


def record_keys(offer: HostKeyOffer, keys: Sequence[PublicKey], now: datetime) -> None:
    """Finish an offer with the host's keys."""
    offer.keys = [{"type": key.type, "base64": key.base64} for key in keys]
    offer.finished_at = now


def record_error(offer: HostKeyOffer, error: str, now: datetime) -> None:
    """Finish an offer with the reason why there are no keys."""
    offer.error, offer.finished_at = error, now


def expire(offer: HostKeyOffer, now: datetime) -> None:
    """Finish an offer that no worker has handled for a minute."""
    if offer.finished_at is None and offer.requested_at < now - FETCH_TIMEOUT:
        record_error(offer, NO_WORKER, now)


def status(offer: HostKeyOffer) -> str:
    """Return `pending`, `failed`, `ready` or `accepted`."""
    if offer.finished_at is None:
        return "pending"
    if offer.error is not None:
        return "failed"
    return "ready" if offer.accepted_at is None else "accepted"


def offered_keys(offer: HostKeyOffer) -> list[OfferedKey]:
    """Return the offered keys, each with the accepted key it replaces.

    The accepted key is the one of the same type, or else of another type.
    """
    before = {row.key_type: public_key(row) for row in _accepted_for(_place(offer)).values()}
    other = next(iter(before.values()), None)
    return [OfferedKey(key, before.get(key.type, other)) for key in _keys(offer)]


def keys_to_drop(offer: HostKeyOffer) -> list[PublicKey]:
    """Return the accepted keys that accepting the offer drops: types not offered."""
    types = {key.type for key in _keys(offer)}
    return [public_key(row) for kind, row in _accepted_for(_place(offer)).items() if kind not in types]


def accept(
    offer: HostKeyOffer, folder: SshFolder, *, changed_too: bool, now: datetime, accepted_by: User
) -> list[KnownHost]:
    """Accept the offered keys; drop all other keys of the host.

    Raise OfferClosed when there is nothing to accept, or when a key has changed and `changed_too`, the
    confirmation that the person has seen that, is false.
    """
    _lock()
    db.session.refresh(offer, with_for_update=True)
    if not offer.keys or offer.accepted_at is not None:
        raise OfferClosed("There is nothing to accept, or it has been accepted already.")
    keys = offered_keys(offer)
    if any(each.state == "changed" for each in keys) and not changed_too:
        raise OfferClosed(
            "A key has changed. Compare the fingerprints, and confirm that the new key is right."
        )
    place = _place(offer)
    known_types = {each.key.type for each in keys if each.state == "known"}
    _remove([row for kind, row in _accepted_for(place).items() if kind not in known_types], now, accepted_by)
    for each in keys:
        if each.key.type not in known_types:
            row = KnownHost(
                place=place,
                hostname=offer.hostname,
                port=offer.port,
                key_type=each.key.type,
                key=each.key.base64,
                source=offer.source,
                accepted_at=now,
                accepted_by=accepted_by,
            )
            db.session.add(row)
    offer.accepted_at = now
    _write(folder)
    return list(_accepted_for(place).values())


def remove(known: KnownHost, folder: SshFolder, *, now: datetime, removed_by: User) -> list[KnownHost]:
    """Remove all accepted keys of a host; its scans fail afterwards."""
    _lock()
    rows = list(_accepted_for(known.place).values())
    _remove(rows, now, removed_by)
    _write(folder)
    return rows


def restore(folder: SshFolder) -> None:
    """Write the known_hosts file again from the table."""
    _lock()
    _write(folder)


def _add_offer(
    hostname: str, port: int, source: KeySource, now: datetime, requested_by: User | None
) -> HostKeyOffer:
    db.session.execute(delete(HostKeyOffer).where(HostKeyOffer.requested_at < now - OFFERS_KEPT))
    offer = HostKeyOffer(
        hostname=hostname, port=port, source=source, requested_at=now, requested_by=requested_by, keys=[]
    )
    db.session.add(offer)
    db.session.flush()
    place = host_keys.known_hosts_name(hostname, port)
    trail.note(AuditAction.STARTED, AuditKind.KNOWN_HOST, offer.id, place, after={"source": source})
    return offer


def _accepted_for(place: str) -> Mapping[str, KnownHost]:
    query = select(KnownHost).where(KnownHost.place == place, KnownHost.removed_at.is_(None))
    return {row.key_type: row for row in db.session.scalars(query.order_by(KnownHost.key_type))}


def _place(offer: HostKeyOffer) -> str:
    return host_keys.known_hosts_name(offer.hostname, offer.port)


def _keys(offer: HostKeyOffer) -> list[PublicKey]:
    return [PublicKey(each["type"], each["base64"]) for each in offer.keys]


def _remove(rows: Sequence[KnownHost], now: datetime, removed_by: User) -> None:
    ids = [row.id for row in rows]
    for row in rows:
        trail.note_deleted(row)
    # By one UPDATE now: SQLAlchemy would insert first, and the unique index allows one key of a type.
    db.session.execute(
        update(KnownHost)
        .where(KnownHost.id.in_(ids))
        .values(removed_at=now, removed_by_id=removed_by.id)
        .execution_options(synchronize_session="fetch")
    )


def _lock() -> None:
    """Allow one change at a time; each sees the previous committed."""
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.known_hosts'))"))


def _write(folder: SshFolder) -> None:
    db.session.flush()
    # Exactly three words in a line, no comment: Vuls reads what `ssh-keygen -F` prints.
    lines = [f"{row.place} {row.key_type} {row.key}\n" for row in accepted()]
    folder.make()
    ssh_folder.write(NewFile(folder.known_hosts, _HEADER + "".join(lines), ssh_folder.PUBLIC))
