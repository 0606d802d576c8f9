"""The scheduler's pages."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError
from sqlalchemy import func, select

from tests.conftest import handle_messages
from tests.views.conftest import HOSTILE, MakeRun, statements
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunStatus, ScheduledTask, User

MakeTask = Callable[..., ScheduledTask]
MakeHost = Callable[..., Host]


def count(model: type[Any]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_an_empty_scheduler_says_how_to_begin(signed_in: FlaskClient) -> None:
    page = signed_in.get("/tasks/").text

    assert "No tasks yet" in page
    assert 'href="/tasks/new"' in page


def test_the_list_shows_what_each_task_is_and_how_it_went(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task(name="Nightly", description="All of it.", timezone="Europe/London")
    run = make_run(RunStatus.PARTIAL, task)

    page = signed_in.get("/tasks/").text

    for shown in (
        "Nightly",
        "All of it.",
        "host-1",
        "Fast Scan",
        "At 02:00 every day",
        "0 2 * * *",
        "Partial",
    ):
        assert shown in page
    assert f'href="/runs/{run.id}"' in page
    assert re.search(r'<time datetime="[^"]+\+00:00" title="[^"]+ UTC"', page)


def test_a_task_that_never_ran_says_so_and_an_inactive_one_has_no_next_run(
    signed_in: FlaskClient, make_task: MakeTask
) -> None:
    make_task(is_active=False)

    page = signed_in.get("/tasks/").text

    assert "Never run" in page
    assert "Inactive</span>" in page
    assert "<time" not in page


def test_the_four_counts_lead_to_what_they_count(signed_in: FlaskClient, make_task: MakeTask) -> None:
    make_task()
    make_task(is_active=False)
    make_task(task_type="db_update", database_type="nvd")

    page = " ".join(signed_in.get("/tasks/").text.split())

    for address, words in [
        ("/tasks/", "All <b>3</b>"),
        ("/tasks/?status=active", "Active <b>2</b>"),
        ("/tasks/?type=scan", "Scans <b>2</b>"),
        ("/tasks/?type=db_update", "Database updates <b>1</b>"),
    ]:
        assert re.search(rf'<a [^>]*href="{re.escape(address)}"[^>]*>{words}</a>', page), words


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"alpha", "beta", "gamma"}),
        ("type=scan", {"alpha", "beta"}),
        ("type=db_update", {"gamma"}),
        ("type=nonsense", {"alpha", "beta", "gamma"}),
        ("status=active", {"alpha", "gamma"}),
        ("status=inactive", {"beta"}),
        ("search=ALPH", {"alpha"}),
        ("search=frontier", {"beta"}),
        ("search=tier%25", set()),
        ("search=100%25", {"gamma"}),
        ("search=%00", {"alpha", "beta", "gamma"}),
        ("type=scan&status=active&search=a", {"alpha"}),
    ],
)
def test_the_filter_leaves_in_what_was_asked_for(
    signed_in: FlaskClient, make_task: MakeTask, make_host: MakeHost, query: str, names: set[str]
) -> None:
    make_task(name="alpha")
    make_task(name="beta", is_active=False, host_id=make_host("frontier").id)
    make_task(name="gamma", task_type="db_update", database_type="nvd", description="100% of it")

    page = signed_in.get(f"/tasks/?{query}").text

    assert {name for name in ("alpha", "beta", "gamma") if f"<bdi>{name}</bdi>" in page} == names


def test_a_filter_that_leaves_nothing_says_so(signed_in: FlaskClient, make_task: MakeTask) -> None:
    make_task()

    page = signed_in.get("/tasks/?search=nowhere").text

    assert "No matching tasks" in page
    assert 'value="nowhere"' in page


def test_fifty_tasks_fill_a_page_and_the_filter_goes_on_to_the_next(
    signed_in: FlaskClient, make_task: MakeTask, make_host: MakeHost
) -> None:
    host = make_host("one")
    for number in range(51):
        make_task(name=f"task {number:02}", host_id=host.id)

    first = signed_in.get("/tasks/?type=scan").text
    second = signed_in.get("/tasks/?type=scan&page=2").text

    assert 'rel="next"' in first
    assert "/tasks/?page=2&amp;type=scan" in first
    assert "<bdi>task 50</bdi>" not in first
    assert "<bdi>task 50</bdi>" in second


def test_the_list_asks_the_database_as_often_for_fifty_tasks_as_for_five(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    for _ in range(5):
        make_run(RunStatus.SUCCESS, make_task())
    with statements() as for_five:
        signed_in.get("/tasks/")
    for _ in range(45):
        make_run(RunStatus.SUCCESS, make_task())

    with statements() as for_fifty:
        signed_in.get("/tasks/")

    assert len(for_fifty) == len(for_five) <= 8


def test_the_live_list_is_silent_until_a_state_changes(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING)
    page = signed_in.get("/tasks/").text
    again = re.search(r'hx-get="(/tasks/\?[^"]*seen=[^"]*)"', page)
    assert again is not None
    address, live = again[1].replace("&amp;", "&"), {"HX-Request": "true"}

    unchanged = signed_in.get(address, headers=live)
    run.status = RunStatus.SUCCESS
    db.session.commit()
    changed = signed_in.get(address, headers=live)

    assert unchanged.status_code == 204
    assert changed.status_code == 200
    assert changed.text.lstrip().startswith('<div id="task-table"')


def test_run_now_queues_a_run_and_leads_to_it(
    signed_in: FlaskClient, make_task: MakeTask, sent: list[int], admin: User
) -> None:
    task = make_task()

    answer = signed_in.post(f"/tasks/{task.id}/run")

    run = db.session.scalars(select(Run)).one()
    assert (answer.status_code, answer.location) == (303, f"/runs/{run.id}")
    assert (run.status, run.trigger.value, run.requested_by_id) == (RunStatus.QUEUED, "person", admin.id)
    assert sent == [run.id]


def test_run_now_on_a_task_that_runs_leads_to_that_run(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, sent: list[int]
) -> None:
    run = make_run(RunStatus.RUNNING, make_task(name="Busy"))

    answer = signed_in.post(f"/tasks/{run.task_id}/run")

    assert answer.location == f"/runs/{run.id}"
    assert sent == []
    assert count(Run) == 1
    assert "Busy is already running." in signed_in.get(answer.location).text


def test_run_now_without_redis_keeps_the_run_and_says_when_it_starts(
    signed_in: FlaskClient, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise OperationalError("Connection refused")

    handle_messages(monkeypatch, "launch_runs", refuse)
    task = make_task()

    answer = signed_in.post(f"/tasks/{task.id}/run")

    assert answer.status_code == 303
    assert db.session.scalars(select(Run.status)).one() is RunStatus.QUEUED
    assert "Redis is not reachable. The run is queued" in signed_in.get(answer.location).text


def test_the_task_page_shows_the_history(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task()
    make_run(RunStatus.FAILED, task, reason="The host does not answer.")
    counts = {"critical": 2, "high": 0, "medium": 1, "low": 0, "unknown": 0}
    make_run(RunStatus.SUCCESS, task, result_data={"severity_counts": counts, "opened": 3, "fixed": 1})

    page = " ".join(signed_in.get(f"/tasks/{task.id}").text.split())

    for shown in (
        "Failed",
        "The host does not answer.",
        "2 critical",
        "1 medium",
        "3 new, 1 fixed",
        "1 min 12 s",
    ):
        assert shown in page, shown
    assert page.index("2 critical") < page.index("1 medium")


def test_a_partial_run_never_says_that_there_are_no_vulnerabilities(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    none = dict.fromkeys(("critical", "high", "medium", "low", "unknown"), 0)
    data = {"severity_counts": none, "opened": 0, "fixed": 0, "hosts": []}
    run = make_run(RunStatus.PARTIAL, reason="No database.", result_data=data)

    pages = [signed_in.get(url).text for url in ("/runs/", f"/tasks/{run.task_id}", f"/runs/{run.id}")]

    for page in pages:
        assert "No vulnerabilities" not in page
        assert "No database." in page


def test_hostile_text_of_a_task_is_shown_as_text(signed_in: FlaskClient, make_task: MakeTask) -> None:
    task = make_task(name=HOSTILE, description=HOSTILE)

    for url in ("/", "/tasks/", f"/tasks/{task.id}", f"/tasks/{task.id}/edit", f"/tasks/{task.id}/delete"):
        page = signed_in.get(url).text
        assert "alert(" in page, url
        assert HOSTILE not in page, url


def test_the_history_of_a_task_is_filtered_by_status_and_period(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task()
    failed, fine = make_run(RunStatus.FAILED, task), make_run(RunStatus.SUCCESS, task)
    elsewhere = make_run(RunStatus.FAILED)

    page = signed_in.get(f"/tasks/{task.id}?status=failed&from=2026-01-01&to=2026-01-01").text
    later = signed_in.get(f"/tasks/{task.id}?from=2026-01-02").text

    assert f'href="/runs/{failed.id}"' in page
    assert f'href="/runs/{fine.id}"' not in page
    assert f'href="/runs/{elsewhere.id}"' not in page
    assert "No matching runs" in later


def test_the_history_of_a_task_is_read_in_stretches(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task()
    made = [make_run(RunStatus.SUCCESS, task) for _ in range(26)]

    first = signed_in.get(f"/tasks/{task.id}").text
    second = signed_in.get(f"/tasks/{task.id}?before={made[1].id}").text

    assert f"/tasks/{task.id}?before={made[1].id}" in first
    assert f'href="/runs/{made[0].id}"' not in first
    assert f'href="/runs/{made[0].id}"' in second
