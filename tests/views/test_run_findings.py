"""What a run found, on its page: the list, its pages and its filters."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from tests.views.conftest import LIVE, MakeRun, cve, flat, statements, store
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Result, RunStatus
from vulsweb.vuls import results


def test_the_end_shows_what_was_found_worst_first(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {"CVE-2026-1": cve(5.0), "CVE-2026-2": cve(9.8), "CVE-2026-3": cve(3.1, fixed_in="")})

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    places = [page.index(f"<bdi>CVE-2026-{number}</bdi>") for number in (2, 1, 3)]
    assert places == sorted(places)
    assert "<b>3</b> vulnerabilities" in page
    assert "<b>3</b> new" in page
    assert "curl</bdi>" in page
    assert "7.88.1-10</bdi>" in page
    assert "7.88.1-11</bdi>" in page
    assert "no fix known" in page


def test_what_an_earlier_run_had_seen_is_not_marked_new(signed_in: FlaskClient, make_run: MakeRun) -> None:
    earlier = make_run(RunStatus.SUCCESS)
    store(earlier, {"CVE-2026-1": cve(5.0), "CVE-2026-2": cve(9.8)})
    later = make_run(RunStatus.SUCCESS, earlier.task)
    store(later, {"CVE-2026-1": cve(5.0), "CVE-2026-9": cve(7.0)})

    page = flat(signed_in.get(f"/runs/{later.id}").text)
    only_new = flat(signed_in.get(f"/runs/{later.id}?new=1").text)

    assert "<b>1</b> new" in page
    assert "<b>1</b> fixed" in page
    assert page.count('class="mark"') == 1
    assert "CVE-2026-9" in only_new
    assert "<bdi>CVE-2026-1</bdi>" not in only_new


def test_a_severity_can_be_looked_at_alone(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {"CVE-2026-1": cve(5.0), "CVE-2026-2": cve(9.8)})

    part = signed_in.get(f"/runs/{run.id}/findings?severity=critical", headers=LIVE)

    assert part.text.lstrip().startswith('<section id="run-findings"')
    assert "<bdi>CVE-2026-2</bdi>" in part.text
    assert "<bdi>CVE-2026-1</bdi>" not in part.text


def test_many_findings_come_in_pages(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {f"CVE-2026-{number}": cve(9.8) for number in range(1000, 1101)})

    pages = [signed_in.get(f"/runs/{run.id}?page={number}").text for number in (1, 2, 99)]

    assert [page.count("<bdi>CVE-") for page in pages] == [100, 1, 1]
    assert "Page 1 of 2" in pages[0]


def test_the_findings_of_a_run_are_shown_without_its_documents(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {"CVE-2026-1": cve(9.8), "CVE-2026-2": cve(5)})

    with statements() as sent:
        page = signed_in.get(f"/runs/{run.id}").text

    assert ("CVE-2026-1" in page, "CVE-2026-2" in page) == (True, True)
    assert [line for line in sent if "results.document" in line] == []


@pytest.mark.parametrize("has_them", [False, True], ids=["without findings", "not compressed"])
def test_the_findings_of_an_earlier_version_are_read(
    signed_in: FlaskClient, make_run: MakeRun, has_them: bool
) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {"CVE-2026-1": cve(9.8)})
    stored = storage.of_run(run.id)
    plain = results.pack([seen.finding for seen in stored])
    db.session.execute(update(Result).values(found=plain if has_them else None))
    db.session.commit()

    assert storage.of_run(run.id) == stored
    assert "CVE-2026-1" in signed_in.get(f"/runs/{run.id}").text
