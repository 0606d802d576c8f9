"""The first screen, and the one thing that it says to do."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from tests.conftest import NOW, TOOLS, Installation, executors_at
from tests.views.conftest import MakeHost, MakeRun, add_finding, cve, flat, statements, store
from vulsweb.extensions import db
from vulsweb.models import Host, RunStatus, ScheduledTask

MakeTask = Callable[..., ScheduledTask]
LIVE = {"HX-Request": "true"}


def linked(page: str, address: str) -> str:
    """Return the words of the link to an address."""
    found = re.search(rf'href="{re.escape(address.replace("&", "&amp;"))}" ?>(.*?)</a>', flat(page))
    assert found is not None, address
    return re.sub(r"<svg.*?</svg>|<[^>]*>", "", found[1]).strip()


def test_the_counts_lead_to_the_tasks_that_they_count(signed_in: FlaskClient, make_task: MakeTask) -> None:
    make_task()
    make_task(is_active=False)
    make_task(task_type="db_update", database_type="nvd")

    page = signed_in.get("/").text

    assert linked(page.partition('id="tasks-title"')[2], "/tasks/") == "3"
    assert linked(page, "/tasks/?status=active") == "2 active"
    assert linked(page, "/tasks/?type=scan") == "2 scans"
    assert linked(page, "/tasks/?type=db_update") == "1 database update"


def test_open_findings_are_counted_by_severity_and_lead_to_their_lists(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    store(
        make_run(RunStatus.SUCCESS),
        {"CVE-2026-1": cve(9.8), "CVE-2026-2": cve(9.0), "CVE-2026-3": cve(5.0)},
    )

    page = signed_in.get("/").text

    assert linked(page.partition('id="open-title"')[2], "/findings/") == "3"
    assert linked(page, "/findings/?severity=critical") == "2 critical"
    assert linked(page, "/findings/?severity=medium") == "1 medium"
    assert "<title>2 critical, 1 medium</title>" in flat(page)


def test_what_is_new_since_yesterday_leads_to_just_that(signed_in: FlaskClient, make_host: MakeHost) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    host = make_host()
    add_finding(host, "CVE-2026-1", first_seen_at=midnight)
    add_finding(host, "CVE-2026-2", first_seen_at=midnight - timedelta(seconds=1))
    address = f"/findings/?since={midnight.date()}&sort=first_seen"

    assert linked(signed_in.get("/").text, address) == "1 new since yesterday"
    assert re.findall(r"<bdi>(CVE-.*?)</bdi>", signed_in.get(address).text) == ["CVE-2026-1"]


def test_hosts_that_were_never_scanned_are_counted(signed_in: FlaskClient, make_host: MakeHost) -> None:
    make_host("known-1", last_scan_at=NOW)
    make_host("new-1")
    make_host("old-1", retired_at=NOW)

    page = signed_in.get("/").text

    assert linked(page.partition('id="hosts-title"')[2], "/hosts/") == "2"
    assert linked(page, "/hosts/?show=never_scanned") == "1 never scanned"


def test_the_day_is_drawn_by_hour_told_as_a_table_and_leads_to_its_runs(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for status, back in [("failed", 24), ("failed", 23), ("failed", 3), ("success", 3), ("success", 0)]:
        make_run(RunStatus(status), created_at=this_hour - timedelta(hours=back))
    begin = (this_hour - timedelta(hours=23)).isoformat()

    page = signed_in.get("/").text
    drawn = page[page.index('<svg class="runs-chart"') :].partition("</svg>")[0]
    address = url("/runs/", status="failed", since=begin)

    assert drawn.count('class="failed"') == drawn.count('class="success"') == 2
    assert "4 runs in 24 hours, at most 2 in one hour" in drawn
    assert page.count('<th scope="row">') == 24
    assert linked(page, address) == "2 failed"
    assert signed_in.get(address).text.count('class="badge failed"') == 2


def url(path: str, **arguments: str) -> str:
    return f"{path}?{urlencode(arguments, safe=':')}"


def test_the_worst_hosts_stand_first_and_lead_to_what_they_have(
    signed_in: FlaskClient, make_host: MakeHost
) -> None:
    bad, worse = make_host("bad-1"), make_host("worse-1")
    for host, severity, count in [(bad, "high", 3), (worse, "critical", 1), (make_host(), "medium", 9)]:
        for number in range(count):
            add_finding(host, f"CVE-2026-{severity}-{number}", severity)

    page = signed_in.get("/").text

    assert page.index("<bdi>worse-1</bdi>") < page.index("<bdi>bad-1</bdi>")
    assert linked(page, "/findings/?host=bad-1&severity=high") == "3 high"
    assert "<bdi>web-1</bdi>" not in page


def test_it_shows_what_runs_with_the_step_at_which_it_is(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    steps = [{"name": "configtest", "status": "completed"}, {"name": "scan", "status": "running"}]
    run = make_run(RunStatus.RUNNING, make_task(name="Busy one"), steps=steps)

    page = flat(signed_in.get("/").text)

    assert f'href="/runs/{run.id}"><bdi>Busy one</bdi>' in page
    assert "Read the installed packages" in page


def test_it_shows_what_went_wrong_last_and_why(signed_in: FlaskClient, make_run: MakeRun) -> None:
    for status in (RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.TIMEOUT):
        make_run(status, reason=f"Reason of {status.value}.")
    make_run(RunStatus.CANCELLED, reason="Reason of nobody.")

    page = signed_in.get("/").text

    for reason in ("Reason of failed.", "Reason of partial.", "Reason of timeout."):
        assert reason in page
    assert "Reason of nobody." not in page


def test_it_shows_what_comes_next_soonest_first(signed_in: FlaskClient, make_task: MakeTask) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=12, seconds=20)
    make_task(name="Later", next_run_at=soon + timedelta(hours=9))
    make_task(name="Soon", next_run_at=soon)
    make_task(name="Overdue", next_run_at=soon - timedelta(hours=1))
    make_task(name="Asleep", is_active=False)

    page = flat(signed_in.get("/").text)

    assert page.index("Overdue") < page.index("Soon") < page.index("Later")
    assert ">in 12 min</time>" in page
    assert ">due now</time>" in page
    assert "Asleep" not in page


def test_an_empty_overview_says_how_to_begin(signed_in: FlaskClient) -> None:
    page = signed_in.get("/").text

    assert "Nothing is running." in page
    assert "No problems." in page
    assert "New task" in page


def test_the_live_part_is_silent_until_something_changes(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)
    found = re.search(r'id="overview-live"[^>]*?hx-get="([^"]+)"', signed_in.get("/").text)
    assert found is not None

    unchanged = signed_in.get(found[1], headers=LIVE)
    run.status, run.reason = RunStatus.FAILED, "It broke."
    db.session.commit()
    changed = signed_in.get(found[1], headers=LIVE)

    assert unchanged.status_code == 204
    assert changed.status_code == 200
    assert "It broke." in changed.text


def test_while_nothing_changes_the_live_part_counts_nothing(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    make_run(RunStatus.RUNNING)
    address = live_address(signed_in.get("/").text)

    with statements() as sent:
        answer = signed_in.get(address, headers=LIVE)

    assert answer.status_code == 204
    assert len(sent) == 4
    assert not [statement for statement in sent if "count(" in statement]


def test_it_asks_as_often_for_many_as_for_none(
    signed_in: FlaskClient, make_run: MakeRun, make_host: MakeHost
) -> None:
    with statements() as few:
        signed_in.get("/")
    for number in range(9):
        add_finding(make_host(f"web-{number}"), "CVE-2026-1", "critical")
        make_run(RunStatus.RUNNING)
        make_run(RunStatus.FAILED)
    with statements() as many:
        signed_in.get("/")

    assert len(few) == len(many) <= 13


def test_a_step_that_ends_and_a_host_that_comes_are_changes(
    signed_in: FlaskClient, make_run: MakeRun, make_host: MakeHost
) -> None:
    run = make_run(RunStatus.RUNNING, steps=[{"name": "scan", "status": "running"}])
    addresses = [live_address(signed_in.get("/").text)]

    run.jobs[0].steps = [{"name": "scan", "status": "completed"}]
    db.session.commit()
    stepped = signed_in.get(addresses[0], headers=LIVE)
    make_host("another")
    grown = signed_in.get(live_address(stepped.text), headers=LIVE)

    assert (stepped.status_code, grown.status_code) == (200, 200)


def live_address(page: str) -> str:
    found = re.search(r'id="overview-live"[^>]*?hx-get="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_without_the_executor_the_age_of_the_databases_is_not_known(signed_in: FlaskClient) -> None:
    assert "The executor does not answer" in signed_in.get("/overview/databases").text


def test_no_database_yet_is_said_so(signed_in: FlaskClient, installation: Installation) -> None:
    assert "No databases yet" in signed_in.get("/overview/databases").text


def test_it_counts_the_systems_on_which_vuls_finds_nothing(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")
    spots = signed_in.get("/api/databases").get_json()["blind_spots"]

    part = flat(signed_in.get("/overview/databases").text)

    assert "Debian 13" in spots
    assert f"Vuls v0.26.0 finds nothing on {len(spots)} systems" in part


def test_the_age_of_the_databases_is_told_and_an_old_one_warned_of(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_database((datetime.now(UTC) - timedelta(days=40)).isoformat())

    part = flat(signed_in.get("/overview/databases").text)

    assert '1 <span class="unit">of 9</span>' in part
    assert ">40 days ago</time>" in part
    assert "1 older than a month" in part


def test_the_page_does_not_wait_for_the_executor(signed_in: FlaskClient) -> None:
    page = signed_in.get("/").text

    assert 'hx-get="/system-notice"' in page
    assert "executor" not in page


def test_an_executor_that_does_not_answer_is_said_so(signed_in: FlaskClient) -> None:
    answer = signed_in.get("/system-notice")

    assert answer.status_code == 200
    assert "The executor does not answer, so nothing runs." in answer.text


def test_an_api_key_that_the_executor_rejects_is_reported(
    signed_in: FlaskClient, app: Flask, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = app.config["EXECUTORS"][0].url
    monkeypatch.setitem(app.config, "EXECUTORS", executors_at(url, "some other key, just as long as ours"))

    notice = signed_in.get("/system-notice").text

    assert "Verify that the API key matches between the services: EXECUTOR_API_KEY" in notice


def test_without_vuls_it_says_what_to_install(signed_in: FlaskClient, installation: Installation) -> None:
    notice = flat(signed_in.get("/system-notice").text)

    assert "Vuls is not installed here." in notice
    assert "<code>make tools</code>" in notice


def test_without_one_of_the_other_tools_it_names_that_tool(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_tools("vuls", "go-cve-dictionary", "goval-dictionary")

    notice = flat(signed_in.get("/system-notice").text)

    assert "gost is not installed here." in notice
    assert "Vuls is" not in notice


@pytest.mark.parametrize(
    ("system", "database", "effort"),
    [
        ("debian", "gost_debian", "GOST Debian. Some 150 MB, in a few minutes."),
        ("ubuntu", "gost_ubuntu", "GOST Ubuntu. Several hundred MB"),
        ("plan9", "all", "All Databases."),
    ],
)
def test_without_a_database_it_offers_what_this_machine_needs(
    signed_in: FlaskClient,
    installation: Installation,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    database: str,
    effort: str,
) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": system})
    installation.add_tools(*TOOLS)
    for each in ("nvd", "all", "gost_debian", "gost_ubuntu"):
        make_task(task_type="db_update", database_type=each, name=each)
    task = db.session.scalars(select(ScheduledTask).filter_by(name=database)).one()

    notice = flat(signed_in.get("/system-notice").text)

    assert "No vulnerability database yet." in notice
    assert f'action="/tasks/{task.id}/run"' in notice
    assert f"fetches {effort}" in notice


def test_without_a_database_it_offers_what_the_known_hosts_need(
    signed_in: FlaskClient, installation: Installation, make_task: MakeTask, make_run: MakeRun
) -> None:
    store(make_run(RunStatus.PARTIAL), {})
    db.session.execute(update(Host).values(family="alpine"))
    installation.add_tools(*TOOLS)
    tasks = [make_task(task_type="db_update", database_type=each) for each in ("gost_debian", "alpine")]

    assert f'action="/tasks/{tasks[1].id}/run"' in signed_in.get("/system-notice").text


def test_under_the_current_profile_it_offers_its_one_database_with_its_size(
    signed_in: FlaskClient, current: Installation, make_task: MakeTask
) -> None:
    make_task(task_type="db_update", database_type="gost_debian")
    task = make_task(task_type="db_update", database_type="all", name="Daily")

    notice = flat(signed_in.get("/system-notice").text)

    assert f'action="/tasks/{task.id}/run"' in notice
    assert "<bdi>Daily</bdi> fetches Vuls2 Database. About 7 GB on disk, in ten minutes or more." in notice


def test_without_a_database_or_a_task_for_it_it_leads_to_a_new_one(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)

    assert 'href="/tasks/new?type=db_update"' in signed_in.get("/system-notice").text


def test_when_all_is_there_it_says_nothing(signed_in: FlaskClient, installation: Installation) -> None:
    installation.add_tools(*TOOLS)
    installation.add_database()

    answer = signed_in.get("/system-notice")

    assert (answer.status_code, answer.text.strip()) == (200, "")
