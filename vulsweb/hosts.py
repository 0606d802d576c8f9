"""Hosts: kept in step with config.toml."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, text

from vulsweb.extensions import db
from vulsweb.models import Host
from vulsweb.vuls.config_toml import Server, parse_servers


@dataclass(frozen=True)
class SyncOutcome:
    """The names of the hosts that a sync touched, by what became of them."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def sync(config: str, now: datetime) -> SyncOutcome:
    """Make the hosts table say what `config` (config.toml) says; raise ConfigTomlError and change nothing.

    A host that vanished is retired, never deleted: its history stays. One that returns is itself again.
    """
    servers = parse_servers(config)
    # Two syncs at once would each insert the same new host.
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.hosts.sync'))"))
    known = {host.name: host for host in db.session.scalars(select(Host))}
    outcome = SyncOutcome()
    for server in servers:
        host = known.pop(server.name, None)
        if host is None:
            db.session.add(_new(server, now))
            outcome.created.append(server.name)
        else:
            (outcome.updated if _update(host, server, now) else outcome.unchanged).append(server.name)
    for host in known.values():
        if host.retired_at is None:
            host.retired_at = now
            outcome.retired.append(host.name)
    db.session.flush()
    return outcome


def scannable() -> Sequence[Host]:
    """Return the hosts that a task may scan, by name."""
    return db.session.scalars(select(Host).where(Host.retired_at.is_(None)).order_by(Host.name)).all()


def names(limit: int) -> Sequence[str]:
    """Return the names of the hosts in service, or none of them where there are more than `limit`."""
    query = select(Host.name).where(Host.retired_at.is_(None)).order_by(Host.name).limit(limit + 1)
    found = db.session.scalars(query).all()
    return found if len(found) <= limit else []


def _new(server: Server, now: datetime) -> Host:
    return Host(
        name=server.name,
        hostname=server.host,
        scan_modes=list(server.scan_modes),
        vuls_config=dict(server.section),
        created_at=now,
        synced_at=now,
    )


def _update(host: Host, server: Server, now: datetime) -> bool:
    before = (host.hostname, host.scan_modes, host.vuls_config, host.retired_at)
    after = (server.host, list(server.scan_modes), dict(server.section), None)
    host.synced_at = now
    host.hostname, host.scan_modes, host.vuls_config, host.retired_at = after
    return before != after
