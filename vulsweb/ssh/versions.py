"""Versions of the SSH configuration, and the files written from them.

Saving: check, add the version, write both files, COMMIT (by the caller), then send a message to the worker.

- Files come before the commit. If a disk is full or a folder is not writable, nothing is saved and the
  person reads why.
- If the process dies between files and commit, the files are complete and safe, since they were checked.
  `file_differs` then tells the page, and saving again repairs it.
- The message comes last, because a worker must not get a sync that it cannot see yet. The sweep sends a lost
  message again.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.hosts import sync_requests
from vulsweb.models import Host, HostSync, SshConfigVersion, Trigger, User
from vulsweb.ssh import folder as ssh_folder
from vulsweb.ssh import keys
from vulsweb.ssh.folder import NewFile, SshFolder
from vulsweb.vuls import config_toml
from vulsweb.vuls.config_toml import ConfigTomlError, Plan
from vulsweb.vuls.ssh import config
from vulsweb.vuls.ssh.config import SshConfigError, SshHost
from vulsweb.vuls.ssh.lines import Refusal
from vulsweb.vuls.ssh.proxy import jump_hosts

LONGEST_NOTE = 200
_NAMES_SHOWN = 10
_BASE64 = re.compile("[A-Za-z0-9+/=]*")
_PRIVATE = "PRIVATE KEY-----"
_NO_PRIVATE_KEYS = "This is a private key, and every version is stored and shown. Add it under Keys instead."


class Outdated(Exception):
    """A save based on an older version; nothing was saved."""

    def __init__(self, latest: SshConfigVersion | None) -> None:
        super().__init__("Somebody else saved the SSH configuration in the meantime. Nothing was saved.")
        self.latest = latest


class NotWritten(Exception):
    """Files that could not be written; the message says why."""


@dataclass(frozen=True)
class Paths:
    """The paths of the files."""

    vuls_config: Path
    folder: SshFolder
    share_connections: bool

    @property
    def sockets(self) -> Path | None:
        """Return the folder for the sockets of shared connections, or None."""
        return self.folder.sockets if self.share_connections else None


@dataclass(frozen=True)
class Saved:
    """The result of saving: version, changes of config.toml, and sync."""

    version: SshConfigVersion
    plan: Plan
    sync: HostSync


class _AnyName(Collection[str]):
    """Contains every key name, to read versions whose keys were deleted."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def latest() -> SshConfigVersion | None:
    """Return the latest version, or None before the first."""
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
    """Return everything wrong with `content`, by line."""
    hidden = [
        Refusal(number, "(not shown)", _NO_PRIVATE_KEYS)
        for number, line in enumerate(content.split("\n"), start=1)
        if _PRIVATE in line
    ]
    return hidden or config.check(content, keys=_key_names(folder))


def without_refused(content: str, folder: SshFolder) -> tuple[str, list[Refusal]]:
    """Return the content without what `check` refuses, and the removed lines."""
    hidden, kept, inside = [], [], False
    for number, line in enumerate(content.replace("\r\n", "\n").split("\n"), start=1):
        inside = "BEGIN" in line if _PRIVATE in line else inside and bool(_BASE64.fullmatch(line.strip()))
        if inside or _PRIVATE in line:
            hidden.append(Refusal(number, "(not shown)", _NO_PRIVATE_KEYS))
        # An empty line instead: all others keep their numbers.
        kept.append("" if inside or _PRIVATE in line else line)
    fixed, removed = config.without_refused("\n".join(kept), keys=_key_names(folder))
    return fixed, sorted([*hidden, *removed], key=lambda refusal: refusal.line)


def warnings(content: str, folder: SshFolder) -> list[str]:
    """Return what will not work in a text that `check` accepts."""
    names = [] if check(content, folder) else config.without_key(content)
    if not names:
        return []
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    advice = "Add the line IdentityFile NAME to each, or once under Host *; NAME is a key under Keys."
    return [f"No key is named for {shown}{more}, so ssh cannot sign in. {advice}"]


def plan(content: str, paths: Paths) -> Plan:
    """Return how saving `content` would change config.toml; raise the errors of `save`."""
    if refusals := check(content, paths.folder):
        raise SshConfigError(refusals)
    hosts = config.read(content, keys=_key_names(paths.folder))
    try:
        # Not read_text(): outside of our lines, line ends stay as they are.
        existing = paths.vuls_config.read_bytes().decode()
    except FileNotFoundError:
        existing = ""
    except (OSError, UnicodeDecodeError) as error:
        raise config_toml.ConfigTomlError(f"config.toml cannot be read: {error}.") from error
    return config_toml.plan(existing, hosts, ssh_config_path=str(paths.folder.config))


def hosts_of(version: SshConfigVersion | None) -> list[SshHost]:
    """Return the hosts of a version; none if it breaks today's rules."""
    try:
        return config.read(version.content, keys=_AnyName()) if version else []
    except SshConfigError:
        return []


def is_without_key(host: Host) -> bool:
    """Return whether a host or its jump host has no key."""
    version, alias = latest(), host.vuls_config.get("host")
    if version is None or "sshConfigPath" not in host.vuls_config:
        return False
    jumps = [found.proxy_jump for found in hosts_of(version) if found.alias == alias]
    names = {alias, *(hop for jump in jumps for hop in jump_hosts(jump))}
    return not names.isdisjoint(config.without_key(version.content))


def scanned_aliases(hosts: Collection[SshHost]) -> set[str]:
    """Return the names under which hosts of a version are scanned."""
    name = Host.vuls_config["host"].astext
    aliases = [host.alias for host in hosts]
    return set(db.session.scalars(select(name).where(name.in_(aliases), Host.retired_at.is_(None))))


def hosts_using_key(key_name: str) -> list[str]:
    """Return the hosts that use this key in the latest version."""
    return [host.alias for host in hosts_of(latest()) if key_name in host.identity_files]


def file_differs(version: SshConfigVersion | None, paths: Paths) -> bool:
    """Return whether ssh's file differs from the one generated from `version`."""
    if version is None:
        return False
    try:
        return paths.folder.config.read_text(encoding="utf-8") != _render(version.content, paths)
    except (OSError, UnicodeDecodeError, SshConfigError):
        return True


def save(
    content: str,
    paths: Paths,
    *,
    expected: int | None,
    note: str = "",
    now: datetime,
    saved_by: User | None,
    trigger: Trigger,
) -> Saved:
    """Add a version and write both files; the caller commits.

    `expected` is the number of the version that the person edited, 0 for none; None overwrites any version.
    Raises Outdated, SshConfigError, ConfigTomlError or NotWritten, and changes nothing then.
    """
    content = normalize(content)
    # One save at a time, including the files; the next one sees this one committed.
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.ssh_configs.save'))"))
    before = latest()
    number = before.number if before else 0
    if expected is not None and expected != number:
        raise Outdated(before)
    planned = plan(content, paths)
    version = before
    if version is None or version.content != content:
        # Some unprintable characters cannot be stored.
        note = "".join(c for c in " ".join(note.split()) if c.isprintable())[:LONGEST_NOTE]
        version = SshConfigVersion(
            number=number + 1, content=content, note=note, created_at=now, created_by=saved_by
        )
        db.session.add(version)
    sync = sync_requests.request(trigger, now=now, requested_by=saved_by, version_number=version.number)
    _write_files(content, planned, paths)
    return Saved(version, planned, sync)


def rewrite_if_moved(paths: Paths) -> bool:
    """Write both files again if config.toml names another SSH folder.

    So it is after the restore of a backup from another place. Return whether it was.
    """
    version = latest()
    try:
        sections = config_toml.parse_servers(paths.vuls_config.read_text(encoding="utf-8"))
        named = {section.section.get("sshConfigPath") for section in sections}
        if version is None or not named - {None} or str(paths.folder.config) in named:
            return False
        planned = plan(version.content, paths)
        if not planned.changed:
            return False  # those sections were written by hand
        _write_files(version.content, planned, paths)
    except (OSError, UnicodeDecodeError, ConfigTomlError, SshConfigError, NotWritten):
        return False  # the page says what is wrong
    return True


def _write_files(content: str, planned: Plan, paths: Paths) -> None:
    try:
        generated = _render(content, paths)
        paths.folder.make()
        paths.vuls_config.parent.mkdir(parents=True, exist_ok=True)
        ssh_folder.write(
            # In this order, so that config.toml never names hosts that ssh does not know yet.
            NewFile(paths.folder.config, generated, ssh_folder.PUBLIC),
            NewFile(paths.vuls_config, planned.new, ssh_folder.PUBLIC),
        )
    except OSError as error:
        raise NotWritten(f"Nothing was saved, because a file could not be written: {error}.") from error


def normalize(content: str) -> str:
    """Return the content with line ends as in files; browsers send CRLF."""
    lines = content.replace("\r\n", "\n").rstrip("\n ")
    return f"{lines}\n" if lines else ""


def diff(before: SshConfigVersion | None, after: str, name: str) -> str:
    """Return the unified diff from a version to a content."""
    lines = difflib.unified_diff(
        (before.content if before else "").splitlines(),
        after.splitlines(),
        f"version {before.number}" if before else "nothing",
        name,
        lineterm="",
    )
    return "\n".join(lines)


def paths_from(settings: Any) -> Paths:
    """Return the paths in the application's settings."""
    folder = SshFolder(settings["SSH_FOLDER"])
    return Paths(settings["VULS_CONFIG"], folder, settings["SSH_SHARE_CONNECTIONS"])


def _render(content: str, paths: Paths) -> str:
    return config.render(
        content, keys=_key_names(paths.folder), folder=paths.folder.path, sockets=paths.sockets
    )


def _key_names(folder: SshFolder) -> list[str]:
    return [key.name for key in keys.all_keys(folder)]
