"""What people are told about runs."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.conftest import NOW
from tests.unit.runs.support import LATER, MakeRun, MakeTask, conclude, job
from vulsweb.extensions import db
from vulsweb.models import Channel, Event, EventKind, Rule, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.models.notification import CHOSEN_BY_RULES
from vulsweb.runs import lifecycle, starting
from vulsweb.vuls.results import Severity

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def channel(app: object) -> Channel:
    """A channel that is told of everything."""
    channel = Channel(name="all", url="", timezone="UTC", created_at=NOW)
    channel.rules.append(Rule(kinds=[kind.value for kind in CHOSEN_BY_RULES]))
    db.session.add(channel)
    db.session.commit()
    return channel


def told() -> list[tuple[EventKind, str]]:
    return [(event.kind, event.title) for event in db.session.query(Event).order_by(Event.id)]


def end(task: ScheduledTask, status: RunStatus, reason: str | None = None) -> Run:
    """Let a run of the task end."""
    run = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(run.id, NOW)
    lifecycle.end(run, status, reason, LATER)
    db.session.commit()
    return run


@pytest.mark.parametrize(
    ("status", "kind", "title"),
    [
        (RunStatus.FAILED, EventKind.RUN_FAILED, "task 1: failed"),
        (RunStatus.TIMEOUT, EventKind.RUN_TIMED_OUT, "task 1: timed out"),
        (RunStatus.PARTIAL, EventKind.RUN_PARTIAL, "task 1: partial"),
    ],
)
def test_a_run_that_is_not_complete_is_told_once_and_then_that_its_task_works_again(
    make_task: MakeTask, status: RunStatus, kind: EventKind, title: str
) -> None:
    task = make_task()
    for _ in range(3):
        end(task, status, "It does not work.")
    for _ in range(2):
        end(task, RunStatus.SUCCESS)
    end(task, status, "It does not work.")

    assert told() == [(kind, title), (EventKind.RUN_RECOVERED, "task 1: works again"), (kind, title)]


def test_each_task_fails_for_itself(make_task: MakeTask) -> None:
    for task in (make_task(), make_task()):
        end(task, RunStatus.FAILED)

    assert [title for _, title in told()] == ["task 1: failed", "task 2: failed"]


def test_a_success_and_a_cancelled_run_are_no_news(make_task: MakeTask) -> None:
    task = make_task()

    end(task, RunStatus.SUCCESS)
    end(task, RunStatus.CANCELLED)
    end(task, RunStatus.SUCCESS)

    assert told() == []


def test_the_message_has_the_reason_and_the_page_of_the_run(make_task: MakeTask) -> None:
    run = end(make_task(), RunStatus.FAILED, "host-1: connection refused.")

    (event,) = db.session.query(Event)
    assert (event.text, event.path, event.subject) == (
        "host-1: connection refused.",
        f"/runs/{run.id}",
        f"task {run.task_id}",
    )


@pytest.mark.parametrize(
    ("usual", "took", "expected"),
    [(10, 21, True), (10, 19, False), (1, 5, False), (1, 7, True), (0, 4, False)],
)
def test_a_run_that_took_much_longer_than_usual_is_told(
    make_task: MakeTask, make_run: MakeRun, usual: float, took: float, expected: bool
) -> None:
    task = make_task()
    for _ in range(3):
        make_run(task, NOW - HOUR, completed_at=NOW - HOUR + timedelta(minutes=usual))
    run = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(run.id, NOW)

    lifecycle.end(run, RunStatus.SUCCESS, None, NOW + timedelta(minutes=took))

    slow = [(EventKind.RUN_SLOW, "task 1: took much longer than usual")]
    assert told() == (slow if expected else [])


def test_a_slot_that_the_overlap_rule_skips_is_told(make_task: MakeTask) -> None:
    task = make_task(next_run_at=NOW)
    starting.start(task, trigger=Trigger.PERSON, now=NOW)

    starting.start_due_tasks(NOW)

    assert told() == [(EventKind.RUN_MISSED, "task 1 did not run at 2026-01-01 12:00 UTC")]


def test_slots_that_were_missed_are_one_message_for_each_task(make_task: MakeTask) -> None:
    for _ in range(2):
        make_task(cron_expression="0 * * * *", next_run_at=NOW - 5 * HOUR)

    starting.start_due_tasks(NOW)

    assert sorted(told()) == [
        (EventKind.RUN_MISSED, "task 1 did not run 5 times"),
        (EventKind.RUN_MISSED, "task 2 did not run 5 times"),
    ]


def test_new_findings_of_a_run_are_one_message_with_the_worst_first(
    running: Run, document: Callable[..., bytes]
) -> None:
    found = document(*(f"CVE-2026-{number}" for number in range(1000, 1030)))

    conclude(running, job(results=["host-1.json"]), [("host-1", found)], LATER)

    ((kind, title),) = told()
    (event,) = db.session.query(Event)
    assert (kind, title) == (EventKind.NEW_FINDINGS, "task 1: 30 new findings (30 high)")
    assert event.text.splitlines()[0] == "CVE-2026-1000 (high) on host-1"
    assert event.text.splitlines()[-1] == "And 20 more."


def test_findings_that_were_there_before_are_no_news(
    make_task: MakeTask, document: Callable[..., bytes], running: Run
) -> None:
    conclude(running, job(results=["host-1.json"]), [("host-1", document("CVE-2026-1"))], LATER)
    db.session.commit()
    again = starting.start(running.task, trigger=Trigger.PERSON, now=LATER)
    lifecycle.claim(again.id, LATER)

    conclude(again, job(results=["host-1.json"]), [("host-1", document("CVE-2026-1"))], LATER)

    assert [kind for kind, _ in told()] == [EventKind.NEW_FINDINGS]


def test_findings_below_the_severity_of_the_rule_are_not_told(
    channel: Channel, running: Run, document: Callable[..., bytes]
) -> None:
    channel.rules[0].severity = Severity.CRITICAL

    conclude(running, job(results=["host-1.json"]), [("host-1", document("CVE-2026-1"))], LATER)

    assert told() == []
