"""Connection tests: whether Vuls can scan a host, and what to mend where it cannot."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from vulsweb.executors import client as executor_client
from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.models import ConnectionTest, Host, RunStatus
from vulsweb.models.run import ACTIVE
from vulsweb.vuls.configtest import Explanation, explain

# Vuls itself gives up on a host after five minutes.
TIME_LIMIT = timedelta(minutes=10)
LOG_LENGTH = 100_000
TIMED_OUT = (
    "The test took longer than ten minutes. Check that worker and executor are running, then test again."
)
NO_OUTPUT = "The test left nothing to read; its log says more."


def start(host: Host, now: datetime) -> ConnectionTest:
    """Return the host's test that is going on, or a new one that waits to be asked for."""
    # Serialises two clicks, of which the second finds the test of the first.
    db.session.execute(select(Host.id).where(Host.id == host.id).with_for_update())
    going = db.session.scalars(
        select(ConnectionTest).where(ConnectionTest.host_id == host.id, ConnectionTest.status.in_(ACTIVE))
    ).first()
    if going is not None:
        return going
    job_id = executor_client.new_job_id()
    test = ConnectionTest(host=host, status=RunStatus.QUEUED, created_at=now, job_id=job_id, tests=[])
    db.session.add(test)
    db.session.flush()
    return test


def latest(host_id: int) -> ConnectionTest | None:
    """Return the host's newest test, or None."""
    return db.session.scalars(
        select(ConnectionTest)
        .where(ConnectionTest.host_id == host_id)
        .order_by(ConnectionTest.id.desc())
        .limit(1)
    ).first()


def active() -> Sequence[ConnectionTest]:
    """Return the tests that are not over, locked for this worker alone."""
    return db.session.scalars(
        select(ConnectionTest)
        .where(ConnectionTest.status.in_(ACTIVE))
        .order_by(ConnectionTest.id)
        .with_for_update(skip_locked=True)
    ).all()


def mark_running(test: ConnectionTest) -> None:
    """Note that the executor has the test's job."""
    test.status = RunStatus.RUNNING


def fail(test: ConnectionTest, reason: str, now: datetime) -> None:
    """Bring a test to an end that could not be made."""
    test.status, test.reason, test.completed_at = RunStatus.FAILED, reason, now


def expire(test: ConnectionTest, now: datetime) -> bool:
    """End a test that has taken too long, and say whether that was so."""
    if now - test.created_at < TIME_LIMIT:
        return False
    test.status, test.reason, test.completed_at = RunStatus.TIMEOUT, TIMED_OUT, now
    return True


def conclude(test: ConnectionTest, job: Job, log: str, now: datetime) -> None:
    """Keep what an ended job says; the test is a success when every server can be scanned."""
    test.tests, test.log, test.completed_at = job.tests, log[-LOG_LENGTH:], now
    fine = bool(job.tests) and all(each["outcome"] == "ok" for each in job.tests)
    test.status = RunStatus.SUCCESS if fine else RunStatus.FAILED
    test.reason = None if job.tests else job.error or NO_OUTPUT


def explanations(test: ConnectionTest) -> list[Explanation]:
    """Return what the test found of each server, in words."""
    return [explain(each) for each in test.tests]


def prune(before: datetime) -> None:
    """Forget tests that ended before a moment."""
    db.session.execute(delete(ConnectionTest).where(ConnectionTest.completed_at < before))
