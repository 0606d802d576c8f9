"""Known hosts: the host keys that a person accepted. ssh talks to nobody else; checking is never off.

The table is the truth and the file is written from it, whole, each time. The file is put in place before the
transaction is committed: when it cannot be written, nothing was accepted. Should the process die between the
two, the next change, or the next start (`restore`), brings the file back to what the table says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.models import HostKeyOffer, KeySource, KnownHost, User
from vulsweb.ssh import folder as ssh_folder
from vulsweb.ssh import host_keys
from vulsweb.ssh.folder import NewFile, SshFolder
from vulsweb.ssh.public_keys import PublicKey

# A worker that has not come to it by then will not.
PATIENCE = timedelta(seconds=60)
OFFERS_KEPT = timedelta(days=1)
NOBODY_ASKED = "No worker took this up. See whether the worker and Redis run, then fetch again."
_HEADER = "# Written by Vuls Web: the host keys that a person accepted. Changes made here are lost.\n"


class OfferClosed(ValueError):
    """The keys cannot be accepted as things stand; the message says why."""


@dataclass(frozen=True)
class OfferedKey:
    """A key that a host is said to have, beside the one that it was known by."""

    key: PublicKey
    before: PublicKey | None

    @property
    def state(self) -> str:
        """Return `new`, `known` or `changed`.

        A key of another type than the accepted one is a change as well: who stands between us and the host
        would choose that.
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
    """Return the key itself."""
    return PublicKey(known.key_type, known.key)


def ask(hostname: str, port: int, *, now: datetime, requested_by: User | None) -> HostKeyOffer:
    """Note that a host shall be asked for its keys; raise HostRefused for what is not a host."""
    hostname, port = host_keys.check_host(hostname, port)
    return _offer(hostname, port, KeySource.FETCHED, now, requested_by)


def paste(hostname: str, port: int, lines: str, *, now: datetime, requested_by: User | None) -> HostKeyOffer:
    """Take keys that a person has; raise HostRefused or KeyRefused for what cannot be used."""
    hostname, port = host_keys.check_host(hostname, port)
    keys = host_keys.read_lines(lines, hostname, port)
    offer = _offer(hostname, port, KeySource.PASTED, now, requested_by)
    fill(offer, keys, now)
    return offer


def fill(offer: HostKeyOffer, keys: Sequence[PublicKey], now: datetime) -> None:
    """Note the keys of the host."""
    offer.keys = [{"type": key.type, "base64": key.base64} for key in keys]
    offer.finished_at = now


def fail(offer: HostKeyOffer, error: str, now: datetime) -> None:
    """Note why there are no keys."""
    offer.error, offer.finished_at = error, now


def give_up(offer: HostKeyOffer, now: datetime) -> None:
    """End an offer that no worker has taken up for a minute."""
    if offer.finished_at is None and offer.requested_at < now - PATIENCE:
        fail(offer, NOBODY_ASKED, now)


def status(offer: HostKeyOffer) -> str:
    """Return `pending`, `failed`, `ready` or `accepted`."""
    if offer.finished_at is None:
        return "pending"
    if offer.error is not None:
        return "failed"
    return "ready" if offer.accepted_at is None else "accepted"


def offered(offer: HostKeyOffer) -> list[OfferedKey]:
    """Return the keys of an offer, each beside what is accepted for its host now, of its type if there is."""
    before = {row.key_type: public_key(row) for row in _accepted_at(_place(offer)).values()}
    other = next(iter(before.values()), None)
    return [OfferedKey(key, before.get(key.type, other)) for key in _keys(offer)]


def dropped(offer: HostKeyOffer) -> list[PublicKey]:
    """Return the accepted keys of types that are not offered any more; accepting forgets them."""
    types = {key.type for key in _keys(offer)}
    return [public_key(row) for kind, row in _accepted_at(_place(offer)).items() if kind not in types]


def accept(
    offer: HostKeyOffer, folder: SshFolder, *, changed_too: bool, now: datetime, accepted_by: User
) -> list[KnownHost]:
    """Accept what was offered, in place of all that was accepted for this host before.

    Raise OfferClosed when there is nothing to accept, or a key has changed and `changed_too` does not say
    that the person has seen that.
    """
    _lock()
    db.session.refresh(offer, with_for_update=True)
    if not offer.keys or offer.accepted_at is not None:
        raise OfferClosed("There is nothing to accept here, or it has been accepted already.")
    keys = offered(offer)
    if any(each.state == "changed" for each in keys) and not changed_too:
        raise OfferClosed("A key has changed. Compare the fingerprints, and say that the new key is right.")
    kept = _accepted_at(_place(offer))
    stays = {each.key.type for each in keys if each.state == "known"}
    _remove([row for kind, row in kept.items() if kind not in stays], now, accepted_by)
    for each in keys:
        if each.key.type not in stays:
            db.session.add(_accepted(offer, each.key, now, accepted_by))
    offer.accepted_at = now
    _write(folder)
    return list(_accepted_at(_place(offer)).values())


def remove(known: KnownHost, folder: SshFolder, *, now: datetime, removed_by: User) -> list[KnownHost]:
    """Take back all keys of the host that `known` is of; scans of it fail until one is accepted again."""
    _lock()
    going = list(_accepted_at(known.place).values())
    _remove(going, now, removed_by)
    _write(folder)
    return going


def restore(folder: SshFolder) -> None:
    """Write the file again from the table."""
    _lock()
    _write(folder)


def _offer(
    hostname: str, port: int, source: KeySource, now: datetime, requested_by: User | None
) -> HostKeyOffer:
    db.session.execute(delete(HostKeyOffer).where(HostKeyOffer.requested_at < now - OFFERS_KEPT))
    offer = HostKeyOffer(
        hostname=hostname, port=port, source=source, requested_at=now, requested_by=requested_by, keys=[]
    )
    db.session.add(offer)
    db.session.flush()
    return offer


def _accepted(offer: HostKeyOffer, key: PublicKey, now: datetime, accepted_by: User) -> KnownHost:
    return KnownHost(
        place=_place(offer),
        hostname=offer.hostname,
        port=offer.port,
        key_type=key.type,
        key=key.base64,
        source=offer.source,
        accepted_at=now,
        accepted_by=accepted_by,
    )


def _accepted_at(place: str) -> Mapping[str, KnownHost]:
    query = select(KnownHost).where(KnownHost.place == place, KnownHost.removed_at.is_(None))
    return {row.key_type: row for row in db.session.scalars(query.order_by(KnownHost.key_type))}


def _place(offer: HostKeyOffer) -> str:
    return host_keys.place_of(offer.hostname, offer.port)


def _keys(offer: HostKeyOffer) -> list[PublicKey]:
    return [PublicKey(each["type"], each["base64"]) for each in offer.keys]


def _remove(rows: Sequence[KnownHost], now: datetime, removed_by: User) -> None:
    ids = [row.id for row in rows]
    # At once and not by the rows: the new key of a type must not meet the old one in the unique index.
    db.session.execute(
        update(KnownHost)
        .where(KnownHost.id.in_(ids))
        .values(removed_at=now, removed_by_id=removed_by.id)
        .execution_options(synchronize_session="fetch")
    )


def _lock() -> None:
    """Let one change at a time write the file, and each see what the one before committed."""
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.known_hosts'))"))


def _write(folder: SshFolder) -> None:
    db.session.flush()
    # Exactly three words a line: Vuls reads what `ssh-keygen -F` prints, and takes no comment.
    lines = [f"{row.place} {row.key_type} {row.key}\n" for row in accepted()]
    folder.make()
    ssh_folder.write(NewFile(folder.known_hosts, _HEADER + "".join(lines), ssh_folder.PUBLIC))
