"""The database tables, one file for each noun."""

from vulsweb.models.audit import AuditAction, AuditEntry, AuditKind, AuditWay
from vulsweb.models.connection_test import ConnectionTest
from vulsweb.models.finding import Finding
from vulsweb.models.heartbeat import Heartbeat
from vulsweb.models.host import Host
from vulsweb.models.idempotency import IdempotencyKey
from vulsweb.models.known_host import HostKeyOffer, KeySource, KnownHost
from vulsweb.models.notification import (
    Channel,
    Delivery,
    Event,
    EventKind,
    KnownAddress,
    PingKind,
    Rhythm,
    Rule,
    TaskPing,
    Trouble,
)
from vulsweb.models.result import Result
from vulsweb.models.run import LogChunk, Run, RunStatus, Trigger
from vulsweb.models.run_host import RunHost
from vulsweb.models.run_job import JobStatus, RunJob
from vulsweb.models.ssh_config import HostSync, SshConfigVersion
from vulsweb.models.task import Absence, OldDatabases, Overlap, ScheduledTask, TaskType
from vulsweb.models.user import ApiToken, Passkey, Role, Scope, SignInFailures, User, UserSession

__all__ = [
    "Absence",
    "ApiToken",
    "AuditAction",
    "AuditEntry",
    "AuditKind",
    "AuditWay",
    "Channel",
    "ConnectionTest",
    "Delivery",
    "Event",
    "EventKind",
    "Finding",
    "Heartbeat",
    "Host",
    "HostKeyOffer",
    "HostSync",
    "IdempotencyKey",
    "JobStatus",
    "KeySource",
    "KnownAddress",
    "KnownHost",
    "LogChunk",
    "OldDatabases",
    "Overlap",
    "Passkey",
    "PingKind",
    "Result",
    "Rhythm",
    "Role",
    "Rule",
    "Run",
    "RunHost",
    "RunJob",
    "RunStatus",
    "ScheduledTask",
    "Scope",
    "SignInFailures",
    "SshConfigVersion",
    "TaskPing",
    "TaskType",
    "Trigger",
    "Trouble",
    "User",
    "UserSession",
]
