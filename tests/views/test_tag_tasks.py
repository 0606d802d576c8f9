"""Tasks for all hosts of a tag, tasks that pause, and runs over several hosts."""

import re
from collections.abc import Callable, Sequence

import pytest
from flask.testing import FlaskClient
from flask_sqlalchemy.pagination import SelectPagination
from sqlalchemy import select

from tests.conftest import NOW
from tests.views.conftest import MakeRun, cve, document
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.hosts import config_sync
from vulsweb.models import Host, Run, RunHost, RunStatus, ScheduledTask
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome

MakeHost = Callable[..., Host]
MakeTask = Callable[..., ScheduledTask]


def test_a_task_for_a_tag_is_made_by_its_form_and_shown_with_its_size(
    signed_in: FlaskClient, make_host: MakeHost
) -> None:
    alpha = make_host("alpha", tags=["web"])
    make_host("beta", tags=["web"])
    data = {
        "name": "Web",
        "task_type": "scan",
        "scan_type": "fast",
        "target": "tag",
        "host_tag": "Web",
        "host_id": str(alpha.id),
        "cron_expression": "0 2 * * *",
    }

    answer = signed_in.post("/tasks/", data=data)
    task = db.session.scalars(select(ScheduledTask).where(ScheduledTask.name == "Web")).one()

    assert answer.status_code == 303
    assert (task.host_tag, task.host_id) == ("web", None)
    for path in ("/tasks/?search=web", f"/tasks/{task.id}"):
        assert "tag: <bdi>web</bdi> (2)" in signed_in.get(path).text
    assert 'value="web"' in signed_in.get(f"/tasks/{task.id}/edit").text


def test_a_form_without_a_tag_is_shown_again(signed_in: FlaskClient) -> None:
    data = {
        "name": "n",
        "task_type": "scan",
        "scan_type": "fast",
        "target": "tag",
        "cron_expression": "0 2 * * *",
    }

    answer = signed_in.post("/tasks/", data=data)

    assert answer.status_code == 422
    assert "A tag cannot be empty." in answer.text


def test_of_many_hosts_one_is_chosen_by_typing(
    signed_in: FlaskClient, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vulsweb.views.tasks.SELECT_LIMIT", 1)
    make_host("web-1")
    make_host("web-2")
    make_host("web-gone", retired_at=NOW)
    data = {
        "name": "n",
        "task_type": "scan",
        "scan_type": "fast",
        "host_id": "",
        "host_name": "web-2",
        "cron_expression": "0 2 * * *",
    }

    form = signed_in.get("/tasks/new").text
    offered = signed_in.get("/hosts/names?host_name=WEB").text
    answer = signed_in.post("/tasks/", data=data)

    assert 'name="host_name"' in form
    assert re.findall(r'value="([^"]+)"', offered) == ["web-1", "web-2"]
    assert answer.status_code == 303
    assert db.session.scalars(select(ScheduledTask)).one().target == "web-2"


def test_a_paused_task_says_why_and_is_not_run(
    signed_in: FlaskClient, make_task: MakeTask, make_host: MakeHost, sent: list[int]
) -> None:
    config_sync.sync('[servers.b]\nhost = "192.0.2.2"', NOW)
    host = db.session.scalars(select(Host)).one()
    task = make_task(host_id=host.id)
    config_sync.sync("", NOW, confirmed=True)
    db.session.commit()

    answer = signed_in.post(f"/tasks/{task.id}/run")
    page = signed_in.get(answer.location).text

    assert (answer.location, sent) == (f"/tasks/{task.id}", [])
    assert "b is no longer in config.toml." in page
    assert "None while paused" in page
    assert "Paused" in signed_in.get("/tasks/").text
    bulk = signed_in.post("/tasks/bulk", data={"ids": [task.id], "action": "run"})
    assert "1 task is paused and did not start." in signed_in.get(bulk.location).text


def test_a_run_over_several_hosts_says_of_each_what_it_came_to(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, make_host: MakeHost
) -> None:
    run = make_run(RunStatus.PARTIAL, make_task(host_id="", host_tag="web"), reason="b: no.")
    for name, outcome in (("a", Outcome.SUCCESS), ("b", Outcome.FAILED)):
        message = "b: Failed to connect." if name == "b" else None
        host = make_host(name)
        line = RunHost(run_id=run.id, name=name, host_id=host.id, outcome=outcome, message=message)
        line.severity_counts, line.warnings = {"low": 3, "critical": 1}, [f"Support of {name} ended."]
        db.session.add(line)
        found = document({f"CVE-2026-{host.id}": cve(9.9)})
        storage.store(
            run_id=run.id, host=host, document=found, result=results.parse(found), complete=True, now=NOW
        )
    run.result_data = {"severity_counts": {"critical": 2}, "opened": 2, "fixed": 0}
    db.session.commit()

    page = " ".join(signed_in.get(f"/runs/{run.id}").text.split())

    assert page.index("1 critical") < page.index("3 low")
    assert re.findall(r'id="result-\d+-\d+"[^>]*><bdi>(.*?)</bdi>', page, re.DOTALL) == ["b", "a"]
    assert "b: Failed to connect." in page
    assert "Support of a ended." in page
    assert "2 hosts, Fast scan" in page
    assert re.findall(r'id="on-CVE-2026-(\d+)-\1"', page) == [str(line.host_id) for line in run_lines(run)]


def test_a_host_whose_line_comes_while_its_run_is_read_breaks_nothing(
    signed_in: FlaskClient, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    monkeypatch.setattr(SelectPagination, "_query_items", lambda _: [])
    monkeypatch.setattr(SelectPagination, "_query_count", lambda _: 1)

    assert signed_in.get(f"/runs/{run.id}/status").status_code == 200


def run_lines(run: Run) -> Sequence[RunHost]:
    return db.session.scalars(select(RunHost).where(RunHost.run_id == run.id).order_by(RunHost.name)).all()
