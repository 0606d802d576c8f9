"""`/api/hosts`: lists, one host, tags and notes, sync."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api.conftest import CountQueries
from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.models import Finding, Host, Result, RunHost, ScheduledTask, Trigger
from vulsweb.runs.starting import start
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Outcome, Severity

MakeHost = Callable[..., Host]
MakeTask = Callable[..., ScheduledTask]


def add_finding(host: Host, severity: Severity) -> None:
    finding = {"cve_id": f"CVE-{severity}", "severity": severity, "title": "t", "packages": []}
    db.session.add(Finding(host_id=host.id, first_seen_at=NOW, last_seen_at=NOW, **finding))
    db.session.commit()


def test_a_host_has_these_fields(api: FlaskClient, make_host: MakeHost) -> None:
    host = make_host(
        "web-1", hostname="192.0.2.1", tags=["web"], notes="Rack 7", connection=HostConnection.JUMP
    )
    host.set_system("debian", "12.4")
    host.kernel, host.restart_required = "6.1.0-18-amd64", True
    add_finding(host, Severity.HIGH)

    reply = api.get(f"/api/hosts/{host.id}").get_json()

    assert reply == {
        "id": host.id,
        "name": "web-1",
        "hostname": "192.0.2.1",
        "connection": "jump_host",
        "scan_modes": ["fast"],
        "vuls_config": {"host": "web-1"},
        "tags": ["web"],
        "notes": "Rack 7",
        "problem": None,
        "family": "debian",
        "release": "12.4",
        "kernel": "6.1.0-18-amd64",
        "restart_required": True,
        "support_ends": "2028-06-30",
        "warned": False,
        "last_scan_at": None,
        "last_status": None,
        "open_findings": {"critical": 0, "high": 1, "medium": 0, "low": 0, "unknown": 0},
        "synced_at": "2026-01-01T12:00:00+00:00",
        "retired_at": None,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "b", "gone"]),
        ("?retired=false", ["a", "b"]),
        ("?retired=true", ["gone"]),
        ("?tag=web", ["a", "gone"]),
        ("?tag=web&retired=false", ["a"]),
        ("?connection=local", ["b"]),
        ("?search=RACK", ["b"]),
        ("?search=%25", []),
    ],
)
def test_the_list_is_filtered(api: FlaskClient, make_host: MakeHost, query: str, expected: list[str]) -> None:
    make_host("a", tags=["web"])
    make_host("b", notes="Rack 7", connection=HostConnection.LOCAL)
    make_host("gone", tags=["web"], retired_at=NOW)

    page = api.get(f"/api/hosts{query}").get_json()

    assert [host["name"] for host in page["items"]] == expected
    assert page["total"] == len(expected)


def test_links_to_pages_keep_the_filter(api: FlaskClient, make_host: MakeHost) -> None:
    for name in "abc":
        make_host(name, tags=["web"])

    first = api.get("/api/hosts?tag=web&per_page=2").get_json()
    second = api.get(first["links"]["next"]).get_json()

    assert [host["name"] for host in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["links"]["next"] is None


def test_a_list_takes_the_same_queries_whatever_its_length(
    api: FlaskClient, make_host: MakeHost, queries: CountQueries
) -> None:
    make_host("a")
    with queries() as few:
        api.get("/api/hosts")
    for number in range(30):
        add_finding(make_host(f"h{number}"), Severity.LOW)
    with queries() as many:
        api.get("/api/hosts")

    assert len(few) == len(many) <= 5


def test_tags_and_notes_can_be_changed_separately(api: FlaskClient, make_host: MakeHost) -> None:
    host = make_host("a", tags=["old"], notes="old")

    tagged = api.patch(f"/api/hosts/{host.id}", json={"tags": ["Web Tier", "web-tier"]}).get_json()
    noted = api.patch(f"/api/hosts/{host.id}", json={"notes": "new"}).get_json()

    assert (tagged["tags"], tagged["notes"]) == (["web-tier"], "old")
    assert (noted["tags"], noted["notes"]) == (["web-tier"], "new")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tags": "web"}, "tags"),
        ({"tags": ["a/b"]}, "tags"),
        ({"tags": ["x"] * 21}, "tags"),
        ({"notes": 7}, "notes"),
        ({"notes": "\x00"}, "notes"),
        ({"notes": "x" * 4001}, "notes"),
        ({"hostname": "192.0.2.9"}, "hostname"),
        ({"name": "b", "tags": ["web"]}, "name"),
    ],
)
def test_other_fields_are_refused_and_nothing_is_saved(
    api: FlaskClient, make_host: MakeHost, body: dict[str, Any], field: str
) -> None:
    host = make_host("a", tags=["old"])

    answer = api.patch(f"/api/hosts/{host.id}", json=body)

    assert answer.status_code == 422
    assert any(name.startswith(field) for name in answer.get_json()["errors"])
    db.session.refresh(host)
    assert (host.tags, host.notes, host.hostname) == (["old"], "", "a")


@pytest.mark.parametrize("method", ["get", "patch"])
def test_an_unknown_host_answers_404(api: FlaskClient, method: str) -> None:
    assert api.open("/api/hosts/99", method=method.upper(), json={}).status_code == 404


def test_a_sync_returns_what_it_did_with_each_host(app: Flask, api: FlaskClient, make_host: MakeHost) -> None:
    make_host("same", vuls_config={"host": "same"})
    make_host("other", vuls_config={"host": "elsewhere"})
    make_host("gone")
    names = "".join(f'[servers.{name}]\nhost = "{name}"\n' for name in ("same", "other", "new"))
    app.config["VULS_CONFIG"].write_text(names + "[servers.bad]\nhost = 7\n")

    reply = api.post("/api/hosts/sync-from-vuls-config").get_json()

    assert reply == {
        "created": ["new"],
        "updated": ["other"],
        "retired": ["gone"],
        "unchanged": ["same"],
        "errors": ['[servers.bad]: host must be text, in quotes, such as host = "7".'],
    }


def test_a_sync_that_retires_most_hosts_needs_a_confirmation(
    app: Flask, api: FlaskClient, make_host: MakeHost
) -> None:
    for name in "abcd":
        make_host(name)
    app.config["VULS_CONFIG"].write_text('[servers.a]\nhost = "a"\n')

    asked = api.post("/api/hosts/sync-from-vuls-config")
    done = api.post("/api/hosts/sync-from-vuls-config?confirm=true")

    assert (asked.status_code, done.status_code) == (409, 200)
    assert "would retire 3 of 4 hosts" in asked.get_json()["detail"]
    assert done.get_json()["retired"] == ["b", "c", "d"]


def test_a_file_that_does_not_parse_answers_422_with_line_and_column(
    app: Flask, api: FlaskClient, make_host: MakeHost
) -> None:
    make_host("a")
    app.config["VULS_CONFIG"].write_text('[servers.a]\nhost = "x\n')

    answer = api.post("/api/hosts/sync-from-vuls-config")

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["detail"].startswith("config.toml, line 2, column ")
    assert api.get("/api/hosts").get_json()["items"][0]["retired_at"] is None


def test_a_task_for_a_tag_is_created_and_found(api: FlaskClient, sent: list[int]) -> None:
    body = {
        "name": "web",
        "task_type": "scan",
        "config": {"scan_type": "fast"},
        "host_tag": "Web",
        "cron_expression": "0 2 * * *",
    }

    made = api.post("/api/scheduled-tasks/", json=body).get_json()
    found = api.get("/api/scheduled-tasks/?search=web").get_json()["items"]

    assert (made["host_tag"], made["host_id"], made["host_name"]) == ("web", None, None)
    assert [task["id"] for task in found] == [made["id"]]


def test_a_config_without_servers_is_refused_and_retires_no_host(app: Flask, api: FlaskClient) -> None:
    app.config["VULS_CONFIG"].write_text("")

    answer = api.post("/api/hosts/sync-from-vuls-config")

    assert answer.status_code == 422
    assert answer.get_json()["detail"].startswith("config.toml names no server.")


def test_a_paused_task_has_a_reason_and_answers_409_when_run(
    app: Flask, api: FlaskClient, make_host: MakeHost, make_task: MakeTask, sent: list[int]
) -> None:
    task = make_task(host_id=make_host("a").id)
    app.config["VULS_CONFIG"].write_text('[servers.b]\nhost = "192.0.2.2"\n')
    api.post("/api/hosts/sync-from-vuls-config")

    reply = api.get(f"/api/scheduled-tasks/{task.id}").get_json()
    answer = api.post(f"/api/scheduled-tasks/{task.id}/run")

    assert (reply["is_active"], reply["next_run_at"]) == (True, None)
    assert reply["paused_at"]
    assert answer.status_code == 409
    assert answer.get_json()["detail"] == reply["paused_reason"]
    assert sent == []


def test_the_hosts_of_a_run_are_listed_worst_first(
    api: FlaskClient, make_task: MakeTask, make_host: MakeHost
) -> None:
    run = start(make_task(), trigger=Trigger.API, now=NOW)
    for name, outcome in (("a", Outcome.SUCCESS), ("b", Outcome.FAILED), ("c", Outcome.PARTIAL), ("d", None)):
        line = RunHost(run_id=run.id, name=name, host_id=make_host(name).id, outcome=outcome)
        line.warnings = [f"Of {name}."]
        db.session.add(line)
    db.session.commit()

    items = api.get(f"/api/runs/{run.id}/hosts").get_json()["items"]

    assert [(item["name"], item["outcome"]) for item in items] == [
        ("d", None),
        ("b", "failed"),
        ("c", "partial"),
        ("a", "success"),
    ]
    assert items[0]["warnings"] == ["Of d."]
    assert {item["detected_by"] for item in items} == {None}


def test_each_host_of_a_run_has_what_looked_at_its_document(api: FlaskClient, make_task: MakeTask) -> None:
    run = start(make_task(), trigger=Trigger.API, now=NOW)
    stamp = {"executor": "main", "profile": "classic", "vuls": "v0.26.0", "databases": []}
    host_id = run.task.host_id
    db.session.add_all(
        [
            RunHost(run_id=run.id, name="host-1", host_id=host_id, outcome=Outcome.SUCCESS),
            Result(
                run_id=run.id,
                host_id=host_id,
                scanned_at=NOW,
                family="debian",
                release="12",
                package_count=1,
                severity_counts={},
                document=b"",
                detected_by=stamp,
            ),
        ]
    )
    db.session.commit()

    (item,) = api.get(f"/api/runs/{run.id}/hosts").get_json()["items"]

    assert item["detected_by"] == stamp
