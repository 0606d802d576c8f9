"""The SSH configuration that people keep: versions of it, and the two files that are written from it.

Saving goes: check, version row, both files, COMMIT (by the edge), message to the worker. The files come
before the commit, because in that order a failure harms least: when a disk is full or a folder closed,
nothing was saved and the person reads why; should the process die between files and commit, the files are
whole and safe (they were checked), `differs` tells the page that they are not those of the version in force,
and saving again mends that. The message goes last: a worker must never be handed a sync that it cannot see,
and one that is lost with Redis is sent again by the sweep.
"""

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.hosts import sync_requests
from vulsweb.models import HostSync, SshConfigVersion, Trigger, User
from vulsweb.ssh import folder as ssh_folder
from vulsweb.ssh import keys
from vulsweb.ssh.folder import NewFile, SshFolder
from vulsweb.vuls import config_toml
from vulsweb.vuls.config_toml import Plan
from vulsweb.vuls.ssh import config
from vulsweb.vuls.ssh.config import Refusal, SshConfigError, SshHost

LONGEST_NOTE = 200
_PRIVATE = "PRIVATE KEY-----"
_NO_PRIVATE_KEYS = "This is a private key, and the configuration is shown and kept. Add it on the page Keys."


class Outdated(Exception):
    """Somebody else saved meanwhile; nothing was kept."""

    def __init__(self, latest: SshConfigVersion | None) -> None:
        super().__init__("Somebody else saved the SSH configuration meanwhile; nothing was kept.")
        self.latest = latest


class NotWritten(Exception):
    """The files could not be written, so nothing was saved; the message says why."""


@dataclass(frozen=True)
class Places:
    """Where the files are."""

    vuls_config: Path
    folder: SshFolder
    share_connections: bool

    @property
    def sockets(self) -> Path | None:
        """Return the folder where ssh keeps the connections that Vuls' next commands share."""
        return self.folder.sockets if self.share_connections else None


@dataclass(frozen=True)
class Saved:
    """What saving did: the version in force, what became of config.toml, and the sync that follows."""

    version: SshConfigVersion
    plan: Plan
    sync: HostSync


class _AnyName(Collection[str]):
    """The keys' names as if every key were there: for reading a version whose keys have gone since."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def latest() -> SshConfigVersion | None:
    """Return the version in force, or None before the first was saved."""
    newest = select(SshConfigVersion).order_by(SshConfigVersion.number.desc()).limit(1)
    return db.session.scalars(newest).first()


def get(number: int) -> SshConfigVersion | None:
    """Return a version, or None."""
    return db.session.get(SshConfigVersion, number)


def history(limit: int) -> Sequence[SshConfigVersion]:
    """Return the latest versions, newest first."""
    query = select(SshConfigVersion).order_by(SshConfigVersion.number.desc()).limit(limit)
    return db.session.scalars(query.options(joinedload(SshConfigVersion.created_by))).all()


def check(content: str, folder: SshFolder) -> list[Refusal]:
    """Return all that is wrong with `content`, by line."""
    hidden = [
        Refusal(number, "(not shown)", _NO_PRIVATE_KEYS)
        for number, line in enumerate(content.split("\n"), start=1)
        if _PRIVATE in line
    ]
    return hidden or config.check(content, keys=_names(folder))


def plan(content: str, places: Places) -> Plan:
    """Return what saving `content` will do; raise SshConfigError or ConfigTomlError as saving would."""
    if refusals := check(content, places.folder):
        raise SshConfigError(refusals)
    found = config.read(content, keys=_names(places.folder))
    return config_toml.plan(_existing(places), found, ssh_config_path=str(places.folder.config))


def hosts_of(version: SshConfigVersion | None) -> list[SshHost]:
    """Return the hosts that a version names; one that our rules of today refuse names none."""
    try:
        return config.read(version.content, keys=_AnyName()) if version else []
    except SshConfigError:
        return []


def hosts_using(key_name: str) -> list[str]:
    """Return the aliases of the hosts that sign in with this key, by the version in force."""
    return [host.alias for host in hosts_of(latest()) if key_name in host.identity_files]


def differs(version: SshConfigVersion | None, places: Places) -> bool:
    """Say whether ssh reads another file than the version in force makes."""
    if version is None:
        return False
    try:
        return places.folder.config.read_text(encoding="utf-8") != _generated(version.content, places)
    except (OSError, UnicodeDecodeError, SshConfigError):
        return True


def save(
    content: str,
    places: Places,
    *,
    expected: int | None,
    note: str = "",
    now: datetime,
    saved_by: User | None,
    trigger: Trigger,
) -> Saved:
    """Make `content` the version in force and write both files; the caller commits, then sends the sync.

    `expected` is the number of the version that the person saw, 0 for none; None saves whatever came between.
    Raise Outdated, SshConfigError, ConfigTomlError or NotWritten, and nothing has changed.
    """
    content = tidy(content)
    # One save at a time, files included; the next one sees what this one committed.
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.ssh_configs.save'))"))
    before = latest()
    number = before.number if before else 0
    if expected is not None and expected != number:
        raise Outdated(before)
    planned = plan(content, places)
    version = before
    if version is None or version.content != content:
        version = SshConfigVersion(
            number=number + 1, content=content, note=_note(note), created_at=now, created_by=saved_by
        )
        db.session.add(version)
    sync = sync_requests.request(trigger, now=now, requested_by=saved_by, version_number=version.number)
    _write(content, planned, places)
    return Saved(version, planned, sync)


def tidy(content: str) -> str:
    """Return the content with line ends as files have them; browsers send others."""
    lines = content.replace("\r\n", "\n").rstrip("\n ")
    return f"{lines}\n" if lines else ""


def difference(before: SshConfigVersion | None, after: str, name: str) -> str:
    """Return the unified diff from a version to a content."""
    lines = difflib.unified_diff(
        (before.content if before else "").splitlines(),
        after.splitlines(),
        f"version {before.number}" if before else "nothing",
        name,
        lineterm="",
    )
    return "\n".join(lines)


def _note(text: str) -> str:
    # What cannot be printed can partly not be stored either.
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:LONGEST_NOTE]


def _write(content: str, planned: Plan, places: Places) -> None:
    try:
        generated = _generated(content, places)
        places.folder.make()
        places.vuls_config.parent.mkdir(parents=True, exist_ok=True)
        ssh_folder.write(
            # In this order: config.toml must not point to hosts that ssh does not know yet.
            NewFile(places.folder.config, generated, ssh_folder.PUBLIC),
            NewFile(places.vuls_config, planned.new, ssh_folder.PUBLIC),
        )
    except OSError as error:
        raise NotWritten(f"Nothing was saved, because a file could not be written: {error}.") from error


def _generated(content: str, places: Places) -> str:
    return config.generated(
        content, keys=_names(places.folder), folder=places.folder.path, sockets=places.sockets
    )


def _existing(places: Places) -> str:
    try:
        return places.vuls_config.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise config_toml.ConfigTomlError(f"config.toml cannot be read: {error}.") from error


def _names(folder: SshFolder) -> list[str]:
    return [key.name for key in keys.all_keys(folder)]


def places_of(settings: Any) -> Places:
    """Return the places that the application's settings name."""
    folder = SshFolder(settings["SSH_FOLDER"])
    return Places(settings["VULS_CONFIG"], folder, settings["SSH_SHARE_CONNECTIONS"])
