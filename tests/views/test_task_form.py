"""The task form: what is kept, what comes back with a sentence, and the preview of a cron line."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.conftest import NOW
from tests.views.conftest import MakeRun, flat
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunStatus, ScheduledTask

MakeTask = Callable[..., ScheduledTask]
MakeHost = Callable[..., Host]

UPDATE = {
    "name": "Monthly",
    "task_type": "db_update",
    "database_type": "all",
    "cron_expression": "0 2 1 * *",
    "timezone": "UTC",
    "description": "Keeps them current.",
    "is_active": "on",
}


def count(model: type[Any]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_a_new_task_is_kept_and_shown(signed_in: FlaskClient) -> None:
    answer = signed_in.post("/tasks/", data=UPDATE)

    task = db.session.scalars(select(ScheduledTask)).one()
    assert (answer.status_code, answer.location) == (303, f"/tasks/{task.id}")
    assert (task.name, task.target, task.active) == ("Monthly", "All Databases", True)
    assert "Monthly scheduled." in signed_in.get(answer.location).text


def test_a_box_that_is_not_ticked_makes_an_inactive_task(signed_in: FlaskClient) -> None:
    signed_in.post("/tasks/", data={name: value for name, value in UPDATE.items() if name != "is_active"})

    assert db.session.scalars(select(ScheduledTask.active)).one() is False


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "", "Give the task a name."),
        ("name", "x" * 121, "A name has at most 120 characters; this one has 121."),
        ("name", "bell \x07", "A name cannot contain control characters."),
        ("task_type", "explode", "Choose one of: scan, db_update, detection."),
        ("database_type", "oracle", "Choose one of: all, nvd,"),
        ("cron_expression", "99 * * * *", "&#39;99&#39; is not a valid minute (0-59)."),
        ("cron_expression", "* * * * * *", "this one has 6."),
        ("cron_expression", "", "this one has 0."),
        ("timezone", "Mars/Olympus", "is not a time zone"),
        ("description", "x" * 2001, "this text has 2001."),
    ],
)
def test_a_bad_field_comes_back_with_a_sentence_beside_it(
    signed_in: FlaskClient, field: str, value: str, sentence: str
) -> None:
    answer = signed_in.post("/tasks/", data=UPDATE | {field: value})

    assert answer.status_code == 422
    assert count(ScheduledTask) == 0
    beside = re.search(rf'id="{field}-error"[^>]*>(.*?)</p>', answer.text, re.DOTALL)
    assert beside is not None
    assert sentence in beside[1]
    assert f'aria-describedby="{field}-error"' in answer.text


def test_a_form_that_comes_back_keeps_what_was_written(signed_in: FlaskClient, make_host: MakeHost) -> None:
    host = make_host("web-9")
    written = {
        "name": 'A "quoted" name',
        "task_type": "scan",
        "scan_type": "full",
        "host_id": str(host.id),
        "cron_expression": "61 * * * *",
        "timezone": "Europe/London",
        "description": "Some <b>words</b>",
    }

    page = " ".join(signed_in.post("/tasks/", data=written).text.split())

    assert 'value="A &#34;quoted&#34; name"' in page
    assert f'<option value="{host.id}" selected>web-9' in page
    assert re.search(r'name="scan_type" value="full" checked', page)
    assert 'value="61 * * * *"' in page
    assert 'value="Europe/London"' in page
    assert "Some &lt;b&gt;words&lt;/b&gt;</textarea>" in page
    assert not re.search(r'name="is_active" checked', page)


def test_the_only_host_is_chosen(signed_in: FlaskClient, make_host: MakeHost) -> None:
    host = make_host("web-1")

    alone = flat(signed_in.get("/tasks/new").text)
    make_host("web-2")
    of_two = flat(signed_in.get("/tasks/new").text)

    assert f'<option value="{host.id}" selected>web-1' in alone
    assert f'<option value="{host.id}" >web-1' in of_two


def test_a_name_that_is_taken_is_refused_in_any_case(signed_in: FlaskClient, make_task: MakeTask) -> None:
    make_task(name="MONTHLY")

    answer = signed_in.post("/tasks/", data=UPDATE)

    assert answer.status_code == 422
    assert "Another task has this name." in answer.text
    assert count(ScheduledTask) == 1


@pytest.mark.parametrize("host_id", ["", "99", "x", "1; DROP TABLE hosts"])
def test_an_unknown_host_is_refused(signed_in: FlaskClient, host_id: str) -> None:
    scan = UPDATE | {"task_type": "scan", "scan_type": "fast", "host_id": host_id}

    answer = signed_in.post("/tasks/", data=scan)

    assert answer.status_code == 422
    assert "Choose one of the configured hosts." in answer.text


def test_the_form_offers_hosts_in_service_and_every_database(
    signed_in: FlaskClient, make_host: MakeHost
) -> None:
    make_host("in-service")
    make_host("retired", retired_at=NOW)

    page = signed_in.get("/tasks/new").text

    assert "in-service" in page
    assert "retired" not in page
    for label in ("All Databases", "NVD Database", "Amazon Linux OVAL", "GOST Red Hat"):
        assert f">{label}</option>" in page


def test_the_address_can_choose_the_type(signed_in: FlaskClient) -> None:
    page = " ".join(signed_in.get("/tasks/new?type=db_update").text.split())

    assert re.search(r'value="db_update" checked', page)


def test_the_edit_form_shows_the_task_and_changes_it(signed_in: FlaskClient, make_task: MakeTask) -> None:
    task = make_task(name="Before", cron_expression="5 4 * * *")
    form = signed_in.get(f"/tasks/{task.id}/edit").text

    answer = signed_in.post(f"/tasks/{task.id}", data=UPDATE | {"name": "After"})

    assert 'value="Before"' in form
    assert 'value="5 4 * * *"' in form
    assert (answer.status_code, answer.location) == (303, f"/tasks/{task.id}")
    db.session.refresh(task)
    assert (task.name, task.target, task.cron_expression) == ("After", "All Databases", "0 2 1 * *")


def test_a_bad_edit_changes_nothing(signed_in: FlaskClient, make_task: MakeTask) -> None:
    task = make_task(name="Before")

    answer = signed_in.post(f"/tasks/{task.id}", data=UPDATE | {"name": "After", "cron_expression": "x"})

    assert answer.status_code == 422
    assert 'value="After"' in answer.text
    db.session.refresh(task)
    assert task.name == "Before"


def test_a_task_on_a_retired_host_can_still_be_edited(signed_in: FlaskClient, make_task: MakeTask) -> None:
    task = make_task()
    assert task.host is not None
    task.host.retired_at = NOW
    db.session.commit()

    page = " ".join(signed_in.get(f"/tasks/{task.id}/edit").text.split())

    assert "selected>host-1 (no longer in config.toml)</option>" in page


def test_deleting_asks_first_and_says_what_goes_with_it(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task(name="Old")
    for _ in range(2):
        make_run(RunStatus.SUCCESS, task)
    make_run(RunStatus.RUNNING, task)

    page = " ".join(signed_in.get(f"/tasks/{task.id}/delete").text.split())

    assert "Delete <bdi>Old</bdi> and its 3 runs?" in page
    assert "A run is active." in page
    assert count(ScheduledTask) == 1


def test_deleting_takes_the_history_along(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task(name="Old")
    make_run(RunStatus.SUCCESS, task)

    answer = signed_in.post(f"/tasks/{task.id}/delete")

    assert (answer.status_code, answer.location) == (303, "/tasks/")
    assert (count(ScheduledTask), count(Run)) == (0, 0)
    assert "Old deleted." in signed_in.get("/tasks/").text


@pytest.mark.parametrize(
    ("line", "zone", "words"),
    [
        ("0 6 * * 1-5", "UTC", ["At 06:00, Monday through Friday", "Next runs (UTC):"]),
        ("0 2 * * *", "Europe/London", ["At 02:00 every day", "Next runs (Europe/London):"]),
        ("99 * * * *", "UTC", ["&#39;99&#39; is not a valid minute (0-59)."]),
        ("* * * * * *", "UTC", ["this one has 6."]),
        ("0 0 30 2 *", "UTC", ["never matches a date."]),
        ("0 2 * * *", "Mars", ["&#39;Mars&#39; is not a time zone."]),
        ("<b>", "UTC", ["this one has 1."]),
    ],
)
def test_the_preview_says_what_a_cron_line_means(
    signed_in: FlaskClient, line: str, zone: str, words: list[str]
) -> None:
    answer = signed_in.get("/tasks/cron-preview", query_string={"cron_expression": line, "timezone": zone})

    assert answer.status_code == 200
    assert all(word in answer.text for word in words)
    assert answer.text.count("<time") in (0, 5)
    assert "<b>" not in answer.text or "Next" in answer.text


def test_the_preview_warns_of_a_time_at_which_many_tasks_start_and_proposes_another(
    signed_in: FlaskClient, make_task: MakeTask
) -> None:
    tasks = [make_task(task_type="db_update", database_type="nvd") for _ in range(6)]
    query = {"cron_expression": "0 2 * * *", "timezone": "UTC"}

    new = flat(signed_in.get("/tasks/cron-preview", query_string=query).text)
    moved = signed_in.get("/tasks/cron-preview", query_string=query | {"cron_expression": "10 2 * * *"}).text
    form = flat(signed_in.get(f"/tasks/{tasks[0].id}/edit").text)

    assert "6 other tasks start in the ten minutes from" in new
    assert 'value="10 2 * * *">At 02:10 every day</button>' in new
    assert "other tasks start" not in moved
    assert "5 other tasks start" in form
    assert f'hx-get="/tasks/cron-preview?task={tasks[0].id}"' in form


def test_neither_form_offers_a_zone_that_each_machine_reads_differently(signed_in: FlaskClient) -> None:
    for path in ("/tasks/new", "/account/"):
        offered = re.findall(r'<option value="([^"]+)"></option>', signed_in.get(path).text)

        assert {"UTC", "Europe/London"} <= set(offered)
        assert not {"Factory", "localtime", "posixrules"} & set(offered)


@pytest.mark.parametrize("columns", [{"timezone": "Mars/Base"}, {"cron_expression": "99 * * * *"}])
def test_the_pages_of_a_task_whose_schedule_cannot_be_read_say_so_and_lead_on(
    signed_in: FlaskClient, make_task: MakeTask, columns: dict[str, str]
) -> None:
    task = make_task(task_type="db_update", database_type="all")
    for name, value in columns.items():
        setattr(task, name, value)
    task.plan(NOW)
    db.session.commit()

    pages = ["/", "/tasks/", "/databases/", f"/tasks/{task.id}", f"/tasks/{task.id}/edit"]
    answers = {path: signed_in.get(path) for path in pages}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(pages, 200)
    assert "Edit the schedule to resume the task." in answers[f"/tasks/{task.id}"].text
    assert "None while paused" in answers[f"/tasks/{task.id}"].text
    assert "Paused" in answers["/tasks/"].text
