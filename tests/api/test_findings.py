"""`/api/findings`: filters, order and links from page to page."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from tests.api.conftest import CountQueries
from tests.conftest import NOW
from tests.views.conftest import add_finding
from vulsweb.models import Host

MakeHost = Callable[..., Host]


def listed(api: FlaskClient, query: str = "") -> list[str]:
    return [finding["cve_id"] for finding in api.get(f"/api/findings?{query}").get_json()["items"]]


def test_a_finding_has_these_fields(api: FlaskClient, make_host: MakeHost) -> None:
    host = make_host("web-1")
    finding = add_finding(host, "CVE-2026-1", "high", fixed_at=NOW + timedelta(days=1))

    (item,) = api.get("/api/findings?status=fixed").get_json()["items"]

    package = {
        "name": "curl",
        "installed_version": "7.88.1-10",
        "fixed_in": "",
        "fix_state": "",
        "kind": "package",
        "path": "",
    }
    assert item == {
        "id": finding.id,
        "cve_id": "CVE-2026-1",
        "host_id": host.id,
        "host_name": "web-1",
        "severity": "high",
        "severity_source": "",
        "score": 8.1,
        "title": "A title",
        "packages": [package],
        "first_seen_at": "2026-01-01T12:00:00+00:00",
        "last_seen_at": "2026-01-01T12:00:00+00:00",
        "fixed_at": "2026-01-02T12:00:00+00:00",
    }


def test_the_list_filters_and_sorts(api: FlaskClient, make_host: MakeHost) -> None:
    web, db_1 = make_host("web-1"), make_host("db-1")
    add_finding(web, "CVE-1", "low", first_seen_at=NOW + timedelta(days=2))
    add_finding(web, "CVE-2", "critical", title="Overflow in libfoo")
    add_finding(db_1, "CVE-3", "high", first_seen_at=NOW + timedelta(days=1))
    add_finding(db_1, "CVE-1", "low", fixed_at=NOW)

    assert listed(api) == ["CVE-2", "CVE-3", "CVE-1"]
    assert listed(api, "sort=first_seen") == ["CVE-1", "CVE-3", "CVE-2"]
    assert listed(api, "sort=host") == ["CVE-3", "CVE-2", "CVE-1"]
    assert listed(api, "severity=low&severity=critical") == ["CVE-2", "CVE-1"]
    assert listed(api, f"host_id={db_1.id}") == ["CVE-3"]
    assert listed(api, "first_seen_after=2026-01-02T13:00:00%2B01:00") == ["CVE-3", "CVE-1"]
    assert listed(api, "search=LibFoo") == ["CVE-2"]
    assert listed(api, "cve_id=CVE-1") == ["CVE-1"]
    assert listed(api, "cve_id=CVE-1&status=fixed") == ["CVE-1"]


def test_links_lead_through_all_pages(api: FlaskClient, make_host: MakeHost) -> None:
    for number in range(5):
        add_finding(make_host(f"web-{number}"), f"CVE-{number}")

    address, seen = "/api/findings?per_page=2&severity=high&severity=low&sort=host", []
    while address:
        page = api.get(address).get_json()
        seen.append([finding["host_name"] for finding in page["items"]])
        address = page["links"]["next"]

    assert seen == [["web-0", "web-1"], ["web-2", "web-3"], ["web-4"]]


@pytest.mark.parametrize(
    "query",
    ["severity=wish", "status=wish", "sort=wish", "after_id=77", "search=%00", "cve_id=%00", "per_page=501"],
)
def test_an_invalid_filter_answers_422_and_is_named(api: FlaskClient, query: str) -> None:
    answer = api.get(f"/api/findings?{query}")

    assert answer.status_code == 422
    assert query.partition("=")[0] in str(answer.get_json())


def test_a_list_of_fifty_takes_as_many_queries_as_one_of_five_and_never_counts(
    api: FlaskClient, make_host: MakeHost, queries: CountQueries
) -> None:
    for number in range(50):
        add_finding(make_host(f"web-{number}"), "CVE-1")
    api.get("/api/findings")

    with queries() as few:
        api.get("/api/findings?per_page=5")
    with queries() as many:
        api.get("/api/findings?per_page=50")

    assert len(many) == len(few) <= 3
    assert not [statement for statement in many if "count(" in statement]
