"""Which tables and columns the trail watches; no others."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import inspect

from vulsweb.extensions import Base
from vulsweb.models import (
    ApiToken,
    AuditAction,
    AuditKind,
    Channel,
    Host,
    KnownHost,
    Passkey,
    Rule,
    ScheduledTask,
    SshConfigVersion,
    User,
)

TEXT_LENGTH = 2000
LIST_LENGTH = 100

# Action, kind, id and name of the object, fields before and after.
Change = tuple[AuditAction, AuditKind, str, str, Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Watched:
    """What the trail notes of one table."""

    kind: AuditKind
    fields: Collection[str]
    # Columns whose values are never noted, only whether there is one; with the name of the field.
    secrets: Mapping[str, str] = field(default_factory=dict)
    # The column that is set when the row counts as deleted.
    ended: str = ""
    only_changes: bool = False
    object_id: Callable[[Any], str] = lambda row: str(row.id)
    name: Callable[[Any], str] = lambda row: row.name


TABLES: Mapping[type[Base], Watched] = {
    ScheduledTask: Watched(
        AuditKind.TASK,
        (
            "name",
            "description",
            "task_type",
            "scan_type",
            "database_type",
            "host",
            "host_tag",
            "cron_expression",
            "timezone",
            "active",
            "overlap",
            "absence",
            "database_hours",
            "old_databases",
        ),
        secrets={"ping_url": "ping_address"},
    ),
    # A sync adds and retires hosts, with one entry for all; scans add containers.
    Host: Watched(AuditKind.HOST, ("tags", "notes"), only_changes=True),
    SshConfigVersion: Watched(
        AuditKind.SSH_CONFIG,
        ("note",),
        object_id=lambda version: str(version.number),
        name=lambda version: f"Version {version.number}",
    ),
    KnownHost: Watched(
        AuditKind.KNOWN_HOST,
        ("key_type", "key", "source"),
        ended="removed_at",
        name=lambda known: known.place,
    ),
    User: Watched(
        AuditKind.USER,
        ("name", "role", "timezone", "must_change_password", "subject"),
        secrets={
            "password_hash": "password",
            "totp_secret": "second_factor",
            "recovery_hashes": "recovery_codes",
        },
        ended="deleted_at",
    ),
    Passkey: Watched(AuditKind.PASSKEY, ("site",)),
    ApiToken: Watched(AuditKind.TOKEN, ("user", "scope", "expires_at")),
    Channel: Watched(
        AuditKind.CHANNEL,
        (
            "name",
            "active",
            "timezone",
            "quiet_from",
            "quiet_until",
            "digest",
            "digest_minute",
            "digest_weekday",
            "digest_when_empty",
        ),
        secrets={"url": "address"},
    ),
    Rule: Watched(
        AuditKind.RULE,
        ("kinds", "task", "tag", "host", "severity", "repeat_hours"),
        # Beside its channel's own entries.
        object_id=lambda rule: str(rule.channel_id),
        name=lambda rule: rule.channel.name,
    ),
}


def is_watched(row: object) -> bool:
    """Return whether the trail notes changes of this row."""
    return type(row) in TABLES


def about(row: Base) -> Watched:
    """Return what the trail notes of this row's table."""
    return TABLES[type(row)]


def addition(row: Any) -> Change | None:
    """Return the entry for a new row."""
    if about(row).only_changes:
        return None
    return _change(AuditAction.ADDED, row, {}, _without_empty(fields_of(row)))


def deletion(row: Any) -> Change | None:
    """Return the entry for a deleted row."""
    return _change(AuditAction.DELETED, row, _without_empty(fields_of(row)), {})


def change(row: Any) -> Change | None:
    """Return the entry for changes, if a watched column has changed."""
    watched, attributes = about(row), inspect(row).attrs
    before, after = {}, {}
    for column, name in _columns(watched):
        history = attributes[column].history
        if not history.has_changes():
            continue
        old, new = (values[0] if values else None for values in (history.deleted, history.added))
        if column in watched.secrets:
            old, new = _secret(old), "changed" if old and isinstance(new, str) else _secret(new)
        before[name], after[name] = plain(old), plain(new)
    if watched.ended and any(attributes[watched.ended].history.added):
        return _change(AuditAction.DELETED, row, _without_empty(fields_of(row) | before), {})
    return _change(AuditAction.CHANGED, row, before, after) if after else None


def fields_of(row: Any) -> dict[str, Any]:
    """Return the noted fields of a row as it is now."""
    watched, values = about(row), inspect(row).dict
    return {
        name: _secret(values.get(column)) if column in watched.secrets else plain(values.get(column))
        for column, name in _columns(watched)
    }


def plain_fields(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return fields with values that JSON has."""
    return {name: plain(value) for name, value in (fields or {}).items()}


def plain(value: Any) -> Any:
    """Return a value for JSON, of a bounded size; rows become names."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in list(value.items())[:LIST_LENGTH]}
    if isinstance(value, list | tuple):
        more = [f"and {len(value) - LIST_LENGTH:,} more"] if len(value) > LIST_LENGTH else []
        return [plain(each) for each in value[:LIST_LENGTH]] + more
    if isinstance(value, Base):
        return about(value).name(value)
    text = str(value)
    return text if len(text) <= TEXT_LENGTH else f"{text[:TEXT_LENGTH]}…"


def _change(action: AuditAction, row: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    watched = about(row)
    return action, watched.kind, watched.object_id(row), watched.name(row), before, after


def _columns(watched: Watched) -> list[tuple[str, str]]:
    """Return the watched columns, with the names of their fields."""
    return [*((column, column) for column in watched.fields), *watched.secrets.items()]


def _secret(value: str | list[str] | None) -> str:
    """Return whether there is a secret, or how many."""
    if isinstance(value, list):
        return f"{len(value)} left"
    return "set" if value else "not set"


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}
