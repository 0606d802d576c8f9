"""Claiming, cancelling and ending runs, and finding stranded ones."""

from datetime import timedelta

from flask import Flask

from tests.conftest import NOW
from tests.unit.runs.support import LATER, MakeTask, race
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, Trigger
from vulsweb.runs import jobs, lifecycle, starting


def test_four_workers_at_once_claim_a_run_once(app: Flask, make_task: MakeTask) -> None:
    run_id = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW).id
    db.session.commit()

    answers = race(app, lambda: lifecycle.claim(run_id, NOW) is not None)

    assert sorted(answers) == [False, False, False, True]


def test_a_claim_that_a_dead_worker_left_can_be_taken_after_a_minute(make_task: MakeTask) -> None:
    run = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(run.id, NOW)
    db.session.commit()

    early = lifecycle.claim(run.id, NOW + timedelta(seconds=59))
    late = lifecycle.claim(run.id, NOW + timedelta(seconds=61))

    assert early is None
    assert late is not None
    assert late.started_at == NOW


def test_a_run_that_has_ended_does_not_change(running: Run) -> None:
    lifecycle.end(running, RunStatus.FAILED, "first", NOW)

    lifecycle.end(running, RunStatus.SUCCESS, None, LATER)
    lifecycle.cancel(running, LATER)

    assert (running.status, running.reason, running.completed_at) == (RunStatus.FAILED, "first", NOW)


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_by_the_executor(
    make_task: MakeTask, running: Run
) -> None:
    queued = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)

    lifecycle.cancel(queued, LATER)
    lifecycle.cancel(running, LATER)

    assert queued.status is RunStatus.CANCELLED
    assert (running.status, running.cancel_requested_at) == (RunStatus.RUNNING, LATER)


def test_stranded_runs_are_found(make_task: MakeTask, running: Run) -> None:
    queued = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    claimed = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(claimed.id, NOW)
    db.session.commit()

    soon, later = NOW + timedelta(seconds=30), NOW + timedelta(seconds=90)

    assert (list(lifecycle.stranded(soon)), list(jobs.without_reply("main", soon))) == ([], [])
    assert list(lifecycle.stranded(later)) == [queued.id, claimed.id]
    assert list(jobs.without_reply("main", later)) == [(running.jobs[0].id, running.id)]
    assert {run.id for run in lifecycle.overdue(NOW + timedelta(hours=7), timedelta(hours=6))} == {
        running.id,
        queued.id,
        claimed.id,
    }
