"""The overlap rule, also under races of real sessions."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tests.conftest import NOW
from tests.unit.runs.support import LATER, MakeTask, accept, conclude, job, race
from vulsweb.extensions import db
from vulsweb.models import Overlap, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, overlap, starting
from vulsweb.runs.overlap import ActiveRuns, Plan

TIMEOUT = timedelta(hours=6)


@pytest.mark.parametrize(
    ("rule", "active", "expected"),
    [
        ("skip", ActiveRuns(), Plan()),
        ("wait", ActiveRuns(), Plan()),
        ("replace", ActiveRuns(), Plan()),
        ("skip", ActiveRuns(in_progress=7), Plan(skipped_for=7, reason="Run 7 was still in progress.")),
        ("skip", ActiveRuns(queued=8), Plan(skipped_for=8, reason="Run 8 was already waiting.")),
        ("wait", ActiveRuns(in_progress=7), Plan(waits=True, reason="Waiting for run 7 to end.")),
        ("wait", ActiveRuns(7, queued=8), Plan(skipped_for=8, reason="Run 8 was already waiting.")),
        ("wait", ActiveRuns(queued=8), Plan(skipped_for=8, reason="Run 8 was already waiting.")),
        (
            "replace",
            ActiveRuns(in_progress=7),
            Plan(waits=True, reason="Waiting for run 7 to stop.", replaces=(7,)),
        ),
        (
            "replace",
            ActiveRuns(7, queued=8),
            Plan(waits=True, reason="Waiting for run 7 to stop.", replaces=(7, 8)),
        ),
        ("replace", ActiveRuns(queued=8), Plan(replaces=(8,))),
    ],
)
def test_the_rule_decides_what_a_new_run_does(rule: str, active: ActiveRuns, expected: Plan) -> None:
    assert overlap.plan(Overlap(rule), active) == expected


def start(task: ScheduledTask) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    return run


def start_running(task: ScheduledTask) -> Run:
    """Start a run that the executor then works on."""
    run = start(task)
    claimed = lifecycle.claim(run.id, NOW)
    assert claimed is not None
    accept(claimed, job("running"), NOW)
    db.session.commit()
    return claimed


def states(task: ScheduledTask) -> list[tuple[RunStatus, str | None]]:
    rows = db.session.execute(select(Run.status, Run.reason).where(Run.task_id == task.id).order_by(Run.id))
    return [(status, reason) for status, reason in rows]


def test_a_waiting_run_starts_when_the_earlier_one_has_ended(make_task: MakeTask) -> None:
    task = make_task(overlap="wait")
    running = start_running(task)
    waiting = start(task)

    early = lifecycle.claim(waiting.id, NOW)
    ready_early = lifecycle.ready_to_start([task.id])
    lifecycle.end(running, RunStatus.FAILED, "No route.", LATER)
    db.session.commit()
    ready = lifecycle.ready_to_start([task.id])
    claimed = lifecycle.claim(waiting.id, LATER)

    assert (early, ready_early, ready) == (None, [], [waiting.id])
    assert claimed is not None
    assert (claimed.status, claimed.reason) == (RunStatus.STARTING, None)


def test_while_a_run_waits_the_tasks_last_run_is_the_one_in_progress(make_task: MakeTask) -> None:
    task = make_task(overlap="wait")
    running = start_running(task)
    waiting = start(task)

    before = task.last_run_id
    lifecycle.end(running, RunStatus.FAILED, "No route.", LATER)
    db.session.commit()
    between = task.last_run_id
    lifecycle.claim(waiting.id, LATER)
    db.session.commit()

    assert (before, between, task.last_run_id) == (running.id, running.id, waiting.id)


def test_a_second_run_that_would_wait_is_refused(make_task: MakeTask) -> None:
    task = make_task(name="Nightly", overlap="wait")
    start_running(task)
    waiting = start(task)

    with pytest.raises(
        starting.AlreadyActive, match=r"Nightly is already queued\. Only one of its runs"
    ) as refusal:
        starting.start(task, trigger=Trigger.PERSON, now=NOW)

    assert refusal.value.run == waiting


def test_cancelling_a_waiting_run_does_not_change_the_earlier_one(make_task: MakeTask) -> None:
    task = make_task(overlap="wait")
    running = start_running(task)
    waiting = start(task)

    assert lifecycle.cancel(waiting, LATER)
    db.session.commit()

    assert states(task)[1] == (RunStatus.CANCELLED, "Cancelled before it started.")
    assert (running.status, running.cancel_requested_at) == (RunStatus.RUNNING, None)
    assert task.last_run_id == running.id


def test_a_replaced_run_is_cancelled_and_names_its_successor(make_task: MakeTask) -> None:
    task = make_task(overlap="replace")
    running = start_running(task)
    later = start(task)

    claimed = lifecycle.claim(later.id, LATER)
    conclude(running, job("cancelled"), [], LATER)
    db.session.commit()

    assert claimed is None
    assert running.cancel_requested_at == NOW
    assert (running.status, running.reason) == (RunStatus.CANCELLED, f"Replaced by run {later.id}.")
    assert lifecycle.ready_to_start([task.id]) == [later.id]


def test_a_queued_run_is_replaced_at_once(make_task: MakeTask) -> None:
    task = make_task(overlap="replace")
    start(task)
    later = start(task)

    assert states(task) == [
        (RunStatus.CANCELLED, f"Replaced by run {later.id}."),
        (RunStatus.QUEUED, None),
    ]
    assert task.last_run_id == later.id


def test_a_run_that_waits_to_replace_is_replaced_too(make_task: MakeTask) -> None:
    task = make_task(overlap="replace")
    running, second, third = start_running(task), start(task), start(task)

    assert states(task)[1:] == [
        (RunStatus.CANCELLED, f"Replaced by run {third.id}."),
        (RunStatus.QUEUED, f"Waiting for run {running.id} to stop."),
    ]
    assert running.cancel_reason == f"Replaced by run {second.id}."


def test_a_run_cancelled_by_a_user_does_not_say_that_it_was_replaced(make_task: MakeTask) -> None:
    task = make_task(overlap="replace")
    running = start_running(task)
    lifecycle.cancel(running, NOW)
    db.session.commit()
    start(task)

    conclude(running, job("cancelled"), [], LATER)

    assert running.reason == "Cancelled."


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("skip", [(RunStatus.RUNNING, None), (RunStatus.SKIPPED, "Run 1 was still in progress.")]),
        ("wait", [(RunStatus.RUNNING, None), (RunStatus.QUEUED, "Waiting for run 1 to end.")]),
        ("replace", [(RunStatus.RUNNING, None), (RunStatus.QUEUED, "Waiting for run 1 to stop.")]),
    ],
)
def test_a_slot_during_a_run_follows_the_rule(
    make_task: MakeTask, rule: str, expected: list[tuple[RunStatus, str | None]]
) -> None:
    task = make_task(overlap=rule, cron_expression="* * * * *", next_run_at=NOW)
    running = start_running(task)

    to_send = starting.start_due_tasks(now=NOW)
    db.session.commit()

    assert states(task) == expected
    assert to_send == list(runs_of(task, RunStatus.QUEUED))
    assert (task.last_run_id, task.next_run_at) == (running.id, NOW + timedelta(minutes=1))
    assert running.cancel_reason == ("Replaced by run 2." if rule == "replace" else None)


def runs_of(task: ScheduledTask, status: RunStatus) -> list[int]:
    return list(db.session.scalars(select(Run.id).where(Run.task_id == task.id, Run.status == status)))


def test_skipped_slots_do_not_hide_the_result_of_the_last_run(make_task: MakeTask) -> None:
    task = make_task(cron_expression="* * * * *", next_run_at=NOW)
    failed = start_running(task)
    starting.start_due_tasks(now=NOW)
    starting.start_due_tasks(now=NOW + timedelta(minutes=1))
    lifecycle.end(failed, RunStatus.FAILED, "No route.", LATER)
    db.session.commit()

    assert [status.value for status, _ in states(task)] == ["failed", "skipped", "skipped"]
    assert task.last_run == failed


def test_a_bulk_run_counts_what_starts_waits_and_is_skipped(make_task: MakeTask) -> None:
    made = {rule: make_task(overlap=rule) for rule in Overlap}
    for task in made.values():
        start_running(task)
    idle = make_task()

    started = starting.start_many([task.id for task in (*made.values(), idle)], trigger=Trigger.API, now=NOW)
    db.session.commit()

    assert (len(started.run_ids), started.waiting, started.skipped) == (3, 2, 1)
    assert runs_of(idle, RunStatus.QUEUED)[0] in started.run_ids


def test_a_waiting_run_is_neither_overdue_nor_sent_again(make_task: MakeTask) -> None:
    task = make_task(overlap="wait")
    running = start_running(task)
    waiting = start(task)
    seven, eight = NOW + timedelta(hours=7), NOW + timedelta(hours=8)

    overdue = [run.id for run in lifecycle.overdue(seven, TIMEOUT)]
    sent = list(lifecycle.stranded(seven))
    lifecycle.end(running, RunStatus.TIMEOUT, None, seven)
    db.session.commit()

    assert (overdue, sent) == ([running.id], [])
    assert list(lifecycle.stranded(seven)) == [waiting.id]
    assert list(lifecycle.overdue(eight, TIMEOUT)) == []
    assert list(lifecycle.overdue(seven + TIMEOUT + timedelta(seconds=1), TIMEOUT)) == [waiting]


def test_skipped_slots_do_not_move_the_deadline_of_a_run_that_no_worker_takes(make_task: MakeTask) -> None:
    task = make_task(cron_expression="0 * * * *", next_run_at=NOW + timedelta(hours=5))
    left = start(task)
    starting.start_due_tasks(now=NOW + timedelta(hours=5))
    db.session.commit()

    assert list(lifecycle.overdue(NOW + timedelta(hours=7), TIMEOUT)) == [left]


@pytest.mark.parametrize("statuses", [("queued", "queued"), ("starting", "running"), ("running", "running")])
def test_the_database_rejects_two_queued_runs_or_two_in_progress(
    make_task: MakeTask, statuses: tuple[str, str]
) -> None:
    task = make_task()
    for status in statuses:
        run = Run(task=task, trigger=Trigger.API, created_at=NOW, request={})
        run.status = RunStatus(status)
        db.session.add(run)

    with pytest.raises(IntegrityError, match=r"uq_runs_(queued|going)_task"):
        db.session.flush()
    db.session.rollback()


def test_of_four_clicks_at_once_one_waits(app: Flask, make_task: MakeTask) -> None:
    task = make_task(overlap="wait")
    start_running(task)
    task_id = task.id

    answers = race(app, lambda: click(task_id))

    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert [status.value for status, _ in states(task)] == ["running", "queued"]


def click(task_id: int) -> int:
    return starting.start(db.session.get_one(ScheduledTask, task_id), trigger=Trigger.PERSON, now=NOW).id


def test_of_four_replacing_clicks_at_once_one_run_is_left(app: Flask, make_task: MakeTask) -> None:
    task = make_task(overlap="replace")
    running = start_running(task)
    task_id = task.id

    answers = race(app, lambda: click(task_id))

    assert len({answer for answer in answers if isinstance(answer, int)}) == 4
    assert [status.value for status, _ in states(task)].count("cancelled") == 3
    assert len(runs_of(task, RunStatus.QUEUED)) == 1
    db.session.refresh(running)
    assert running.cancel_requested_at is not None


@pytest.mark.parametrize("rule", list(Overlap))
def test_ticks_and_clicks_at_once_leave_one_run_queued_and_one_in_progress(
    app: Flask, make_task: MakeTask, rule: Overlap
) -> None:
    task = make_task(overlap=rule.value, cron_expression="* * * * *", next_run_at=NOW)
    start_running(task)
    task_id, turns = task.id, iter(range(4))

    def click_or_tick() -> object:
        if next(turns) % 2:
            return click(task_id)
        return starting.start_due_tasks(NOW, wait_for_locks=True)

    race(app, click_or_tick)

    slots = db.session.scalars(select(Run.scheduled_for).where(Run.scheduled_for.is_not(None))).all()
    assert slots == [NOW]
    assert len(runs_of(task, RunStatus.RUNNING)) == 1
    assert len(runs_of(task, RunStatus.QUEUED)) == (0 if rule is Overlap.SKIP else 1)


def test_four_workers_at_once_start_a_waiting_run_once(app: Flask, make_task: MakeTask) -> None:
    task = make_task(overlap="wait")
    running = start_running(task)
    waiting_id = start(task).id
    too_early = race(app, lambda: lifecycle.claim(waiting_id, NOW) is not None)
    lifecycle.end(running, RunStatus.SUCCESS, None, LATER)
    db.session.commit()

    in_time = race(app, lambda: lifecycle.claim(waiting_id, LATER) is not None)

    assert too_early == [False] * 4
    assert sorted(in_time) == [False, False, False, True]


def test_an_end_and_a_start_at_once_never_leave_a_run_waiting(app: Flask, make_task: MakeTask) -> None:
    """As the worker and the edge do it: commit, then claim what is ready or was just queued."""
    for _ in range(15):
        task = make_task(overlap="wait")
        task_id, running_id, turns = task.id, start_running(task).id, iter(range(2))

        def end_or_start(task_id: int = task_id, running_id: int = running_id) -> None:
            if next(turns):  # noqa: B023 - called within the round
                lifecycle.end(db.session.get_one(Run, running_id), RunStatus.SUCCESS, None, LATER)
                db.session.commit()
                found = list(lifecycle.ready_to_start([task_id]))
            else:
                found = [click(task_id)]
                db.session.commit()
            for run_id in found:
                lifecycle.claim(run_id, LATER)

        race(app, end_or_start, times=2)

        assert [status.value for status, _ in states(task)] == ["success", "starting"]


def test_a_cancel_and_a_claim_at_once_agree(app: Flask, make_task: MakeTask) -> None:
    for _ in range(10):
        run_id, turns = start(make_task()).id, iter(range(2))

        def cancel_or_claim(run_id: int = run_id) -> bool:
            if next(turns):  # noqa: B023 - called within the round
                return lifecycle.cancel(db.session.get_one(Run, run_id), NOW)
            return lifecycle.claim(run_id, NOW) is not None

        race(app, cancel_or_claim, times=2)

        run = db.session.get_one(Run, run_id)
        cancelled_in_time = run.status is RunStatus.CANCELLED and run.started_at is None
        asked_to_stop = run.status is RunStatus.STARTING and run.cancel_requested_at is not None
        assert cancelled_in_time or asked_to_stop
