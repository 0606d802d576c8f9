"""The Databases page, and the hint beside the field of the task form."""

import re
import socket
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import EXECUTOR_KEY, NOW, TOOLS, Installation, executors_at
from tests.views.conftest import MakeRun, flat
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import Host, Role, RunStatus, ScheduledTask, User

MakeTask = Callable[..., ScheduledTask]
AddResult = Callable[..., Host]
LIVE = {"HX-Request": "true"}


@pytest.fixture
def vuls(installation: Installation) -> Installation:
    """An executor with all tools, among them Vuls v0.26.0."""
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")
    return installation


@pytest.fixture
def add_result(make_run: MakeRun) -> AddResult:
    """Leave a result of a family for a fresh host, or for the one given, by its latest run."""

    def add(family: str, host: Host | None = None, **fields: object) -> Host:
        run = make_run(RunStatus.SUCCESS)
        host = host or run.task.host
        assert host is not None
        host.last_run_id = run.id
        host.set_system(family, "1")
        for name, value in fields.items():
            setattr(host, name, value)
        db.session.commit()
        return host

    return add


@pytest.fixture
def silence(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An executor that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setitem(
            app.config, "EXECUTORS", executors_at(f"http://127.0.0.1:{server.getsockname()[1]}")
        )
        yield server


def row(client: FlaskClient, name: str) -> str:
    """Return the row of a database, without its markup."""
    found = re.search(rf'<tr id="database-{name}">.*?</tr>', client.get("/databases/").text, re.DOTALL)
    assert found is not None
    return flat(re.sub("<[^>]*>", " ", found[0]))


def test_it_shows_each_database_with_whether_vuls_reads_it(
    signed_in: FlaskClient, vuls: Installation
) -> None:
    page = flat(signed_in.get("/databases/").text)

    assert page.count('<tr id="database-') == 10
    assert page.count("Used</span>") == 7
    assert "Vuls v0.26.0 does not read it, so fetching it has no effect." in row(signed_in, "ubuntu")


def test_it_shows_the_content_and_warns_if_it_is_old(signed_in: FlaskClient, vuls: Installation) -> None:
    vuls.add_database((datetime.now(UTC) - timedelta(days=40)).isoformat())

    debian = row(signed_in, "gost_debian")

    assert "Updated 40 days ago" in debian
    assert "More than a month old." in debian
    assert "1 row" in debian
    assert "Never updated" in row(signed_in, "nvd")


def test_it_counts_the_active_hosts_that_need_it_and_links_to_them(
    signed_in: FlaskClient, vuls: Installation, add_result: AddResult
) -> None:
    add_result("debian")
    add_result("debian")
    add_result("debian", retired_at=NOW)
    add_result("ubuntu")

    debian = row(signed_in, "gost_debian")

    assert "2 debian Required" in debian
    assert "All 3 scanned hosts" in row(signed_in, "nvd")
    assert 'href="/hosts/?family=debian"' in signed_in.get("/databases/").text
    assert "host-1" in (listed := signed_in.get("/hosts/?family=debian").text)
    assert "host-4" not in listed


def test_a_host_counts_by_its_latest_result(
    signed_in: FlaskClient, vuls: Installation, add_result: AddResult
) -> None:
    host = add_result("debian")
    add_result("ubuntu", host)

    assert "None scanned" in row(signed_in, "gost_debian")
    assert "1 ubuntu" in row(signed_in, "gost_ubuntu")


def test_a_scan_that_failed_since_does_not_lose_the_host(
    signed_in: FlaskClient, vuls: Installation, add_result: AddResult, make_run: MakeRun
) -> None:
    host = add_result("debian")
    host.last_run_id = make_run(RunStatus.FAILED).id
    db.session.commit()

    assert "1 debian" in row(signed_in, "gost_debian")


def test_a_needed_database_without_a_task_links_to_a_filled_in_task(
    signed_in: FlaskClient, vuls: Installation, add_result: AddResult
) -> None:
    add_result("debian")

    page = signed_in.get("/databases/").text
    form = flat(signed_in.get("/tasks/new?type=db_update&database=gost_debian").text)

    assert "No task updates it" in row(signed_in, "gost_debian")
    assert "No task updates it" not in row(signed_in, "gost_ubuntu")
    assert 'href="/tasks/new?type=db_update&amp;database=gost_debian"' in page
    assert '<option value="gost_debian" selected>' in form


def test_it_shows_the_tasks_with_next_run_and_run_now(
    signed_in: FlaskClient, vuls: Installation, make_task: MakeTask
) -> None:
    task = make_task(name="Monthly", task_type="db_update", database_type="all")
    make_task(name="Idle", task_type="db_update", database_type="nvd", is_active=False)

    page = signed_in.get("/databases/").text

    assert "Monthly All databases. Next run" in row(signed_in, "nvd")
    assert "Idle Inactive: runs only manually" in row(signed_in, "nvd")
    assert page.count(f'action="/tasks/{task.id}/run"') == 8  # seven that are read, and the empty state
    assert f'id="run-nvd-{task.id}"' in page


def test_it_shows_the_result_of_the_last_update(
    signed_in: FlaskClient, vuls: Installation, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task(task_type="db_update", database_type="all")
    steps = [
        {"name": "nvd", "status": "completed", "message": None},
        {"name": "gost_debian", "status": "failed", "message": "The feed brought <b>no</b> rows."},
    ]
    make_run(RunStatus.PARTIAL, task, result_data={"databases": steps})

    assert "Last update: Completed" in row(signed_in, "nvd")
    assert "Last update: Failed" in row(signed_in, "gost_debian")
    assert "The feed brought &lt;b&gt;no&lt;/b&gt; rows." in row(signed_in, "gost_debian")


def test_an_update_that_never_started_says_why(
    signed_in: FlaskClient, vuls: Installation, make_task: MakeTask, make_run: MakeRun
) -> None:
    make_run(RunStatus.FAILED, make_task(task_type="db_update", database_type="nvd"), reason="No executor.")

    assert re.search(r"Last update: Failed .* No executor\.", row(signed_in, "nvd"))


def test_with_nothing_fetched_it_explains_and_offers_the_first_update(
    signed_in: FlaskClient, vuls: Installation
) -> None:
    page = signed_in.get("/databases/").text
    vuls.add_database()

    assert "No databases yet" in page
    assert 'href="/tasks/new?type=db_update"' in page
    assert "No databases yet" not in signed_in.get("/databases/").text


def test_hosts_that_no_database_covers_are_named(
    signed_in: FlaskClient, vuls: Installation, add_result: AddResult
) -> None:
    add_result("oracle")

    assert "1 host of oracle :" in flat(re.sub("<[^>]*>", " ", signed_in.get("/databases/").text))


def test_hosts_that_a_vuls_looks_up_in_another_profiles_database_are_named(
    signed_in: FlaskClient, vuls: Installation, add_result: AddResult
) -> None:
    vuls.add_version("v0.37.0")
    add_result("ubuntu")

    page = flat(re.sub("<[^>]*>", " ", signed_in.get("/databases/").text))

    assert "profile is classic, and Vuls v0.37.0 reads only some of its databases." in page
    assert "Set EXECUTOR_PROFILE=classic with a Vuls up to v0.28" in page
    assert "1 host of ubuntu cannot be checked. Vuls v0.37.0 needs a database for it that is" in page


def test_under_the_current_profile_one_database_serves_all(
    signed_in: FlaskClient, current: Installation, add_result: AddResult, make_task: MakeTask
) -> None:
    make_task(name="Monthly", task_type="db_update", database_type="all")
    add_result("debian")
    add_result("amazon")

    page = flat(re.sub("<[^>]*>", " ", signed_in.get("/databases/").text))

    assert "Used Scans find nothing without it." in row(signed_in, "vuls2")
    assert "All 2 scanned hosts" in row(signed_in, "vuls2")
    assert "profile is current. Its Vuls does not read NVD" in row(signed_in, "nvd")
    assert "cannot be checked" not in page
    assert page.count(" Used ") == 1
    assert ("Monthly" in row(signed_in, "vuls2"), "Monthly" in row(signed_in, "nvd")) == (True, False)


def test_a_task_for_a_database_of_another_profile_is_refused(
    signed_in: FlaskClient, current: Installation
) -> None:
    form = {"name": "NVD", "task_type": "db_update", "database_type": "nvd", "cron_expression": "0 2 * * *"}

    refused = signed_in.post("/tasks/", data=form)

    assert refused.status_code == 422
    assert "Its Vuls does not read NVD Database, so fetching it has no effect." in flat(refused.text).replace(
        "&#39;", "'"
    )
    assert signed_in.post("/tasks/", data=form | {"database_type": "all"}).status_code == 303


def test_a_task_from_before_the_profile_says_that_it_is_unused_and_can_be_changed(
    signed_in: FlaskClient, current: Installation, make_task: MakeTask
) -> None:
    task = make_task(name="Old", task_type="db_update", database_type="nvd")
    form = {"name": "Old", "task_type": "db_update", "database_type": "nvd", "cron_expression": "0 2 * * *"}

    page = signed_in.get(f"/tasks/{task.id}").text

    assert 'hx-get="/databases/hint?database_type=nvd"' in page
    assert "has no effect" in signed_in.get("/databases/hint?database_type=nvd").text
    assert signed_in.post(f"/tasks/{task.id}", data=form).status_code == 303


def test_an_unknown_version_of_vuls_is_reported_and_nothing_is_claimed(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)

    page = signed_in.get("/databases/").text

    assert "The Vuls version is unknown," in page
    assert page.count("Unknown</span>") == 9


def test_without_the_executor_it_answers_and_says_what_to_do(
    signed_in: FlaskClient, silence: socket.socket, make_task: MakeTask
) -> None:
    make_task(name="Monthly", task_type="db_update", database_type="all")

    page = flat(signed_in.get("/databases/").text)

    assert "The executor does not answer, so nothing runs." in page
    assert "Check that the executor is running and accessible" in page
    assert "No databases yet" not in page
    assert "Monthly" in page


def test_the_live_part_is_silent_until_something_changes(signed_in: FlaskClient, vuls: Installation) -> None:
    found = re.search(r'id="databases-live"[^>]*?hx-get="([^"]+)"', signed_in.get("/databases/").text)
    assert found is not None

    unchanged = signed_in.get(found[1], headers=LIVE)
    vuls.add_database()
    changed = signed_in.get(found[1], headers=LIVE)

    assert (unchanged.status_code, changed.status_code) == (204, 200)


def test_a_viewer_sees_all_and_no_button(
    signed_in: FlaskClient, vuls: Installation, admin: User, make_task: MakeTask
) -> None:
    make_task(task_type="db_update", database_type="nvd")
    admin.role = Role.VIEWER
    db.session.commit()

    page = signed_in.get("/databases/").text

    assert "Run now" not in page
    assert "/tasks/new" not in page


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("ubuntu", "Vuls v0.26.0 does not read it, so fetching it has no effect."),
        ("gost_ubuntu", "Vuls v0.26.0 reads it"),
        ("all", "for what each one is for"),
        ("nonsense", "for what each one is for"),
    ],
)
def test_the_form_warns_of_an_unused_database(
    signed_in: FlaskClient, vuls: Installation, chosen: str, said: str
) -> None:
    assert said in flat(signed_in.get(f"/databases/hint?database_type={chosen}").text)


def test_without_the_executor_the_form_gives_no_hint(signed_in: FlaskClient) -> None:
    assert "for what each one is for" in signed_in.get("/databases/hint?database_type=ubuntu").text


def test_a_database_that_vuls_does_not_read_may_still_be_scheduled(
    signed_in: FlaskClient, vuls: Installation
) -> None:
    form = {
        "name": "OVAL",
        "task_type": "db_update",
        "database_type": "ubuntu",
        "cron_expression": "0 2 * * *",
    }

    assert signed_in.post("/tasks/", data=form).status_code == 303


def test_the_form_does_not_wait_for_the_hint(signed_in: FlaskClient, silence: socket.socket) -> None:
    silence.setblocking(False)

    page = signed_in.get("/tasks/new?type=db_update").text

    with pytest.raises(BlockingIOError):
        silence.accept()  # nobody has asked the executor
    assert re.search(r'hx-get="/databases/hint"\s+hx-include="#database_type"', page)


def test_of_several_executors_each_has_its_page(
    signed_in: FlaskClient, app: Flask, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.add_database()
    away = Executor("dmz", "http://127.0.0.1:1", EXECUTOR_KEY, ("dmz",))
    monkeypatch.setitem(app.config, "EXECUTORS", (*app.config["EXECUTORS"], away))

    page = signed_in.get("/databases/?executor=dmz").text

    assert re.findall(r'href="/databases/\?executor=(\w+)"\s*(aria-current="page")?', page) == [
        ("main", ""),
        ("dmz", 'aria-current="page"'),
    ]
    assert "It scans hosts tagged dmz." in page
    assert "/databases/live?executor=dmz" in page
    assert signed_in.get("/databases/?executor=none").status_code == 404


def test_it_names_the_systems_on_which_vuls_finds_nothing(signed_in: FlaskClient, vuls: Installation) -> None:
    page = flat(signed_in.get("/databases/").text)

    assert "Vuls v0.26.0 finds nothing on these systems:</strong> Debian 13, " in page
    assert "The profile current finds more" in page


def test_with_a_vuls_that_knows_all_it_names_none(signed_in: FlaskClient, current: Installation) -> None:
    assert "finds nothing on these systems" not in signed_in.get("/databases/").text


def test_a_feed_that_has_ended_is_said_on_page_and_api(signed_in: FlaskClient, vuls: Installation) -> None:
    vuls.add_version("v0.26.0", {"go-cve-dictionary": "v0.11.0", "gost": "v0.6.1"})

    page = row(signed_in, "nvd")
    shown = {each["name"]: each["ended"] for each in signed_in.get("/api/databases").get_json()["items"]}

    assert "Feed has ended Upstream has ended the feed that go-cve-dictionary v0.11.0 reads nvd from." in page
    assert [name for name, reason in shown.items() if reason] == ["nvd"]


def test_a_database_that_another_program_has_locked_is_said_on_page_and_api(
    signed_in: FlaskClient, vuls: Installation
) -> None:
    vuls.add_database()

    other = sqlite3.connect(vuls.databases / "gost.sqlite3")
    other.execute("BEGIN EXCLUSIVE")
    page = row(signed_in, "gost_debian")
    shown = {each["name"]: each for each in signed_in.get("/api/databases").get_json()["items"]}
    parts = {each["name"]: each for each in signed_in.get("/api/system").get_json()["parts"]}
    other.close()

    assert "Locked by another program" in page
    assert shown["gost_debian"]["locked"] is True
    assert parts["executor"]["state"] == "ok"
    assert parts["databases"]["says"].startswith("Locked by another program: GOST Debian.")
