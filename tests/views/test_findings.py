"""All findings over all hosts: which, in what order, page by page, and one CVE's own page."""

import html
import re
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient

from tests.conftest import NOW
from tests.views.conftest import (
    HOSTILE,
    PACKAGE,
    MakeHost,
    MakeRun,
    add_finding,
    cve,
    flat,
    statements,
    store,
)
from vulsweb.findings import lists as finding_lists
from vulsweb.models import RunStatus


def found(page: str) -> list[str]:
    """Return the CVEs of the rows, in their order, by their last digits."""
    return re.findall(r'<a class="cve[^>]*><bdi>CVE-2026-(\w+)</bdi>', page)


@pytest.fixture
def some(make_host: MakeHost) -> None:
    """Five findings on two hosts in service, and one on a host that is retired."""
    web, db_1 = make_host("web-1"), make_host("db-1")
    add_finding(web, "CVE-2026-1", "low", first_seen_at=NOW + timedelta(days=2))
    add_finding(web, "CVE-2026-2", "critical", title="Overflow of 100% in libfoo")
    add_finding(db_1, "CVE-2026-3", "high", first_seen_at=NOW + timedelta(days=1))
    add_finding(db_1, "CVE-2026-4", "unknown", packages=[PACKAGE | {"name": "openssl"}])
    add_finding(db_1, "CVE-2026-5", "critical", score=9.1, fixed_at=NOW)
    add_finding(make_host("old-1", retired_at=NOW), "CVE-2026-6", "critical")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["2", "3", "1", "4"]),
        ("sort=first_seen", ["1", "3", "4", "2"]),
        ("sort=host", ["3", "4", "2", "1"]),
        ("sort=nonsense", ["2", "3", "1", "4"]),
        ("status=fixed", ["5"]),
        ("severity=critical", ["2"]),
        ("severity=low&severity=critical", ["2", "1"]),
        ("severity=low&severity=critical&sort=host", ["2", "1"]),
        ("severity=nonsense", ["2", "3", "1", "4"]),
        ("host=db-1", ["3", "4"]),
        ("host=db", []),
        ("host=*b-1", ["2", "3", "1", "4"]),
        ("host=w*", ["2", "1"]),
        ("since=2026-01-02", ["3", "1"]),
        ("since=tomorrow", ["2", "3", "1", "4"]),
        ("search=cve-2026-3", ["3"]),
        ("search=LIBFOO", ["2"]),
        ("search=100%25", ["2"]),
        ("search=100_", []),
        ("search=openss", ["4"]),
        ("search=%00", ["2", "3", "1", "4"]),
        ("search=title&host=web-1&severity=low&since=2026-01-03", ["1"]),
    ],
)
def test_the_address_says_which_findings_in_which_order(
    signed_in: FlaskClient, some: None, query: str, expected: list[str]
) -> None:
    assert found(signed_in.get(f"/findings/?{query}").text) == expected


@pytest.mark.parametrize("sort", ["severity", "first_seen", "host"])
def test_pages_follow_each_other_both_ways_without_a_gap(
    signed_in: FlaskClient, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    monkeypatch.setattr("vulsweb.views.findings.PER_PAGE", 3)
    hosts = [make_host("b-1"), make_host("a-1")]
    for number in range(8):
        # Alike in all but the id, so that nothing else can tell them apart.
        add_finding(hosts[number % 2], f"CVE-2026-{number}")

    first = signed_in.get(f"/findings/?sort={sort}").text
    second = signed_in.get(link(first, "next")).text
    third = signed_in.get(link(second, "next")).text
    back = signed_in.get(link(third, "prev")).text
    home = signed_in.get(link(back, "prev")).text

    assert sorted(found(first) + found(second) + found(third)) == [str(number) for number in range(8)]
    assert (found(back), found(home)) == (found(second), found(first))
    assert 'rel="next"' not in third
    assert 'rel="prev"' not in home


def link(page: str, rel: str) -> str:
    address = re.search(rf'rel="{rel}"\s+href="([^"]+)"', page)
    assert address is not None
    return address[1].replace("&amp;", "&")


def test_the_place_of_a_finding_that_is_gone_is_the_first_page(signed_in: FlaskClient, some: None) -> None:
    assert found(signed_in.get("/findings/?after=999").text) == ["2", "3", "1", "4"]


def test_the_links_keep_the_filter(signed_in: FlaskClient, some: None) -> None:
    page = signed_in.get("/findings/?severity=low&severity=high&search=title&sort=host").text

    assert 'value="low"\n               checked' in page
    assert 'value="title"' in page
    assert re.search(r'href="/findings/\?severity=high&amp;severity=low&amp;search=title"', page)


def test_it_counts_no_further_than_it_has_to(
    signed_in: FlaskClient, some: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = flat(signed_in.get("/findings/").text)
    monkeypatch.setattr(finding_lists, "COUNT_LIMIT", 2)
    monkeypatch.setattr("vulsweb.views.findings.COUNT_LIMIT", 2)
    more = flat(signed_in.get("/findings/").text)

    assert "4 open findings on active hosts" in counted
    assert "More than 2 open findings" in more


def test_a_page_of_fifty_asks_the_database_as_often_as_one_of_one(
    signed_in: FlaskClient, make_host: MakeHost
) -> None:
    add_finding(make_host("web-0"), "CVE-2026-0")
    signed_in.get("/findings/")

    with statements() as few:
        signed_in.get("/findings/?search=title")
    for number in range(1, 60):
        add_finding(make_host(f"web-{number}"), f"CVE-2026-{number}")
    with statements() as many:
        page = signed_in.get("/findings/?search=title").text

    assert len(found(page)) == 50
    assert len(many) == len(few) <= 4


def test_before_the_first_scan_it_says_what_to_do(signed_in: FlaskClient) -> None:
    page = signed_in.get("/findings/").text

    assert "No scans yet" in page
    assert 'href="/tasks/new"' in page


def test_after_a_clean_scan_it_does_not_ask_for_one(signed_in: FlaskClient, make_run: MakeRun) -> None:
    store(make_run(RunStatus.SUCCESS), {})

    page = signed_in.get("/findings/").text

    assert "No open findings" in page
    assert "No scans yet" not in page


def test_a_filter_that_leaves_nothing_says_so(signed_in: FlaskClient, some: None) -> None:
    assert "No matching findings" in signed_in.get("/findings/?search=xyzzy").text


def test_a_cve_has_a_page_with_the_hosts_that_have_it(signed_in: FlaskClient, make_host: MakeHost) -> None:
    for name, fixed_at in [("web-2", None), ("web-1", None), ("web-3", NOW)]:
        add_finding(make_host(name), "CVE-2026-7", fixed_at=fixed_at, title="An overflow")

    page = flat(signed_in.get("/findings/CVE-2026-7").text)
    fixed = flat(signed_in.get("/findings/CVE-2026-7?status=fixed").text)

    assert "An overflow" in page
    assert "Open on <b>2 hosts</b>" in page
    assert "Fixed on <b>1 host</b>" in page
    assert re.findall(r"<bdi>(web-\d)</bdi>", page) == ["web-1", "web-2"]
    assert re.findall(r"<bdi>(web-\d)</bdi>", fixed) == ["web-3"]


@pytest.mark.parametrize("path", ["CVE-1999-1", "%00", "a/b", "CVE-2026-6"])
def test_a_cve_that_no_host_in_service_had_is_not_there(
    signed_in: FlaskClient, some: None, path: str
) -> None:
    assert signed_in.get(f"/findings/{path}").status_code == 404


def test_a_cves_page_asks_a_fixed_number_of_times(signed_in: FlaskClient, make_host: MakeHost) -> None:
    for number in range(20):
        add_finding(make_host(f"web-{number}"), "CVE-2026-7")

    with statements() as sent:
        signed_in.get("/findings/CVE-2026-7")

    assert len(sent) <= 4


def test_hostile_text_is_shown_as_text(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {f"{HOSTILE}/\u202e": cve(9.8, title=f"{HOSTILE}\u202e", package=f"{HOSTILE}\u202e")})

    listed = signed_in.get("/findings/").text
    address = re.search(r'<a class="cve strong"\s+href="([^"]+)"', listed)
    assert address is not None
    own = signed_in.get(html.unescape(address[1])).text

    for page in (listed, own):
        assert "alert(" in page
        assert HOSTILE not in page
        assert "\u202e" not in page


def test_the_days_of_since_are_whole(signed_in: FlaskClient, make_host: MakeHost) -> None:
    host = make_host()
    add_finding(host, "CVE-2026-1", first_seen_at=datetime.fromisoformat("2026-01-01T23:59:59+00:00"))
    add_finding(host, "CVE-2026-2", first_seen_at=datetime.fromisoformat("2026-01-02T00:00:00+00:00"))

    assert found(signed_in.get("/findings/?since=2026-01-02").text) == ["2"]


def test_what_a_run_showed_to_be_fixed_is_a_list_of_its_own(
    signed_in: FlaskClient, make_run: MakeRun, make_host: MakeHost
) -> None:
    earlier = make_run(RunStatus.SUCCESS)
    store(earlier, {"CVE-2026-1": cve(5.0), "CVE-2026-2": cve(9.8)})
    run = make_run(RunStatus.SUCCESS, earlier.task, completed_at=NOW)
    store(run, {"CVE-2026-2": cve(9.8)})
    add_finding(make_host(), "CVE-2026-3", fixed_at=NOW)

    page = signed_in.get(f"/runs/{run.id}").text
    address = re.search(r'class="fixed"\s+href="([^"]+)"', page)
    assert address is not None
    listed = signed_in.get(html.unescape(address[1])).text

    assert found(listed) == ["1"]
    assert f"Fixed by run #{run.id}" in listed
