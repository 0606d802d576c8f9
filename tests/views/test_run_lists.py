"""The history over all tasks: what is left in, and the way through it."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from tests.conftest import at
from tests.views.conftest import MakeRun, statements
from vulsweb.extensions import db
from vulsweb.models import Host, RunStatus, Trigger
from vulsweb.views import runs as run_pages


def numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="run-link-(\d+)"', page)]


@pytest.fixture
def history(make_run: MakeRun) -> None:
    """Three runs on three days, one of each kind."""
    task = make_run(RunStatus.SUCCESS, created_at=at("2026-01-01 23:59"), trigger=Trigger.SCHEDULE).task
    make_run(RunStatus.FAILED, task, created_at=at("2026-01-02 00:00"), trigger=Trigger.API)
    make_run(RunStatus.SUCCESS, task, created_at=at("2026-01-03 00:00"), trigger=Trigger.PERSON)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [3, 2, 1]),
        ("from=2026-01-02", [3, 2]),
        ("to=2026-01-02", [2, 1]),
        ("from=2026-01-02&to=2026-01-02", [2]),
        ("from=2026-01-03&to=2026-01-01", []),
        ("from=2027-01-01", []),
        ("to=2025-12-31", []),
        ("trigger=api", [2]),
        ("status=success&trigger=person&from=2026-01-01&to=2026-01-31", [3]),
        ("status=success&to=2026-01-01", [1]),
        ("from=yesterday&to=9999-12-31&trigger=ghost&status=odd", [3, 2, 1]),
        ("before=3", [2, 1]),
        ("before=1", []),
        ("before=x&after=-4", [3, 2, 1]),
        ("after=99999999999999999999", [3, 2, 1]),
    ],
)
@pytest.mark.usefixtures("history")
def test_the_history_shows_what_was_asked_for(
    signed_in: FlaskClient, query: str, expected: list[int]
) -> None:
    assert numbers(signed_in.get(f"/runs/?{query}").text) == expected


@pytest.mark.usefixtures("history")
def test_the_filter_stays_in_its_fields(signed_in: FlaskClient) -> None:
    page = " ".join(
        signed_in.get("/runs/?status=failed&trigger=api&from=2026-01-02&to=2026-01-05").text.split()
    )

    assert '<option value="failed" selected>' in page
    assert '<option value="api" selected>' in page
    assert 'name="from" value="2026-01-02"' in page
    assert 'name="to" value="2026-01-05"' in page


def test_one_goes_to_older_runs_and_back_without_a_count(
    signed_in: FlaskClient, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pages, "PER_PAGE", 2)
    task = make_run(RunStatus.FAILED).task
    for _ in range(5):
        make_run(RunStatus.FAILED, task)
    make_run(RunStatus.SUCCESS, task)

    with statements() as sent:
        pages = [signed_in.get("/runs/?status=failed").text]
    for way in ("older", "older", "newer", "newer"):
        pages.append(signed_in.get(neighbour(pages[-1], way)).text)

    assert [numbers(page) for page in pages] == [[6, 5], [4, 3], [2, 1], [4, 3], [6, 5]]
    assert ['id="newer"' in page for page in pages] == [False, True, True, True, False]
    assert ['id="older"' in page for page in pages] == [True, True, False, True, True]
    assert not [statement for statement in sent if "count(" in statement.lower()]


def neighbour(page: str, way: str) -> str:
    found = re.search(rf'id="{way}"[^>]*href="([^"]+)"', page)
    assert found is not None
    return found[1].replace("&amp;", "&")


def test_the_history_asks_the_database_as_often_for_fifty_runs_as_for_one(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    make_run(RunStatus.SUCCESS)
    with statements() as for_one:
        signed_in.get("/runs/")
    hosts = db.session.query(Host).all()
    for _ in range(49):
        make_run(RunStatus.SUCCESS, completed_at=hosts[0].created_at + timedelta(hours=1))

    with statements() as for_fifty:
        signed_in.get("/runs/")

    assert len(for_fifty) == len(for_one) <= 4
