"""The overlap rule on the pages: chosen, shown, obeyed and explained."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import NOW
from tests.views.conftest import HOSTILE, MakeRun
from vulsweb.extensions import db
from vulsweb.models import Overlap, Run, RunStatus, ScheduledTask, Trigger

MakeTask = Callable[..., ScheduledTask]
UPDATE = {
    "name": "Monthly",
    "task_type": "db_update",
    "database_type": "all",
    "cron_expression": "0 2 1 * *",
    "timezone": "UTC",
}


def text(client: FlaskClient, address: str) -> str:
    return " ".join(client.get(address).text.split())


def chosen(page: str) -> list[str]:
    return re.findall(r'name="overlap" value="(\w+)" checked', page)


def test_the_form_offers_three_rules_in_words_and_skipping_first(signed_in: FlaskClient) -> None:
    page = text(signed_in, "/tasks/new")

    assert [rule.label in page for rule in Overlap] == [True] * 3
    assert chosen(page) == ["skip"]


@pytest.mark.parametrize("rule", list(Overlap))
def test_the_rule_is_kept_shown_and_offered_again(signed_in: FlaskClient, rule: Overlap) -> None:
    address = signed_in.post("/tasks/", data=UPDATE | {"overlap": rule.value}).location

    shown, form = text(signed_in, address), text(signed_in, f"{address}/edit")
    copy = text(signed_in, f"{address}/duplicate")

    assert f"<dt>If the previous run is still active</dt> <dd> {rule.label} </dd>" in shown
    assert chosen(form) == chosen(copy) == [rule.value]


def test_a_rule_that_there_is_not_comes_back_with_a_sentence(signed_in: FlaskClient) -> None:
    answer = signed_in.post("/tasks/", data=UPDATE | {"overlap": "explode"})

    assert answer.status_code == 422
    assert "Choose one of: skip, wait, replace." in answer.text


def test_a_form_that_does_not_speak_of_it_means_to_skip(signed_in: FlaskClient) -> None:
    signed_in.post("/tasks/", data=UPDATE)

    assert db.session.scalars(select(ScheduledTask.overlap)).one() is Overlap.SKIP


def test_run_now_on_a_task_that_skips_says_so_and_leads_to_the_run(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, sent: list[int]
) -> None:
    run = make_run(RunStatus.RUNNING, make_task(name="Busy"))

    answer = signed_in.post(f"/tasks/{run.task_id}/run")

    assert answer.location == f"/runs/{run.id}"
    said = "Busy is already running. Its overlap rule skips new runs until that ends."
    assert said in text(signed_in, answer.location)
    assert sent == []


def test_run_now_on_a_task_that_waits_leads_to_a_run_that_says_what_it_waits_for(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    going = make_run(RunStatus.RUNNING, make_task(overlap="wait"))

    answer = signed_in.post(f"/tasks/{going.task_id}/run")
    page = text(signed_in, answer.location)

    assert answer.location != f"/runs/{going.id}"
    assert f'Waiting for <a href="/runs/{going.id}">run {going.id}</a> to end.' in page
    assert "Cancel run" in page
    assert "Waiting for a worker" not in page


def test_a_second_run_now_while_one_waits_leads_to_the_one_that_waits(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    going = make_run(RunStatus.RUNNING, make_task(name="Busy", overlap="wait"))
    waiting = signed_in.post(f"/tasks/{going.task_id}/run").location

    answer = signed_in.post(f"/tasks/{going.task_id}/run")

    assert answer.location == waiting
    assert "Busy is already queued. Only one of its runs can wait." in text(signed_in, waiting)


def test_run_now_on_a_task_that_replaces_leads_to_the_new_run(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    going = make_run(RunStatus.RUNNING, make_task(overlap="replace"))

    answer = signed_in.post(f"/tasks/{going.task_id}/run")

    new, old = text(signed_in, answer.location), text(signed_in, f"/runs/{going.id}")
    assert f'Waiting for <a href="/runs/{going.id}">run {going.id}</a> to stop.' in new
    assert "Cancelling" in old


def test_a_run_that_waits_is_cancelled_from_its_page(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    going = make_run(RunStatus.RUNNING, make_task(overlap="wait"))
    waiting = signed_in.post(f"/tasks/{going.task_id}/run").location

    signed_in.post(f"{waiting}/cancel")

    states = db.session.scalars(select(Run.status).order_by(Run.id)).all()
    assert states == [RunStatus.RUNNING, RunStatus.CANCELLED]


def test_a_bulk_run_says_how_many_start_wait_and_are_skipped(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, sent: list[int]
) -> None:
    tasks = [make_run(RunStatus.RUNNING, make_task(overlap=rule.value)).task for rule in Overlap]
    tasks.append(make_task())

    answer = signed_in.post("/tasks/bulk", data={"action": "run", "ids": [task.id for task in tasks]})

    said = "1 run queued; 2 wait for earlier runs; 1 already running."
    assert said in text(signed_in, answer.location)
    assert len(sent) == 3


@pytest.mark.parametrize("address", ["/tasks/1", "/runs/", "/runs/2"])
def test_history_says_why_a_slot_was_skipped_with_a_link_to_the_run_in_its_way(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, address: str
) -> None:
    task = make_task()
    make_run(RunStatus.RUNNING, task)
    make_run(RunStatus.SKIPPED, task, started_at=None, reason="Run 1 was still in progress.")

    page = text(signed_in, address)

    assert '<a href="/runs/1">Run 1</a> was still in progress.' in page


def test_what_a_host_says_gets_no_links_and_stays_text(signed_in: FlaskClient, make_run: MakeRun) -> None:
    failed = make_run(RunStatus.FAILED, reason=f"run 1 {HOSTILE}")
    cancelled = make_run(RunStatus.CANCELLED, reason=f"Replaced by run 1. {HOSTILE}")

    for run in (failed, cancelled):
        page = signed_in.get(f"/runs/{run.id}").text
        assert HOSTILE not in page
        assert ('href="/runs/1">run 1</a>' in page) is (run is cancelled)


def test_a_run_that_makes_up_for_slots_missed_says_when_it_was_due(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    late = make_run(
        RunStatus.SUCCESS, trigger=Trigger.SCHEDULE, scheduled_for=NOW - timedelta(hours=9, minutes=30)
    )
    in_time = make_run(RunStatus.SUCCESS, trigger=Trigger.SCHEDULE, scheduled_for=NOW - timedelta(seconds=50))

    said = text(signed_in, f"/runs/{late.id}")

    assert re.search(r"Due <time [^>]*>[^<]*02:30</time>, but queued 9 h 30 min late, because", said)
    assert "but queued" not in text(signed_in, f"/runs/{in_time.id}")
