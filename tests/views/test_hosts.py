"""The pages of the hosts: list, host, tags and notes, sync."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import EXECUTOR_KEY, NOW
from tests.views.conftest import HOSTILE, MakeRun, cve, statements, store
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.hosts import config_sync
from vulsweb.models import Host, RunHost, RunStatus, ScheduledTask
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Outcome

MakeHost = Callable[..., Host]
MakeTask = Callable[..., ScheduledTask]
LIVE = {"HX-Request": "true"}


def names(page: str) -> list[str]:
    return re.findall(r'id="host-link-\d+"[^>]*><bdi>(.*?)</bdi>', page, re.DOTALL)


@pytest.fixture
def some(make_host: MakeHost, make_task: MakeTask, make_run: MakeRun) -> list[Host]:
    """Hosts of every kind; alpha has findings."""
    alpha = make_host("alpha", hostname="192.0.2.10", tags=["web", "db"])
    run = make_run(RunStatus.SUCCESS, make_task(host_id=alpha.id))
    store(run, {"CVE-1": cve(9.9), "CVE-2": cve(9.1), "CVE-3": cve(5.0)})
    alpha.last_run_id, alpha.last_scan_at, alpha.last_outcome = run.id, NOW, Outcome.SUCCESS
    beta = make_host("Beta", tags=["web"], notes="Ask Ops_100% first", connection=HostConnection.LOCAL)
    gone = make_host("gone", tags=["web"], retired_at=NOW)
    return [alpha, beta, gone]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["alpha", "Beta"]),
        ("?sort=-name", ["Beta", "alpha"]),
        ("?sort=-critical", ["alpha", "Beta"]),
        ("?sort=critical", ["Beta", "alpha"]),
        ("?sort=last_scan", ["alpha", "Beta"]),
        ("?sort=nonsense", ["alpha", "Beta"]),
        ("?show=retired", ["gone"]),
        ("?show=never_scanned", ["Beta"]),
        ("?show=critical", ["alpha"]),
        ("?show=nonsense&connection=nonsense", ["alpha", "Beta"]),
        ("?tag=db", ["alpha"]),
        ("?tag=nothing", []),
        ("?tag=web&show=retired", ["gone"]),
        ("?connection=local", ["Beta"]),
        ("?search=192.0.2.1", ["alpha"]),
        ("?search=ops_100%25", ["Beta"]),
        ("?search=%00", ["alpha", "Beta"]),
        ("?search=ALPHA&tag=web&connection=direct", ["alpha"]),
    ],
)
def test_the_list_shows_what_the_address_says(
    signed_in: FlaskClient, some: list[Host], query: str, expected: list[str]
) -> None:
    assert names(signed_in.get(f"/hosts/{query}").text) == expected


def test_a_row_says_what_is_known_and_each_number_leads_to_what_it_counts(
    signed_in: FlaskClient, some: list[Host]
) -> None:
    page = " ".join(signed_in.get("/hosts/?search=alpha").text.split())

    assert f'href="/hosts/{some[0].id}?severity=critical#findings"' in page
    assert "2 critical" in page
    assert f'href="/hosts/{some[0].id}#tasks">1<' in page
    assert f'href="/runs/{some[0].last_run_id}"' in page
    assert 'href="/hosts/?tag=web"' in page


def test_the_list_costs_the_same_however_many_hosts_it_shows(
    signed_in: FlaskClient, some: list[Host], make_host: MakeHost
) -> None:
    with statements() as few:
        signed_in.get("/hosts/")
    for number in range(40):
        make_host(f"h{number}", tags=["web"])
    with statements() as many:
        signed_in.get("/hosts/")

    assert len(few) == len(many) <= 14


def test_the_list_is_asked_for_in_pages(signed_in: FlaskClient, make_host: MakeHost) -> None:
    for number in range(51):
        make_host(f"h{number:02}", tags=["web"])

    first, second = (signed_in.get(f"/hosts/?tag=web&page={page}").text for page in (1, 2))

    assert (len(names(first)), names(second)) == (50, ["h50"])
    assert "page=2&amp;tag=web" in first


def test_the_list_notices_hosts_and_is_silent_while_nothing_changes(
    signed_in: FlaskClient, some: list[Host]
) -> None:
    found = re.search(r'id="host-table"[^>]*?hx-get="([^"]+)"', signed_in.get("/hosts/?tag=web").text)
    assert found is not None
    address = found[1].replace("&amp;", "&")
    silent = signed_in.get(address, headers=LIVE)
    config_sync.sync("", NOW, confirmed=True)
    db.session.commit()

    answer = signed_in.get(address, headers=LIVE)

    assert silent.status_code == 204
    assert (answer.status_code, names(answer.text)) == (200, [])


def test_a_page_beyond_the_last_is_the_last(signed_in: FlaskClient, some: list[Host]) -> None:
    assert "alpha" in signed_in.get("/hosts/").text
    for number in ("999", "0", "-1", "x", "9" * 30):
        assert "alpha" in signed_in.get(f"/hosts/?page={number}").text, number


def test_a_sync_that_retires_most_hosts_asks_first(
    app: Flask, signed_in: FlaskClient, make_host: MakeHost
) -> None:
    for name in "abcd":
        make_host(name)
    app.config["VULS_CONFIG"].write_text('[servers.a]\nhost = "a"\n')

    question = signed_in.post("/hosts/sync")
    before = signed_in.get("/hosts/").text
    done = signed_in.post("/hosts/sync", data={"confirmed": "yes"})

    assert "Retire 3 of 4 hosts?" in question.text
    assert [name for name in "bcd" if f"<bdi>{name}</bdi>" in question.text] == ["b", "c", "d"]
    assert "<bdi>d</bdi>" in before
    assert "3 retired" in signed_in.get(done.location).text


def test_an_empty_list_teaches_where_hosts_come_from(signed_in: FlaskClient) -> None:
    page = signed_in.get("/hosts/").text

    assert "No hosts yet" in page
    assert "[servers.NAME]" in page


def test_names_and_notes_of_a_host_that_means_harm_are_shown_without_harm(
    signed_in: FlaskClient, make_host: MakeHost, make_task: MakeTask, make_run: MakeRun
) -> None:
    evil = f"\u202e{HOSTILE}"
    host = make_host(evil, notes=evil, hostname="x", vuls_config={evil: evil}, tags=["web"])
    run = make_run(RunStatus.FAILED, make_task(host_id=host.id))
    db.session.add(RunHost(run_id=run.id, name=evil, host_id=host.id, message=evil, warnings=[evil]))
    db.session.commit()

    pages = [
        signed_in.get(path).text
        for path in ("/hosts/", f"/hosts/{host.id}", "/tasks/", f"/runs/{run.id}", "/runs/", "/tasks/new")
    ]

    for page in pages:
        assert "<script>alert" not in page
        assert "\N{REPLACEMENT CHARACTER}&lt;script&gt;" in page


def test_a_host_shows_its_section_tasks_runs_and_findings(
    signed_in: FlaskClient, some: list[Host], make_task: MakeTask
) -> None:
    make_task(name="By its tag", host_id="", host_tag="web")
    db.session.add(
        RunHost(run_id=some[0].last_run_id, name="alpha", host_id=some[0].id, outcome=Outcome.SUCCESS)
    )
    db.session.commit()

    page = signed_in.get(f"/hosts/{some[0].id}").text

    assert "[servers.alpha]" in page
    assert "By its tag" in page
    assert "tag: <bdi>web</bdi> (2)" in page
    assert f'id="run-link-{some[0].last_run_id}"' in page
    assert re.findall(r"<bdi>(CVE-\d)</bdi>", page) == ["CVE-1", "CVE-2", "CVE-3"]
    assert "Run now" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("severity=medium", ["CVE-3"]),
        ("severity=low", []),
        ("severity=nonsense", ["CVE-1", "CVE-2", "CVE-3"]),
    ],
)
def test_a_hosts_findings_can_be_asked_for_by_severity(
    signed_in: FlaskClient, some: list[Host], query: str, expected: list[str]
) -> None:
    page = signed_in.get(f"/hosts/{some[0].id}?{query}").text

    assert re.findall(r"<bdi>(CVE-\d)</bdi>", page) == expected


def test_a_host_without_a_task_of_its_own_leads_to_a_form_for_one(
    signed_in: FlaskClient, some: list[Host]
) -> None:
    page = signed_in.get(f"/hosts/{some[1].id}").text
    form = signed_in.get(f"/tasks/new?type=scan&host={some[1].id}").text

    assert "Run now" not in page
    assert f'href="/tasks/new?type=scan&amp;host={some[1].id}"' in page
    assert re.search(rf'<option value="{some[1].id}"\s+selected>Beta', form)


def test_a_retired_host_says_so_and_offers_no_scan(signed_in: FlaskClient, some: list[Host]) -> None:
    page = signed_in.get(f"/hosts/{some[2].id}").text

    assert "has not been in config.toml since" in page
    assert "/tasks/new" not in page


def test_tags_and_notes_are_kept_in_their_one_form(signed_in: FlaskClient, some: list[Host]) -> None:
    data = {"tags": "Web Tier, db,, web-tier ", "notes": " Rack 7\n"}

    answer = signed_in.post(f"/hosts/{some[1].id}", data=data)

    db.session.refresh(some[1])
    assert (answer.status_code, answer.location) == (303, f"/hosts/{some[1].id}")
    assert (some[1].tags, some[1].notes) == (["web-tier", "db"], "Rack 7")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"tags": "a/b", "notes": "kept"}, "is not a valid tag"),
        ({"tags": ",".join(f"t{n}" for n in range(21)), "notes": "kept"}, "at most 20 tags"),
        ({"tags": "", "notes": "x" * 4001}, "at most 4000 characters"),
        ({"tags": "", "notes": "\x00"}, "plain text"),
    ],
)
def test_what_cannot_be_kept_is_said_beside_the_field_with_what_was_typed(
    signed_in: FlaskClient, some: list[Host], data: dict[str, str], said: str
) -> None:
    answer = signed_in.post(f"/hosts/{some[1].id}", data=data)

    db.session.refresh(some[1])
    assert answer.status_code == 422
    assert said in answer.text
    assert some[1].tags == ["web"]


@pytest.mark.parametrize(
    ("action", "word", "expected"),
    [
        ("tag", "New", [["web", "db", "new"], ["web", "new"], ["web"]]),
        ("untag", "web", [["db"], [], ["web"]]),
    ],
)
def test_a_selection_gets_a_tag_or_loses_it(
    signed_in: FlaskClient, some: list[Host], action: str, word: str, expected: list[list[str]]
) -> None:
    data = {"ids": [str(host.id) for host in some[:2]], "tag": word, "action": action}

    answer = signed_in.post("/hosts/bulk?tag=web&sort=-name", data=data)

    db.session.expire_all()
    assert answer.location == "/hosts/?tag=web&sort=-name"
    assert [host.tags for host in some] == expected


def test_a_full_host_gets_no_further_tag(signed_in: FlaskClient, make_host: MakeHost) -> None:
    host = make_host("full", tags=[f"t{number}" for number in range(20)])

    signed_in.post("/hosts/bulk", data={"ids": [host.id], "tag": "more", "action": "tag"})

    assert "Tag more added to 0 hosts." in signed_in.get("/hosts/").text


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"action": "tag", "tag": "web"}, 303),
        ({"action": "tag", "tag": "a/b", "ids": ["1"]}, 303),
        ({"action": "tag", "tag": "web", "ids": ["x", "99999999999", "-1"]}, 303),
        ({"action": "drop", "ids": ["1"]}, 400),
        ({}, 400),
    ],
)
def test_a_bulk_request_that_makes_no_sense_changes_nothing(
    signed_in: FlaskClient, some: list[Host], data: dict[str, str], status: int
) -> None:
    assert signed_in.post("/hosts/bulk", data=data).status_code == status
    db.session.expire_all()
    assert [host.tags for host in some] == [["web", "db"], ["web"], ["web"]]


def test_the_button_brings_the_hosts_in_step_and_says_what_that_came_to(
    app: Flask, signed_in: FlaskClient, some: list[Host]
) -> None:
    path: Path = app.config["VULS_CONFIG"]
    path.write_text(
        '[servers.alpha]\nhost = "192.0.2.10"\n[servers.new]\nhost = "x"\n[servers.bad]\nhost = 7\n'
    )

    answer = signed_in.post("/hosts/sync")
    page = signed_in.get(answer.location).text

    assert names(page) == ["alpha", "new"]
    assert "1 created, 1 updated, 1 retired, 0 unchanged; 1 entry cannot be used." in page
    assert "[servers.bad]: host must be text" in page


def test_a_file_that_does_not_parse_is_told_with_its_place(
    app: Flask, signed_in: FlaskClient, some: list[Host]
) -> None:
    app.config["VULS_CONFIG"].write_text("[servers.alpha]\nhost = \n")

    page = signed_in.get(signed_in.post("/hosts/sync").location).text

    assert "Hosts not updated. config.toml, line 2, column 8" in page
    assert names(page) == ["alpha", "Beta"]


def test_where_there_are_several_executors_a_host_says_which_scans_it(
    signed_in: FlaskClient, app: Flask, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host("outer", tags=["dmz"])
    alone = signed_in.get(f"/hosts/{host.id}").text
    dmz = Executor("dmz", "http://127.0.0.1:1", EXECUTOR_KEY, ("dmz",))
    monkeypatch.setitem(app.config, "EXECUTORS", (*app.config["EXECUTORS"], dmz))

    page = " ".join(signed_in.get(f"/hosts/{host.id}").text.split())

    assert "Scanned by" not in alone
    assert "<dt>Scanned by</dt> <dd> Executor dmz </dd>" in page
