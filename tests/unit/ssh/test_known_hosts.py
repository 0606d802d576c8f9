"""Known hosts: ssh trusts accepted keys only."""

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import NOW
from tests.support.sshd import Server, make_key, sshd
from vulsweb.extensions import db
from vulsweb.models import HostKeyOffer, KnownHost, User
from vulsweb.ssh import host_keys, known_hosts
from vulsweb.ssh.folder import SshFolder
from vulsweb.ssh.known_hosts import OfferClosed

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> SshFolder:
    return SshFolder(tmp_path / "ssh")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    public = make_key(tmp_path / "key").with_suffix(".pub").read_text()
    with sshd(tmp_path / "sshd", authorized=[public]) as running:
        yield running


def fetched(server: Server) -> HostKeyOffer:
    offer = known_hosts.request_fetch(server.address, server.port, now=NOW, requested_by=None)
    known_hosts.record_keys(offer, host_keys.scan(server.address, server.port), NOW)
    return offer


def accept(
    offer: HostKeyOffer, folder: SshFolder, admin: User, *, changed_too: bool = False
) -> list[KnownHost]:
    return known_hosts.accept(offer, folder, changed_too=changed_too, now=LATER, accepted_by=admin)


def signs_in(server: Server, folder: SshFolder, key: Path) -> bool:
    """Return whether the real ssh connects, with only our known hosts."""
    options = [
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={folder.known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "ConnectTimeout=10",
    ]
    words = [word for option in options for word in ("-o", option)]
    where = ["-F", "/dev/null", "-i", str(key), "-p", str(server.port), server.address]
    return subprocess.run(["ssh", *words, *where, "true"], capture_output=True).returncode == 0


def test_ssh_connects_only_after_the_key_is_accepted(
    app: Flask, admin: User, folder: SshFolder, server: Server, tmp_path: Path
) -> None:
    folder.make()
    before = signs_in(server, folder, tmp_path / "key")

    (known,) = accept(fetched(server), folder, admin)

    assert not before
    assert signs_in(server, folder, tmp_path / "key")
    assert (known.place, known.accepted_by, known.accepted_at) == (server.place, admin, LATER)


def test_vuls_finds_the_key_by_its_own_lookup(
    app: Flask, admin: User, folder: SshFolder, server: Server
) -> None:
    accept(fetched(server), folder, admin)

    # As Vuls v0.26.0 does in ensureSSH: three words, of which the last two are the key.
    done = subprocess.run(
        ["ssh-keygen", "-F", server.place, "-f", folder.known_hosts],
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if not line.startswith("# "))
    assert line.split(" ")[1:] == server.host_key.split(" ")


def test_a_changed_key_is_accepted_only_with_confirmation(
    app: Flask, admin: User, folder: SshFolder, server: Server, tmp_path: Path
) -> None:
    accept(fetched(server), folder, admin)
    old = server.fingerprint
    server.change_host_key()

    offer = fetched(server)
    (seen,) = known_hosts.offered_keys(offer)
    with pytest.raises(OfferClosed, match="has changed"):
        accept(offer, folder, admin)
    refused = signs_in(server, folder, tmp_path / "key")
    accept(offer, folder, admin, changed_too=True)

    assert seen.before is not None
    assert (seen.state, seen.before.fingerprint, seen.key.fingerprint) == ("changed", old, server.fingerprint)
    assert not refused
    assert signs_in(server, folder, tmp_path / "key")
    kept = db.session.query(KnownHost).order_by(KnownHost.id).all()
    assert [(row.removed_by_id, row.removed_at) for row in kept] == [(admin.id, LATER), (None, None)]


def test_a_known_key_keeps_its_first_acceptance(
    app: Flask, admin: User, folder: SshFolder, server: Server
) -> None:
    first = accept(fetched(server), folder, admin)

    offer = fetched(server)
    again = accept(offer, folder, admin)

    assert [each.state for each in known_hosts.offered_keys(offer)] == ["known"]
    assert [row.id for row in again] == [row.id for row in first]


def test_a_pasted_key_replaces_all_keys_of_the_host(
    app: Flask, admin: User, folder: SshFolder, tmp_path: Path
) -> None:
    for kind in ("ecdsa", "ed25519"):
        make_key(tmp_path / kind, "-t", kind)
        lines = (tmp_path / kind).with_suffix(".pub").read_text()
        accept(
            known_hosts.offer_pasted("DB-1", 22, lines, now=NOW, requested_by=admin),
            folder,
            admin,
            changed_too=True,
        )

    assert [row.key_type for row in known_hosts.accepted()] == ["ssh-ed25519"]
    assert folder.known_hosts.read_text().splitlines()[1:] == [f"db-1 {' '.join(lines.split()[:2])}"]


def test_a_key_of_another_type_is_a_change(
    app: Flask, admin: User, folder: SshFolder, tmp_path: Path
) -> None:
    lines = {
        kind: make_key(tmp_path / kind, "-t", kind).with_suffix(".pub").read_text()
        for kind in ("ecdsa", "rsa")
    }
    first = known_hosts.offer_pasted("db-1", 22, lines["ecdsa"], now=NOW, requested_by=admin)
    accept(first, folder, admin)

    offer = known_hosts.offer_pasted("db-1", 22, lines["rsa"], now=NOW, requested_by=admin)

    (seen,), (old,) = known_hosts.offered_keys(offer), known_hosts.keys_to_drop(offer)
    assert (seen.state, seen.before) == ("changed", old)
    assert old.type == "ecdsa-sha2-nistp256"


def test_an_offer_is_accepted_once(app: Flask, admin: User, folder: SshFolder, server: Server) -> None:
    offer = fetched(server)
    accept(offer, folder, admin)

    with pytest.raises(OfferClosed, match="accepted already"):
        accept(offer, folder, admin)


def test_a_removed_host_is_no_longer_trusted(
    app: Flask, admin: User, folder: SshFolder, server: Server, tmp_path: Path
) -> None:
    (known,) = accept(fetched(server), folder, admin)

    known_hosts.remove(known, folder, now=LATER, removed_by=admin)

    assert known_hosts.accepted() == []
    assert known_hosts.get(known.id) is None
    assert not signs_in(server, folder, tmp_path / "key")


def test_a_key_is_not_accepted_if_the_file_cannot_be_written(
    app: Flask, admin: User, folder: SshFolder, server: Server
) -> None:
    offer = fetched(server)
    db.session.commit()
    folder.path.write_text("a file where the folder should be")

    with pytest.raises(OSError, match="File exists"):
        accept(offer, folder, admin)
    db.session.rollback()

    assert known_hosts.accepted() == []


def test_the_file_is_restored_from_the_table(
    app: Flask, admin: User, folder: SshFolder, server: Server
) -> None:
    accept(fetched(server), folder, admin)
    written = folder.known_hosts.read_text()
    folder.known_hosts.write_text("web-1 ssh-ed25519 AAAA\n")

    known_hosts.restore(folder)

    assert folder.known_hosts.read_text() == written


def test_an_offer_that_no_worker_handles_expires_with_a_reason(app: Flask) -> None:
    offer = known_hosts.request_fetch("web-1", 22, now=NOW, requested_by=None)

    known_hosts.expire(offer, NOW + timedelta(seconds=59))
    early = offer.error
    known_hosts.expire(offer, NOW + timedelta(seconds=61))

    assert early is None
    assert offer.error == known_hosts.NO_WORKER


def test_offers_older_than_a_day_are_deleted(app: Flask) -> None:
    known_hosts.request_fetch("web-1", 22, now=NOW, requested_by=None)

    kept = known_hosts.request_fetch("web-2", 22, now=NOW + timedelta(days=1, seconds=1), requested_by=None)

    assert db.session.query(HostKeyOffer).all() == [kept]
