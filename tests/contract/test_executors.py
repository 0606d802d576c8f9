"""Two real executors, each with its own hosts and stand-ins for the tools."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import EXECUTOR_KEY, NOW
from tests.contract.conftest import follow, stumble
from tests.contract.sites import CONFIG, Site, make_site
from tests.support.waiting import wait_for
from vulsweb import worker
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import ExecutorClients
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.extensions import db
from vulsweb.hosts import config_sync, connection_tests
from vulsweb.models import Absence, Host, JobStatus, Run, RunJob, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, logs, scan_results, starting, targets
from vulsweb.tasks import editing as task_editing
from vulsweb.vuls.results import Outcome

MakeTask = Callable[..., ScheduledTask]
KEY_OF_DMZ = "another key of at least so many characters"
LONG_AGO = timedelta(minutes=6)


@pytest.fixture
def main(
    app: Flask, tmp_path: Path, document: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """The main executor, which answers."""
    site = make_site(tmp_path / "main", EXECUTOR_KEY)
    site.tools.vuls({"inner": document("CVE-2026-1", serverName="inner")})
    config_sync.sync(CONFIG, NOW)
    for host in db.session.scalars(select(Host)):
        host.tags = ["web", "dmz"] if host.name == "outer" else ["web"]
    db.session.commit()
    with site.running():
        yield site
        site.tools.let_go()


@pytest.fixture
def dmz(
    app: Flask, main: Site, tmp_path: Path, document: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Site:
    """The executor of the hosts with the tag `dmz`, which is down until it is `running`."""
    site = make_site(tmp_path / "dmz", KEY_OF_DMZ)
    site.tools.vuls({"outer": document("CVE-2026-2", "CVE-2026-3", serverName="outer")})
    executors = Executor(MAIN, main.url, EXECUTOR_KEY), Executor("dmz", site.url, KEY_OF_DMZ, ("dmz", "lab"))
    monkeypatch.setitem(app.config, "EXECUTORS", executors)
    return site


@pytest.fixture
def both(main: Site, dmz: Site) -> Iterator[None]:
    """Both answer."""
    with dmz.running():
        yield
        dmz.tools.let_go()


@pytest.fixture
def web(make_task: MakeTask) -> ScheduledTask:
    """A scan of both hosts, which are in two sites."""
    return make_task(host_id=None, host_tag="web")


def start(task: ScheduledTask, when: datetime | None = None) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=when or datetime.now(UTC))
    db.session.commit()
    return run


def follow_both(run: Run, until: Callable[[Run], bool] = lambda run: not run.status.is_active) -> Run:

    def over() -> bool:
        for name in (MAIN, "dmz"):
            worker.follow_runs(name)
        db.session.refresh(run)
        return until(run)

    wait_for(over)
    return run


def done(task: ScheduledTask) -> Run:
    run = start(task)
    worker.launch_runs([run.id])
    return follow_both(run)


def job_at(run: Run, name: str) -> RunJob:
    (job,) = [job for job in run.jobs if job.executor == name]
    return job


def log_of(run: Run) -> str:
    return logs.read_from(run.id, 0)[0]


def grow_old(run: Run) -> None:
    """Make everything about the run as old as it would be after six minutes."""
    run.heartbeat_at = datetime.now(UTC) - LONG_AGO
    for job in run.jobs:
        job.heartbeat_at = datetime.now(UTC) - LONG_AGO
    db.session.commit()


@pytest.mark.usefixtures("both")
def test_a_hosts_tag_decides_which_executor_scans_it(main: Site, dmz: Site, make_task: MakeTask) -> None:
    ids = {host.name: host.id for host in db.session.scalars(select(Host))}

    inner, outer = (done(make_task(host_id=ids[name])) for name in ("inner", "outer"))

    assert main.job_ids() == {job_at(inner, MAIN).id}
    assert dmz.job_ids() == {job_at(outer, "dmz").id}


@pytest.mark.usefixtures("both")
def test_a_run_over_two_sites_is_one_run_with_the_results_of_both(
    web: ScheduledTask, make_task: MakeTask
) -> None:
    done(make_task(task_type="db_update", database_type="gost_debian"))

    run = done(web)

    assert (run.status, run.reason) == (RunStatus.SUCCESS, None)
    assert [job.request["servers"] for job in run.jobs] == [["inner"], ["outer"]]
    assert run.result_data is not None
    assert (run.result_data["opened"], run.result_data["host_counts"]["success"]) == (3, 2)
    assert [step["executor"] for step in run.steps] == [MAIN] * 3 + ["dmz"] * 3


@pytest.mark.usefixtures("both")
def test_results_of_one_executor_stay_when_those_of_another_cannot_be_stored(
    web: ScheduledTask, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(make_task(task_type="db_update", database_type="gost_debian"))
    real = scan_results.store_documents

    def of_documents(job: RunJob, *rest: Any) -> list[scan_results.HostResult]:
        return (stumble if job.executor == MAIN else real)(job, *rest)

    monkeypatch.setattr(scan_results, "store_documents", of_documents)
    run = done(web)

    assert run.status is RunStatus.PARTIAL
    assert str(run.reason).startswith("Its job's results could not be stored")
    assert run.result_data is not None
    assert (run.result_data["opened"], run.result_data["host_counts"]["failed"]) == (2, 1)


@pytest.mark.usefixtures("both")
def test_each_line_of_a_log_from_two_executors_names_its_executor(web: ScheduledTask) -> None:
    log = log_of(done(web))

    assert {line.split()[0] for line in log.splitlines()} == {"[main]", "[dmz]"}
    assert log.count("[main] configtest") == log.count("[dmz] configtest") == 1


@pytest.mark.usefixtures("both")
def test_a_database_update_is_done_by_every_executor(make_task: MakeTask) -> None:
    run = done(make_task(task_type="db_update", database_type="gost_debian"))

    assert run.status is RunStatus.SUCCESS
    assert run.result_data is not None
    # Either may be the first to end.
    assert sorted((each["executor"], each["rows"]) for each in run.result_data["databases"]) == [
        ("dmz", 2),
        (MAIN, 2),
    ]


def test_while_an_executor_is_down_its_job_waits_and_the_others_run(
    web: ScheduledTask, main: Site, dmz: Site
) -> None:
    run = start(web)
    worker.launch_runs([run.id])
    follow_both(run, until=lambda run: job_at(run, MAIN).status is JobStatus.COMPLETED)

    assert run.status is RunStatus.RUNNING
    assert job_at(run, "dmz").status is JobStatus.WAITING
    assert str(job_at(run, "dmz").reason).startswith("The executor dmz does not answer.")
    with dmz.running():
        grow_old(run)
        worker.launch_runs([run.id])
        follow_both(run)
    assert {host.last_outcome is not None for host in db.session.scalars(select(Host))} == {True}
    assert dmz.job_ids() == {job_at(run, "dmz").id}


def test_the_job_of_an_executor_that_is_down_fails_if_its_task_says_so(
    web: ScheduledTask, main: Site, dmz: Site, make_task: MakeTask
) -> None:
    done(make_task(task_type="db_update", database_type="gost_debian", absence="fail"))
    task_editing.change(
        web, {"name": "n", "task_type": "scan", "scan_type": "fast", "host_tag": "web"} | RULES, NOW
    )
    db.session.commit()

    run = done(web)

    assert run.status is RunStatus.PARTIAL
    assert str(run.reason).startswith("The executor dmz does not answer.")
    assert run.result_data is not None
    assert run.result_data["host_counts"] == {"success": 1, "partial": 0, "failed": 1}


RULES = {"cron_expression": "0 2 * * *", "absence": "fail"}


def test_whichever_job_ends_last_ends_the_run(
    app: Flask, web: ScheduledTask, main: Site, dmz: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    main.tools.hold()
    run = start(web)
    worker.launch_runs([run.id])
    web.absence = Absence.FAIL
    grow_old(run)
    ask = ExecutorClients.ask

    def ask_while_the_other_ends(clients: ExecutorClients, name: str, operation: Callable[..., Any]) -> Any:
        if name == "dmz":
            # This worker has seen the other job run, and it ends while ours is asked for.
            assert job_at(run, MAIN).status.is_with_executor
            main.tools.let_go()
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(follow_main_to_its_end, app, run.id).result()
        return ask(clients, name, operation)

    monkeypatch.setattr(ExecutorClients, "ask", ask_while_the_other_ends)
    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status in (RunStatus.FAILED, RunStatus.PARTIAL)


def follow_main_to_its_end(app: Flask, run_id: int) -> None:
    with app.app_context():
        ended = select(RunJob).where(RunJob.run_id == run_id, RunJob.status == JobStatus.COMPLETED)

        def over() -> bool:
            worker.follow_runs(MAIN)
            return db.session.scalars(ended).first() is not None

        wait_for(over)


def test_an_update_that_an_executor_missed_is_partial(make_task: MakeTask, main: Site, dmz: Site) -> None:
    run = done(make_task(task_type="db_update", database_type="gost_debian", absence="fail"))

    assert run.status is RunStatus.PARTIAL
    assert "The executor dmz does not answer." in str(run.reason)


def test_a_run_that_waits_for_an_executor_alone_is_sent_when_it_answers_again(
    web: ScheduledTask, main: Site, dmz: Site, sent: list[int]
) -> None:
    run = start(web)
    worker.launch_runs([run.id])
    grow_old(run)
    worker.sweep()
    while_away = list(sent)

    with dmz.running():
        worker.sweep()

    assert while_away == []
    assert sent == [run.id]


def test_an_executor_without_reply_for_long_fails_the_runs_whose_tasks_say_so(
    make_task: MakeTask, main: Site, dmz: Site
) -> None:
    outer = db.session.scalars(select(Host).where(Host.name == "outer")).one()
    waiting, failing = (make_task(host_id=outer.id, absence=absence) for absence in ("wait", "fail"))
    begun = [start(task) for task in (waiting, failing)]
    dmz.tools.hold()
    with dmz.running():
        worker.launch_runs([run.id for run in begun])
    for run in begun:
        grow_old(run)

    worker.sweep()

    for run in begun:
        db.session.refresh(run)
    assert [run.status for run in begun] == [RunStatus.RUNNING, RunStatus.FAILED]
    assert "It has not replied for five minutes." in str(begun[1].reason)
    dmz.tools.let_go()


def test_a_run_that_waited_too_long_for_an_executor_keeps_what_the_other_did(
    web: ScheduledTask, main: Site, dmz: Site
) -> None:
    run = start(web)
    worker.launch_runs([run.id])
    follow_both(run, until=lambda run: job_at(run, MAIN).status is JobStatus.COMPLETED)
    run.started_at = datetime.now(UTC) - timedelta(hours=7)
    db.session.commit()

    worker.sweep()

    db.session.refresh(run)
    assert run.status is RunStatus.TIMEOUT
    assert str(run.reason).endswith("It was still waiting for the executor dmz.")
    outcomes = {host.name: host.last_outcome for host in db.session.scalars(select(Host))}
    assert outcomes["outer"] is Outcome.FAILED
    assert outcomes["inner"] is not Outcome.FAILED


@pytest.mark.usefixtures("both")
def test_a_host_that_an_executor_does_not_know_yet_fails_alone(
    web: ScheduledTask, dmz: Site, make_task: MakeTask, make_host: Callable[..., Host]
) -> None:
    done(make_task(task_type="db_update", database_type="gost_debian"))
    make_host("new", tags=["web", "dmz"])

    run = done(web)

    assert (run.status, run.reason) == (
        RunStatus.PARTIAL,
        "new: The executor dmz does not have it in its config.toml yet.",
    )
    assert job_at(run, "dmz").request["servers"] == ["outer"]
    assert run.result_data is not None
    assert run.result_data["host_counts"] == {"success": 2, "partial": 0, "failed": 1}


@pytest.mark.usefixtures("both")
def test_cancel_stops_the_jobs_of_both(web: ScheduledTask, main: Site, dmz: Site) -> None:
    for site in (main, dmz):
        site.tools.hold()
    run = start(web)
    worker.launch_runs([run.id])
    lifecycle.cancel(run, datetime.now(UTC))
    db.session.commit()

    follow_both(run)

    assert run.status is RunStatus.CANCELLED
    assert {job.status for job in run.jobs} == {JobStatus.CANCELLED}


def test_a_job_of_a_removed_executor_is_lost(
    app: Flask, web: ScheduledTask, main: Site, dmz: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(web)
    worker.launch_runs([run.id])
    follow(run, until=lambda run: job_at(run, MAIN).status is JobStatus.COMPLETED)
    monkeypatch.setitem(app.config, "EXECUTORS", app.config["EXECUTORS"][:1])

    worker.sweep()

    db.session.refresh(run)
    assert not run.status.is_active
    assert "Its executor is no longer configured." in str(run.reason)


def test_a_worker_that_died_between_two_executors_leaves_the_rest_to_the_next(
    web: ScheduledTask, main: Site, dmz: Site
) -> None:
    run = start(web)
    claimed = lifecycle.claim(run.id, datetime.now(UTC))
    assert claimed is not None
    targets.prepare(claimed, executor_settings.configured())
    grow_old(claimed)

    with dmz.running():
        worker.launch_runs([run.id])
        follow_both(run)

    assert (len(main.job_ids()), len(dmz.job_ids())) == (1, 1)


@pytest.mark.usefixtures("both")
def test_a_connection_test_is_made_from_the_hosts_site(main: Site, dmz: Site) -> None:
    outer = db.session.scalars(select(Host).where(Host.name == "outer")).one()
    test = connection_tests.start(outer, datetime.now(UTC))
    db.session.commit()

    worker.follow_tests()

    assert (main.job_ids(), dmz.job_ids()) == (set(), {test.job_id})
