"""`/audit/`: the audit trail for admins, its files, and the part on each object's page."""

import csv
import io
import json
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW
from tests.support.sessions import sign_in
from tests.views.conftest import HOSTILE, flat, statements
from vulsweb.accounts import users
from vulsweb.audit import chain, trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditKind, Role, ScheduledTask
from vulsweb.notifications import channels

FORMULA = "=HYPERLINK(evil)"


def note(name: str, object_id: int = 1, **values: object) -> None:
    trail.note(AuditAction.CHANGED, AuditKind.TASK, object_id, name, after=values)
    db.session.commit()


def test_the_page_tells_who_did_what_with_values_before_and_after(
    signed_in: FlaskClient, make_task: Callable[..., ScheduledTask]
) -> None:
    task = make_task(task_type="db_update", database_type="nvd")
    signed_in.post(
        f"/tasks/{task.id}",
        data={
            "name": "weekly",
            "task_type": "db_update",
            "database_type": "nvd",
            "cron_expression": "0 2 * * 0",
            "timezone": "UTC",
            "is_active": "on",
        },
    )

    page = flat(signed_in.get("/audit/").text)

    assert 'Changed</strong> <span class="muted">Task</span>' in page
    assert "<del><bdi>0 2 * * *</bdi></del>" in page
    assert "<ins><bdi>0 2 * * 0</bdi></ins>" in page
    assert '<bdi class="strong">admin</bdi> <span class="muted">Page, from 127.0.0.1</span>' in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {"one", "two", "three"}),
        ("search=TW", {"two"}),
        ("id=7&kind=task", {"two"}),
        ("kind=host", {"three"}),
        ("kind=none&action=none&from=x&before=-5", {"one", "two", "three"}),
        ("action=deleted", {"three"}),
        ("actor=nobody", set()),
        ("from=2020-01-01&to=2020-01-02", set()),
        ("search=%", set()),
        ("search=%00tw", {"two"}),
    ],
)
def test_the_list_is_filtered(signed_in: FlaskClient, query: str, shown: set[str]) -> None:
    note("one")
    note("two", 7)
    trail.note(AuditAction.DELETED, AuditKind.HOST, 7, "three")
    db.session.commit()

    page = signed_in.get(f"/audit/?{query}").text

    assert {name for name in ("one", "two", "three") if f"<bdi>{name}</bdi>" in page} == shown
    assert ("No matching entries" in page) == (not shown)


def test_older_entries_are_on_further_pages_and_each_page_takes_one_query(signed_in: FlaskClient) -> None:
    for number in range(60):
        note(f"task-{number}")

    with statements() as sent:
        first = signed_in.get("/audit/").text
    older = signed_in.get("/audit/?before=12").text

    assert [f"task-{number}</bdi>" in first for number in (59, 10, 9)] == [True, True, False]
    assert 'href="/audit/?before=12"' in first
    assert [f"task-{number}</bdi>" in older for number in (10, 9, 0)] == [False, True, True]
    assert len([statement for statement in sent if "audit_entries" in statement]) == 1


def test_hostile_names_are_text_everywhere(signed_in: FlaskClient) -> None:
    note(HOSTILE, 1, value=HOSTILE, several=[HOSTILE], inner={"deep": HOSTILE})

    for address in (
        "/audit/",
        "/audit/of-object?kind=task&id=1",
        f"/audit/?search={HOSTILE}&actor={HOSTILE}",
    ):
        assert "<script>alert" not in signed_in.get(address).text


def test_a_file_of_json_lines_can_be_verified_by_itself(signed_in: FlaskClient) -> None:
    note("one", 1, text="é \u2028 <b>")
    note("two")

    answer = signed_in.get("/audit/export.jsonl?kind=task")

    lines = [json.loads(line) for line in answer.text.split("\n") if line]
    assert answer.headers["Content-Disposition"].endswith('.jsonl"')
    assert [line["object_name"] for line in lines] == ["two", "one"]
    assert lines[0]["previous"] == lines[1]["hash"]
    for line in lines:
        assert chain.entry_hash({name: line[name] for name in line if name != "hash"}) == line["hash"]


def test_a_file_of_comma_separated_values_holds_no_formula(signed_in: FlaskClient) -> None:
    note(FORMULA, 1, value='comma, "quote"\nline')
    note("filtered away", 2)

    answer = signed_in.get("/audit/export.csv?id=1&kind=task")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["object_name"] for row in rows] == [f"'{FORMULA}"]
    assert json.loads(rows[0]["after"]) == {"value": 'comma, "quote"\nline'}
    assert answer.mimetype == "text/csv"


def test_files_of_other_kinds_are_not_there(signed_in: FlaskClient) -> None:
    assert signed_in.get("/audit/export.xlsx").status_code == 404


def test_the_page_of_each_object_has_its_own_part(
    signed_in: FlaskClient,
    app: Flask,
    make_task: Callable[..., ScheduledTask],
) -> None:
    task = make_task()
    host = task.host
    assert host is not None
    channel = channels.create("team", "json://hooks.example.org/", "UTC", app.config["SECRET_KEY"], NOW)
    db.session.commit()
    signed_in.post(f"/notifications/{channel.id}/rules", data={"kinds": "run_failed"})
    note("another", 99)

    pages = {
        f"/tasks/{task.id}": ("task", task.id),
        f"/hosts/{host.id}": ("host", host.id),
        f"/notifications/{channel.id}": ("channel", channel.id),
    }
    for page, (kind, object_id) in pages.items():
        assert f'hx-get="/audit/of-object?kind={kind}&amp;id={object_id}"' in signed_in.get(page).text
    assert 'hx-get="/audit/of-object?kind=ssh_config"' in signed_in.get("/ssh-config/").text

    of_task = signed_in.get(f"/audit/of-object?kind=task&id={task.id}").text
    of_channel = signed_in.get(f"/audit/of-object?kind=channel&id={channel.id}").text
    assert ("task 1" in of_task, "another" in of_task) == (True, False)
    assert "Notification rule" in of_channel
    assert "No entries." in signed_in.get(f"/audit/of-object?kind=host&id={host.id}").text


@pytest.mark.parametrize(
    "path", ["/audit/", "/audit/of-object?kind=task&id=1", "/audit/export.csv", "/api/audit"]
)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_it_is_for_admins_alone(app: Flask, role: Role, path: str) -> None:
    user = users.create_user("otto", "lantern otter quartz meadow", role, NOW)
    db.session.commit()
    client = sign_in(app.test_client(), user)

    assert client.get(path).status_code == 403
    assert "Audit trail" not in client.get("/").text


def test_the_api_lists_the_entries_in_pages(app: Flask, token: str) -> None:
    for number in range(3):
        note(f"task-{number}")
    headers = {"Authorization": f"Bearer {token}"}
    client = app.test_client()

    first = client.get("/api/audit?kind=task&per_page=2", headers=headers).get_json()
    second = client.get(first["links"]["next"], headers=headers).get_json()

    assert [entry["object_name"] for entry in first["items"]] == ["task-2", "task-1"]
    assert [entry["object_name"] for entry in second["items"]] == ["task-0"]
    assert second["links"]["next"] is None
    assert first["items"][0]["previous"] == first["items"][1]["hash"]
