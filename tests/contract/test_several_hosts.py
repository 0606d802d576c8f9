"""Runs over several hosts: each host has its own result."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from tests.conftest import NOW
from tests.contract.conftest import Tools, follow
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.hosts import config_sync
from vulsweb.models import Finding, Host, Run, RunHost, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.vuls.results import Outcome

MakeTask = Callable[..., ScheduledTask]
MakeDocument = Callable[..., str]

pytestmark = pytest.mark.usefixtures("executor_server", "debian_data")


@pytest.fixture
def debian_data(executor_server: str, make_task: MakeTask) -> None:
    """The database that a scan of a Debian host looks into."""
    scan(make_task(task_type="db_update", database_type="gost_debian"))


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[str], None]:
    """Write the config.toml that executor and application share, and sync the hosts."""

    def write(config: str) -> None:
        (tmp_path / "config.toml").write_text(config)
        config_sync.sync(config, NOW)
        db.session.commit()

    return write


def scan(task: ScheduledTask) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    worker.launch_runs([run.id])
    return follow(run)


def tag(*names: str) -> None:
    for name in names:
        host(name).tags = ["web"]
    db.session.commit()


def host(name: str) -> Host:
    return db.session.scalars(select(Host).where(Host.name == name)).one()


def results(run: Run) -> dict[str, tuple[Outcome | None, str | None]]:
    found = db.session.scalars(select(RunHost).where(RunHost.run_id == run.id).order_by(RunHost.name))
    return {result.name: (result.outcome, result.message) for result in found}


THREE = "".join(f'[servers.{name}]\nhost = "192.0.2.{name[-1]}"\n' for name in ("web-1", "web-2", "web-3"))


def test_one_failing_host_of_a_tag_does_not_fail_the_others(
    configure: Callable[[str], None], make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    configure(THREE)
    tag("web-1", "web-2", "web-3")
    tools.vuls(
        {"web-1": document("CVE-2026-1"), "web-2": document(errors=["Failed to connect."])}, exit={"scan": 1}
    )

    run = scan(make_task(host_id="", host_tag="web"))

    assert run.request["servers"] == ["web-1", "web-2", "web-3"]
    assert run.status is RunStatus.PARTIAL
    assert {name: outcome for name, (outcome, _) in results(run).items()} == {
        "web-1": Outcome.SUCCESS,
        "web-2": Outcome.FAILED,
        "web-3": Outcome.FAILED,
    }
    assert results(run)["web-2"][1] == "web-2: Failed to connect."
    assert "web-2: Failed to connect." in str(run.reason)
    assert [seen.host.name for seen in storage.of_run(run.id)] == ["web-1"]
    assert [host(name).last_outcome for name in ("web-1", "web-2")] == [Outcome.SUCCESS, Outcome.FAILED]
    assert host("web-3").last_run_id == run.id


def test_a_result_that_postgresql_refuses_harms_its_own_host_alone(
    configure: Callable[[str], None],
    make_task: MakeTask,
    tools: Tools,
    document: MakeDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(THREE)
    tag("web-1", "web-2")
    tools.vuls({"web-1": document("CVE-2026-1"), "web-2": document("CVE-2026-2")})
    real = storage.store

    def store(**given: Any) -> storage.Change:
        change = real(**given)
        if given["host"].name == "web-2":
            db.session.execute(text("SELECT 1 / 0"))
        return change

    monkeypatch.setattr(storage, "store", store)
    run = scan(make_task(host_id="", host_tag="web"))

    assert run.status is RunStatus.PARTIAL
    assert results(run)["web-2"] == (
        Outcome.FAILED,
        "web-2: the result cannot be stored: division by zero.",
    )
    assert [seen.finding.cve_id for seen in storage.of_run(run.id)] == ["CVE-2026-1"]


def test_a_host_with_an_invalid_section_is_excluded_and_reported(
    configure: Callable[[str], None], make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    configure(THREE)
    tag("web-1", "web-2")
    configure(THREE.replace('"192.0.2.2"', "7"))
    tools.vuls({"web-1": document()})

    run = scan(make_task(host_id="", host_tag="web"))

    assert (run.request["servers"], run.status) == (["web-1"], RunStatus.PARTIAL)
    assert results(run)["web-1"] == (Outcome.SUCCESS, None)
    assert "host must be text" in str(results(run)["web-2"][1])


def test_a_tag_without_hosts_fails_the_run_with_a_reason(make_task: MakeTask) -> None:
    run = starting.start(make_task(host_id="", host_tag="web"), trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    assert str(run.reason).startswith("No host has the tag 'web'")


def test_a_job_that_the_executor_rejects_shows_on_the_host(
    configure: Callable[[str], None], make_task: MakeTask, tmp_path: Path
) -> None:
    configure(THREE)
    (tmp_path / "config.toml").write_text("")
    task = make_task(host_id=host("web-1").id)
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    assert (host("web-1").last_run_id, host("web-1").last_outcome) == (run.id, Outcome.FAILED)
    assert host("web-2").last_run_id is None


def test_results_of_a_network_belong_to_the_hosts_of_its_addresses(
    configure: Callable[[str], None], make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    configure('[servers.net]\nhost = "192.0.2.0/29"\nignoreIPAddresses = ["192.0.2.4/30"]')
    tools.vuls({"net(192.0.2.1)": document("CVE-1"), "net(192.0.2.2)": document("CVE-2")})

    run = scan(make_task(host_id=host("net(192.0.2.1)").id))

    assert run.request["servers"] == ["net"]
    assert {name: outcome for name, (outcome, _) in results(run).items()} == {
        "net(192.0.2.1)": Outcome.SUCCESS,
        "net(192.0.2.2)": Outcome.SUCCESS,
        "net(192.0.2.3)": Outcome.FAILED,
        "net(192.0.2.4)": Outcome.FAILED,
    }
    found = db.session.execute(select(Host.name, Finding.cve_id).join(Finding).order_by(Host.name)).all()
    assert [tuple(row) for row in found] == [("net(192.0.2.1)", "CVE-1"), ("net(192.0.2.2)", "CVE-2")]


def test_a_container_is_a_host_while_scans_find_it(
    configure: Callable[[str], None], make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    configure(THREE)
    task = make_task(host_id=host("web-1").id)
    both = {"web-1": document("CVE-1"), "app@web-1": document("CVE-2")}
    tools.vuls(both)
    first = scan(task)
    inside = make_task(host_id=host("app@web-1").id)

    tools.vuls({"web-1": document("CVE-1")})
    scan(task)
    retired_at, paused = host("app@web-1").retired_at, inside.paused_reason
    tools.vuls(both)
    scan(task)

    assert first.status is RunStatus.SUCCESS
    assert (host("app@web-1").parent_id, host("app@web-1").entry) == (host("web-1").id, "web-1")
    assert retired_at is not None
    assert str(paused).startswith("app@web-1 was not among the running containers.")
    assert (host("app@web-1").retired_at, inside.paused_reason) == (None, None)
    assert starting.request_for(inside)["servers"] == ["web-1"]


def test_a_scan_that_failed_retires_no_container(
    configure: Callable[[str], None], make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    configure(THREE)
    task = make_task(host_id=host("web-1").id)
    tools.vuls({"web-1": document(), "app@web-1": document()})
    scan(task)
    tools.vuls({"web-1": document(errors=["Failed to connect."])})

    scan(task)

    assert host("app@web-1").retired_at is None


def test_a_server_with_only_its_containers_scanned_has_not_failed(
    configure: Callable[[str], None], make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    configure('[servers.box]\nhost = "192.0.2.1"\ncontainersOnly = true\ncontainersIncluded = ["${running}"]')
    tools.vuls({"app@box": document("CVE-1")})

    run = scan(make_task(host_id=host("box").id))

    assert run.status is RunStatus.SUCCESS
    assert results(run)["box"] == (
        Outcome.SUCCESS,
        "Only its containers were scanned, as its section in config.toml says.",
    )


@pytest.mark.parametrize("name", ["app@nobody", "../x@web-1", "<b>@web-1", f"{'x' * 129}@web-1"])
def test_a_scanned_host_cannot_make_hosts_of_any_name(
    app: Flask,
    configure: Callable[[str], None],
    make_task: MakeTask,
    tools: Tools,
    document: MakeDocument,
    name: str,
) -> None:
    configure(THREE)
    tools.vuls({"web-1": document()} | ({} if "/" in name else {name: document()}))

    scan(make_task(host_id=host("web-1").id))

    names = db.session.scalars(select(Host.name).where(Host.retired_at.is_(None))).all()
    assert sorted(names) == ["web-1", "web-2", "web-3"]


def test_a_run_over_many_hosts_quotes_a_few_of_those_that_failed(
    configure: Callable[[str], None], make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    names = [f"h{number}" for number in range(8)]
    configure("".join(f'[servers.{name}]\nhost = "{name}"\n' for name in names))
    tag(*names)
    failed = json.loads(document(errors=["No."]))
    tools.vuls({name: json.dumps(failed) for name in names[1:]} | {"h0": document()}, exit={"scan": 1})

    run = scan(make_task(host_id="", host_tag="web"))

    assert str(run.reason) == "7 of 8 hosts failed. h1: No. h2: No. h3: No."
