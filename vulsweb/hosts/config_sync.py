"""Host sync: makes the hosts table match config.toml."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import select, text

from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.hosts import pauses
from vulsweb.models import AuditAction, AuditKind, Host
from vulsweb.vuls import servers
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.servers import ParsedServers, Server

# Hosts per statement: 50,000 hosts take 25 statements of a bounded size.
log = logging.getLogger(__name__)

BATCH = 2000
# Of fewer hosts, most are soon gone on purpose.
FEWEST_HOSTS = 4
# The first line of a generated ssh_config, and the most characters to read of one.
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
_SET_SYNCED_AT = """
    UPDATE hosts SET synced_at = :now
    FROM unnest(CAST(:names AS text[])) AS new(name) WHERE hosts.name = new.name
"""
_RETIRE = """
    UPDATE hosts SET retired_at = :now
    WHERE retired_at IS NULL AND parent_id IS NULL
        AND NOT EXISTS (SELECT FROM unnest(CAST(:names AS text[])) AS new(name) WHERE new.name = hosts.name)
        AND entry <> ALL(CAST(:invalid_entries AS text[]))
    RETURNING name
"""
_RETIRE_CONTAINERS = """
    UPDATE hosts SET retired_at = :now FROM hosts AS parent
    WHERE hosts.parent_id = parent.id AND hosts.retired_at IS NULL AND parent.retired_at IS NOT NULL
    RETURNING hosts.name
"""
_SET_PROBLEMS = """
    UPDATE hosts SET problem = invalid.message
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS invalid(entry text, message text)
    WHERE hosts.entry = invalid.entry AND hosts.problem IS DISTINCT FROM invalid.message
"""


class RetiresMost(ConfigTomlError):
    """A sync would retire most hosts, and needs a confirmation."""

    def __init__(self, names: Sequence[str], total: int, cause: str | None) -> None:
        hosts = f"{len(names):,} of {total:,} hosts"
        cause = cause or "config.toml no longer has most of the hosts."
        super().__init__(f"{cause} A sync would retire {hosts} and pause their tasks. No host was changed.")
        self.names, self.total = names, total


@dataclass(frozen=True)
class SyncOutcome:
    """The outcome of a host sync.

    It holds the names of the changed and the unchanged hosts, and the errors of the file.
    """

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # a sentence for each entry that cannot be used

    @property
    def summary(self) -> str:
        """Return the outcome in one sentence."""
        names = ("created", "updated", "retired", "unchanged")
        counts = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in names)
        entries = "entry" if len(self.errors) == 1 else "entries"
        errors = f"; {len(self.errors):,} {entries} cannot be used" if self.errors else ""
        return f"Hosts: {counts}{errors}."


def sync_file(path: Path, now: datetime, *, confirmed: bool = False) -> SyncOutcome:
    """Sync the hosts with the config.toml at `path`; see `sync`."""
    try:
        config = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigTomlError("There is no config.toml yet.") from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise ConfigTomlError(
            f"config.toml, line {line}, column {column}: this is not UTF-8 text."
        ) from error
    except OSError as error:
        raise ConfigTomlError(f"config.toml cannot be read: {error.strerror}.") from error
    outcome = sync(config, now, confirmed=confirmed)
    log.info("host sync: %s", outcome.summary)
    return outcome


def sync(config: str, now: datetime, *, confirmed: bool = False) -> SyncOutcome:
    """Make the hosts table match `config`, the text of config.toml.

    Raise ConfigTomlError and change nothing if Vuls would reject the whole file, and its kind RetiresMost
    if fewer than half of the hosts would remain: rather a mistake than a wish, unless it is `confirmed`.

    A host that is gone from the file is retired, not deleted: its history stays and its tasks are paused.
    When it returns, it becomes active again and its tasks resume. The hosts of an invalid entry stay as they
    are.
    """
    reading = servers.read(config, _read_generated_ssh_config, _has_key)
    # Two syncs at the same time would insert the same new host.
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.hosts.sync'))"))
    if not confirmed:
        _reject_retiring_most(reading)
    # Hosts are locked in the order of their ids everywhere, which prevents deadlocks.
    locked = select(Host.name).order_by(Host.id).with_for_update(key_share=True)
    known = set(db.session.scalars(locked))
    names = [server.name for server in reading.servers]
    created = [server for server in reading.servers if server.name not in known]
    for rows in _batches(created):
        db.session.execute(text(_INSERT), {"rows": rows, "now": now})
    updated: set[str] = set()
    for rows in _batches(server for server in reading.servers if server.name in known):
        updated.update(db.session.scalars(text(_UPDATE), {"rows": rows}))
    db.session.execute(text(_SET_SYNCED_AT), {"now": now, "names": names})
    problems = {error.entry: error.message for error in reading.errors}
    parameters = {"now": now, "names": names, "invalid_entries": list(problems)}
    retired = [*db.session.scalars(text(_RETIRE), parameters)]
    retired += db.session.scalars(text(_RETIRE_CONTAINERS), {"now": now})
    if problems:
        rows = json.dumps([{"entry": entry, "message": message} for entry, message in problems.items()])
        db.session.execute(text(_SET_PROBLEMS), {"rows": rows})
    pauses.update_pauses(now)
    db.session.expire_all()
    outcome = SyncOutcome(
        created=[server.name for server in created],
        updated=[name for name in names if name in updated],
        retired=sorted(retired),
        unchanged=[name for name in names if name in known and name not in updated],
        errors=list(problems.values()),
    )
    done = {name: hosts for name, hosts in asdict(outcome).items() if hosts and name != "unchanged"}
    if done:
        trail.note(AuditAction.SYNCED, AuditKind.HOSTS, "", outcome.summary, after=done)
    return outcome


def _reject_retiring_most(reading: ParsedServers) -> None:
    active = select(Host.name, Host.entry).where(Host.retired_at.is_(None), Host.parent_id.is_(None))
    hosts = db.session.execute(active.order_by(Host.name)).all()
    # By section: a network that shrinks is still there.
    sections = {server.entry for server in reading.servers} | {error.entry for error in reading.errors}
    gone = [name for name, entry in hosts if entry not in sections]
    if reading.no_server and not gone:
        raise ConfigTomlError(f"{reading.no_server} No host was changed.")
    if reading.no_server or (len(hosts) >= FEWEST_HOSTS and len(gone) * 2 > len(hosts)):
        raise RetiresMost(gone, len(hosts), reading.no_server)


def _read_generated_ssh_config(path: str) -> str | None:
    """Return the ssh_config at `path` if Vuls Web generated it.

    Return None for any other file, and for one that cannot be read.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            content = file.read(LARGEST_SSH_CONFIG)
    except (OSError, ValueError):
        return None
    return content if content.startswith(GENERATED_MARK) else None


def _has_key(path: str) -> bool:
    """Return whether Vuls may find a key at `path`."""
    try:
        return not Path(path).is_absolute() or Path(path).exists()
    except (OSError, ValueError):
        return True


def _batches(chosen: Iterable[Server]) -> Iterator[str]:
    """Yield the rows of the servers as JSON, BATCH at a time."""
    rows = [
        {
            "name": server.name,
            "entry": server.entry,
            "hostname": server.address,
            "connection": server.connection.value,
            "scan_modes": server.scan_modes,
            "vuls_config": server.section,
        }
        for server in chosen
    ]
    for start in range(0, len(rows), BATCH):
        yield json.dumps(rows[start : start + BATCH])
