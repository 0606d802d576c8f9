"""The hosts and jobs of a run."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW
from tests.unit.runs.support import EXECUTORS, MakeTask
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunHost, ScheduledTask, Trigger
from vulsweb.runs import jobs, starting, targets
from vulsweb.tasks import editing as task_editing

MakeHost = Callable[..., Host]


@pytest.fixture
def web(app: Flask, make_task: MakeTask) -> ScheduledTask:
    """A scan of every host with the tag web."""
    return make_task(host_tag="web", host_id="")


def start(task: ScheduledTask) -> Run:
    return starting.start(task, trigger=Trigger.PERSON, now=NOW)


def host_names(run: Run) -> list[str]:
    return sorted(db.session.scalars(select(RunHost.name).where(RunHost.run_id == run.id)))


def test_a_run_scans_the_hosts_that_have_the_tag_when_it_begins(
    web: ScheduledTask, make_host: MakeHost
) -> None:
    make_host("b", tags=["web", "old"])
    make_host("a", tags=["web"])
    make_host("other", tags=["webs"])
    make_host("gone", tags=["web"], retired_at=NOW)
    run = start(web)
    make_host("late", tags=["web"])

    assert targets.prepare(run, EXECUTORS) is None

    assert run.request == {"servers": ["a", "b", "late"], "tag": "web", "scan_type": "fast", "left_out": {}}
    assert host_names(run) == ["a", "b", "late"]


def test_a_second_worker_asks_for_the_hosts_of_the_first(web: ScheduledTask, make_host: MakeHost) -> None:
    make_host("a", tags=["web"])
    run = start(web)
    targets.prepare(run, EXECUTORS)
    make_host("late", tags=["web"])

    assert targets.prepare(run, EXECUTORS) is None

    assert run.request["servers"] == ["a"]


def test_a_network_is_one_server_and_every_address_has_a_result(
    web: ScheduledTask, make_host: MakeHost
) -> None:
    make_host("net(192.0.2.1)", entry="net", tags=["web"])
    make_host("net(192.0.2.2)", entry="net", tags=[])
    run = start(web)

    targets.prepare(run, EXECUTORS)

    assert run.request["servers"] == ["net"]
    assert host_names(run) == ["net(192.0.2.1)", "net(192.0.2.2)"]


def test_a_host_with_an_invalid_section_is_excluded(web: ScheduledTask, make_host: MakeHost) -> None:
    make_host("bad", tags=["web"], problem="[servers.bad]: host is missing.")
    make_host("good", tags=["web"])
    run = start(web)

    assert targets.prepare(run, EXECUTORS) is None

    assert run.request["servers"] == ["good"]
    assert run.request["left_out"] == {"bad": "[servers.bad]: host is missing."}


def test_a_run_of_a_tag_without_hosts_cannot_begin(web: ScheduledTask) -> None:
    assert str(targets.prepare(start(web), EXECUTORS)).startswith("No host has the tag 'web'")


def test_many_hosts_are_split_into_several_jobs(
    web: ScheduledTask, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "HOSTS_PER_JOB", 2)
    monkeypatch.setattr(jobs, "NAME_BYTES_PER_JOB", 20)
    for name in ("a", "b", "c", "long-long-long", "other-name"):
        make_host(name, tags=["web"])
    run = start(web)

    targets.prepare(run, EXECUTORS)

    asked = [job.request["servers"] for job in run.jobs]
    assert asked == [["a", "b"], ["c"], ["long-long-long"], ["other-name"]]
    assert [job.number for job in run.jobs] == [1, 2, 3, 4]


def test_a_task_is_for_one_host_or_for_a_tag(app: Flask, make_host: MakeHost) -> None:
    values = {"name": "n", "task_type": "scan", "scan_type": "fast", "cron_expression": "0 2 * * *"}
    host = make_host("a")

    with pytest.raises(task_editing.InvalidTask) as both:
        task_editing.create(values | {"host_id": host.id, "host_tag": "web"}, NOW)
    with pytest.raises(task_editing.InvalidTask) as neither:
        task_editing.create(values, NOW)
    with pytest.raises(task_editing.InvalidTask) as empty:
        task_editing.create(values | {"target": "tag", "host_tag": ""}, NOW)

    assert both.value.errors == {"host_tag": "Choose one host or a tag, not both."}
    assert neither.value.errors == {"host_id": "Choose one of the configured hosts."}
    assert empty.value.errors == {"host_tag": "A tag cannot be empty."}
