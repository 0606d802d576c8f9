"""Connection tests: whether Vuls can scan a host, and what to fix."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from vulsweb.audit import trail
from vulsweb.executors import client as executor_client
from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditKind, ConnectionTest, Host, RunStatus
from vulsweb.models.run import ACTIVE
from vulsweb.vuls.configtest import Explanation, explain

# Longer than the five minutes after which Vuls itself gives up on a host.
TIME_LIMIT = timedelta(minutes=10)
LOG_LENGTH = 100_000
TIMED_OUT = "Timed out after 10 minutes. Check that worker and executor are running, then test again."
NO_OUTPUT = "The test gave no results; see its log."


def start(host: Host, now: datetime) -> ConnectionTest:
    """Return the host's test in progress, or a new queued one."""
    # Serializes two clicks, so that the second finds the test of the first.
    db.session.execute(select(Host.id).where(Host.id == host.id).with_for_update())
    in_progress = db.session.scalars(
        select(ConnectionTest).where(ConnectionTest.host_id == host.id, ConnectionTest.status.in_(ACTIVE))
    ).first()
    if in_progress is not None:
        return in_progress
    job_id = executor_client.new_job_id()
    test = ConnectionTest(host=host, status=RunStatus.QUEUED, created_at=now, job_id=job_id, tests=[])
    db.session.add(test)
    db.session.flush()
    trail.note(AuditAction.TESTED, AuditKind.HOST, host.id, host.name)
    return test


def latest(host_id: int) -> ConnectionTest | None:
    """Return the host's newest test, or None."""
    return db.session.scalars(
        select(ConnectionTest)
        .where(ConnectionTest.host_id == host_id)
        .order_by(ConnectionTest.id.desc())
        .limit(1)
    ).first()


def claim_active() -> Sequence[ConnectionTest]:
    """Lock and return the unfinished tests.

    Tests that another worker has locked are left out.
    """
    return db.session.scalars(
        select(ConnectionTest)
        .where(ConnectionTest.status.in_(ACTIVE))
        .order_by(ConnectionTest.id)
        .with_for_update(skip_locked=True)
    ).all()


def mark_running(test: ConnectionTest) -> None:
    """Record that the executor accepted the test's job."""
    test.status = RunStatus.RUNNING


def fail(test: ConnectionTest, reason: str, now: datetime) -> None:
    """End a test that could not be run."""
    test.status, test.reason, test.completed_at = RunStatus.FAILED, reason, now


def expire_if_late(test: ConnectionTest, now: datetime) -> bool:
    """End a test that is past its time limit.

    Return whether it was.
    """
    if now - test.created_at < TIME_LIMIT:
        return False
    test.status, test.reason, test.completed_at = RunStatus.TIMEOUT, TIMED_OUT, now
    return True


def conclude(test: ConnectionTest, job: Job, log: str, now: datetime, *, without_key: bool) -> None:
    """Store the results of the test's ended job.

    The test succeeds if there are results and every server can be scanned. `without_key`: the SSH
    configuration names no key for the host.
    """
    test.tests = [entry | {"without_key": without_key} for entry in job.tests]
    test.log, test.completed_at = log[-LOG_LENGTH:], now
    passed = bool(job.tests) and all(each.passed for each in explanations(test))
    test.status = RunStatus.SUCCESS if passed else RunStatus.FAILED
    test.reason = None if job.tests else job.error or NO_OUTPUT
    for entry in job.tests:
        if entry.get("server") == test.host.name and entry.get("family"):
            test.host.set_system(str(entry["family"]), str(entry.get("release") or ""))


def explanations(test: ConnectionTest) -> list[Explanation]:
    """Return the test's result for each server, in words."""
    day = (test.completed_at or test.created_at).date()
    return [explain(server, day) for server in test.tests]


def prune(before: datetime) -> None:
    """Delete the tests that ended before a given time."""
    db.session.execute(delete(ConnectionTest).where(ConnectionTest.completed_at < before))
