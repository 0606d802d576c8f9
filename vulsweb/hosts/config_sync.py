"""Hosts: kept in step with config.toml."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from vulsweb.extensions import db
from vulsweb.hosts import pauses
from vulsweb.models import Host
from vulsweb.vuls import servers
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.servers import Server

# A statement's worth: 50,000 hosts are 25 statements, not 50,000, and none of them is endless.
BATCH = 2000
# The first line of the ssh_config that we generate, and how much of one is read at most.
GENERATED_MARK = "# Written by Vuls Web"
LARGEST_SSH_CONFIG = 16 * 1024 * 1024

_INSERT = """
    INSERT INTO hosts
        (name, entry, hostname, connection, scan_modes, vuls_config, tags, notes, created_at, synced_at)
    SELECT name, entry, hostname, connection, scan_modes, vuls_config, '{}', '', :now, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS new(
        name text, entry text, hostname text, connection text, scan_modes jsonb, vuls_config jsonb
    )
"""
_UPDATE = """
    UPDATE hosts SET
        entry = new.entry, hostname = new.hostname, connection = new.connection, scan_modes = new.scan_modes,
        vuls_config = new.vuls_config, retired_at = NULL, problem = NULL, parent_id = NULL
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS new(
        name text, entry text, hostname text, connection text, scan_modes jsonb, vuls_config jsonb
    )
    WHERE hosts.name = new.name AND (
        hosts.entry, hosts.hostname, hosts.connection, hosts.scan_modes, hosts.vuls_config, hosts.retired_at,
        hosts.problem, hosts.parent_id
    ) IS DISTINCT FROM (
        new.entry, new.hostname, new.connection, new.scan_modes, new.vuls_config, NULL, NULL, NULL
    )
    RETURNING hosts.name
"""
_SEEN = """
    UPDATE hosts SET synced_at = :now
    FROM unnest(CAST(:names AS text[])) AS new(name) WHERE hosts.name = new.name
"""
_RETIRE = """
    UPDATE hosts SET retired_at = :now
    WHERE retired_at IS NULL AND parent_id IS NULL
        AND NOT EXISTS (SELECT FROM unnest(CAST(:names AS text[])) AS new(name) WHERE new.name = hosts.name)
        AND entry <> ALL(CAST(:wrong AS text[]))
    RETURNING name
"""
_RETIRE_CONTAINERS = """
    UPDATE hosts SET retired_at = :now FROM hosts AS parent
    WHERE hosts.parent_id = parent.id AND hosts.retired_at IS NULL AND parent.retired_at IS NOT NULL
    RETURNING hosts.name
"""
_MARK = """
    UPDATE hosts SET problem = wrong.message
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS wrong(entry text, message text)
    WHERE hosts.entry = wrong.entry AND hosts.problem IS DISTINCT FROM wrong.message
"""


@dataclass(frozen=True)
class SyncOutcome:
    """The names of the hosts that a sync touched, by what became of them, and what is wrong in the file."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # a sentence for each entry that cannot be used

    @property
    def summary(self) -> str:
        """Return the outcome in a line."""
        named = ("created", "updated", "retired", "unchanged")
        told = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in named)
        entries = "entry" if len(self.errors) == 1 else "entries"
        wrong = f"; {len(self.errors):,} {entries} cannot be used" if self.errors else ""
        return f"Hosts: {told}{wrong}."


def sync_file(path: Path, now: datetime) -> SyncOutcome:
    """Do what `sync` does with the config.toml at `path`; one that cannot be read changes nothing either."""
    try:
        config = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigTomlError("There is no config.toml yet.") from error
    except UnicodeDecodeError as error:
        raise ConfigTomlError(_not_text(error)) from error
    except OSError as error:
        raise ConfigTomlError(f"config.toml cannot be read: {error.strerror}.") from error
    return sync(config, now)


def sync(config: str, now: datetime) -> SyncOutcome:
    """Make the hosts table say what `config` (config.toml) says; raise ConfigTomlError and change nothing.

    A host that vanished is retired, never deleted: its history stays, and its tasks pause. One that returns
    is itself again, and so are they. An entry that is wrong leaves its hosts as they were.
    """
    reading = servers.read(config, _our_ssh_config)
    # Two syncs at once would each insert the same new host.
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.hosts.sync'))"))
    # In one order everywhere (conclusions lock hosts, too), so that nobody waits in a circle.
    locked = select(Host.name).order_by(Host.id).with_for_update(key_share=True)
    known = set(db.session.scalars(locked))
    names = [server.name for server in reading.servers]
    created = [server for server in reading.servers if server.name not in known]
    for rows in _batches(created):
        db.session.execute(text(_INSERT), {"rows": rows, "now": now})
    updated: set[str] = set()
    for rows in _batches(server for server in reading.servers if server.name in known):
        updated.update(db.session.scalars(text(_UPDATE), {"rows": rows}))
    db.session.execute(text(_SEEN), {"now": now, "names": names})
    wrong = {error.entry: error.message for error in reading.errors}
    retired = _retire(names, list(wrong), now)
    _mark(wrong)
    pauses.update_pauses(now)
    db.session.expire_all()
    return SyncOutcome(
        created=[server.name for server in created],
        updated=[name for name in names if name in updated],
        retired=retired,
        unchanged=[name for name in names if name in known and name not in updated],
        errors=list(wrong.values()),
    )


def _our_ssh_config(path: str) -> str | None:
    """Return the ssh_config at `path` if it is one that we generated: others are not for us to understand."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(LARGEST_SSH_CONFIG)
    except (OSError, ValueError):
        return None
    return text if text.startswith(GENERATED_MARK) else None


def _retire(names: Sequence[str], wrong: Sequence[str], now: datetime) -> list[str]:
    gone = db.session.scalars(text(_RETIRE), {"now": now, "names": names, "wrong": wrong}).all()
    inside = db.session.scalars(text(_RETIRE_CONTAINERS), {"now": now}).all()
    return sorted([*gone, *inside])


def _mark(wrong: Mapping[str, str]) -> None:
    if wrong:
        rows = [{"entry": entry, "message": message} for entry, message in wrong.items()]
        db.session.execute(text(_MARK), {"rows": json.dumps(rows)})


def _batches(chosen: Iterable[Server]) -> Iterator[str]:
    rows = [_row(server) for server in chosen]
    for start in range(0, len(rows), BATCH):
        yield json.dumps(rows[start : start + BATCH])


def _row(server: Server) -> dict[str, Any]:
    return {
        "name": server.name,
        "entry": server.entry,
        "hostname": server.address,
        "connection": server.connection.value,
        "scan_modes": server.scan_modes,
        "vuls_config": server.section,
    }


def _not_text(error: UnicodeDecodeError) -> str:
    before = error.object[: error.start]
    line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
    return f"config.toml, line {line}, column {column}: this is not UTF-8 text."
