"""An outside service hears of the runs of a task: start, success and failure, in order and each once."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW
from tests.support.mail import Webhook, silent_server
from tests.unit.runs.support import MakeTask, race
from vulsweb.extensions import db
from vulsweb.models import PingKind, Run, RunStatus, ScheduledTask, TaskPing, Trigger
from vulsweb.notifications import pings, task_pings
from vulsweb.notifications.task_pings import WrongAddress
from vulsweb.runs import lifecycle, starting
from vulsweb.worker import outgoing

KEY = "a secret key of the tests, long enough"
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def task(app: Flask, make_task: MakeTask, hook: Webhook) -> ScheduledTask:
    task = make_task(name="nightly", task_type="db_update", database_type="nvd")
    task_pings.set_address(task, f"http://127.0.0.1:{hook.server_port}/ping/secret-word", KEY)
    db.session.commit()
    return task


def begin(task: ScheduledTask) -> Run:
    run = starting.start(task, trigger=Trigger.SCHEDULE, now=NOW)
    lifecycle.claim(run.id, NOW)
    db.session.commit()
    return run


def send(hook: Webhook, seconds: int = 0) -> list[tuple[str, str]]:
    before = len(hook.posted)
    outgoing.ping_tasks(KEY, LATER + timedelta(seconds=seconds))
    return hook.posted[before:]


@pytest.mark.parametrize(
    ("status", "path", "text"),
    [
        (RunStatus.SUCCESS, "", "Run 1 of nightly: Success. "),
        (RunStatus.PARTIAL, "/fail", "Run 1 of nightly: Partial. Two hosts are missing."),
        (RunStatus.FAILED, "/fail", "Run 1 of nightly: Failed. Two hosts are missing."),
        (RunStatus.TIMEOUT, "/fail", "Run 1 of nightly: Timed out. Two hosts are missing."),
        (RunStatus.CANCELLED, "/fail", "Run 1 of nightly: Cancelled. Two hosts are missing."),
    ],
)
def test_the_start_and_the_end_of_a_run_are_reported_in_order(
    task: ScheduledTask, hook: Webhook, status: RunStatus, path: str, text: str
) -> None:
    run = begin(task)
    lifecycle.end(run, status, None if status is RunStatus.SUCCESS else "Two hosts are missing.", LATER)
    db.session.commit()

    assert send(hook) == [
        ("/ping/secret-word/start", "Run 1 of nightly starts."),
        (f"/ping/secret-word{path}", text),
    ]
    assert send(hook) == []


def test_what_is_rolled_back_or_never_started_is_not_reported(task: ScheduledTask, hook: Webhook) -> None:
    run = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    lifecycle.claim(run.id, NOW)
    db.session.rollback()
    lifecycle.cancel(run, NOW)
    db.session.commit()

    assert send(hook) == []


def test_a_claim_after_a_dead_worker_is_no_second_start(task: ScheduledTask, hook: Webhook) -> None:
    run = begin(task)
    lifecycle.claim(run.id, LATER)
    db.session.commit()

    assert [path for path, _ in send(hook)] == ["/ping/secret-word/start"]


def test_a_service_that_is_down_gets_it_later_and_in_order(task: ScheduledTask, hook: Webhook) -> None:
    hook.status = 503
    run = begin(task)
    lifecycle.end(run, RunStatus.SUCCESS, None, LATER)
    db.session.commit()

    down = send(hook)
    waiting = [(ping.kind, ping.tries, ping.problem) for ping in task_pings.waiting(task)]
    hook.status = 200
    too_early = send(hook, seconds=10)
    back = send(hook, seconds=31)

    assert (down, too_early) == ([], [])
    assert waiting == [(PingKind.START, 1, "127.0.0.1 answered 503."), (PingKind.SUCCESS, 0, None)]
    assert [path for path, _ in back] == ["/ping/secret-word/start", "/ping/secret-word"]


def test_after_an_hour_it_is_given_up(task: ScheduledTask, hook: Webhook) -> None:
    hook.status = 500
    begin(task)

    outgoing.ping_tasks(KEY, NOW + timedelta(minutes=59))
    still = len(task_pings.waiting(task))
    outgoing.ping_tasks(KEY, NOW + timedelta(minutes=61))

    assert (still, len(task_pings.waiting(task))) == (1, 0)


def test_a_service_that_does_not_answer_holds_nobody_for_long(
    make_task: MakeTask, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pings, "SECONDS", (0.2, 0.2))
    monkeypatch.setattr(outgoing, "PING_SECONDS", 0.1)
    with silent_server() as silent:
        for _ in range(3):
            task = make_task(task_type="db_update", database_type="nvd")
            task_pings.set_address(task, f"http://127.0.0.1:{silent}/x", KEY)
            begin(task)
        outgoing.ping_tasks(KEY, LATER)

    tried = db.session.scalars(select(TaskPing.tries).order_by(TaskPing.id)).all()
    # One turn ends after the first; the others come in the next.
    assert tried == [1, 0, 0]


def test_a_redirect_is_not_followed(task: ScheduledTask, hook: Webhook) -> None:
    hook.status = 302
    begin(task)

    assert send(hook) == []
    assert task_pings.waiting(task)[0].problem == "127.0.0.1 answered 302."


def test_two_workers_report_each_run_once(app: Flask, task: ScheduledTask, hook: Webhook) -> None:
    begin(task)

    sent = race(app, lambda: outgoing.ping_tasks(KEY, LATER))

    assert sum(sent) == len(hook.posted) == 1


def test_the_address_is_stored_encrypted_and_shown_without_its_secret(
    task: ScheduledTask, hook: Webhook
) -> None:
    assert "secret-word" not in (task.ping_url or "")
    assert task_pings.host(task, KEY) == "127.0.0.1"
    assert "secret key has changed" in task_pings.host(task, "another key, as long as the first one")
    begin(task)
    assert outgoing.ping_tasks("another key, as long as the first one", LATER) == 0
    assert "secret key has changed" in (task_pings.waiting(task)[0].problem or "")


@pytest.mark.parametrize(
    "url",
    [
        "hc-ping.com/x",
        "ftp://hc-ping.com/x",
        "file:///etc/passwd",
        "https://user:pass@hc-ping.com/",
        "https://hc-ping.com/a b",
        "https://hc-ping.com/#x",
        "https://hc-ping.com/" + "x" * 500,
        "https://hc-ping.com/\n",
        "https://\u0430.example/",
    ],
)
def test_other_addresses_are_refused(task: ScheduledTask, url: str) -> None:
    before = task.ping_url

    with pytest.raises(WrongAddress, match="like https://hc-ping"):
        task_pings.set_address(task, url, KEY)
    assert task.ping_url == before


def test_a_task_without_an_address_is_not_reported(make_task: MakeTask, hook: Webhook) -> None:
    begin(make_task(task_type="db_update", database_type="nvd"))

    assert send(hook) == []
    assert db.session.scalars(select(TaskPing)).all() == []
