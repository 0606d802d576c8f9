"""The system of each host: on its page, in the list, as a filter, and what Vuls will not find on it."""

import re
from datetime import date

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import TOOLS, Installation, executors_at
from tests.views.conftest import MakeRun, cve, store
from tests.views.test_hosts import MakeHost, names
from vulsweb.extensions import db
from vulsweb.models import Host, RunStatus

Systems = dict[str, Host]


@pytest.fixture
def systems(make_host: MakeHost) -> Systems:
    """A host of each kind of system, and one whose system nobody knows."""
    made = {"unknown": make_host("unknown", tags=["all"])}
    for name, family, release in (
        ("old", "debian", "10.13"),
        ("ancient", "debian", "8.0"),
        ("today", "debian", "12.4"),
        ("new", "debian", "13.1"),
        ("other", "ubuntu", "24.04"),
    ):
        made[name] = make_host(name, tags=["all"])
        made[name].set_system(family, release)
    db.session.commit()
    return made


def flat(html: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", html).split())


def test_a_scan_says_what_the_host_is(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {"CVE-1": cve(9.9)})
    host = run.task.host
    assert host is not None

    page = flat(signed_in.get(f"/hosts/{host.id}").text)

    assert (host.family, host.support_ends) == ("debian", date(2028, 6, 30))
    assert "System Debian 12" in page
    assert host.system in flat(signed_in.get("/hosts/").text)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?family=debian", ["ancient", "new", "old", "today"]),
        ("?system=debian+12.4", ["today"]),
        ("?system=ubuntu+24.04", ["other"]),
        ("?system=debian", ["ancient", "new", "old", "today"]),
        ("?system=nonsense+1", []),
        ("?show=end_of_life", ["ancient", "old"]),
        ("?show=end_of_life&system=debian+10.13", ["old"]),
    ],
)
def test_the_list_is_filtered_by_system_and_end_of_life(
    signed_in: FlaskClient, systems: Systems, query: str, expected: list[str]
) -> None:
    assert names(signed_in.get(f"/hosts/{query}").text) == expected


def test_the_filter_offers_each_system_with_its_number(signed_in: FlaskClient, systems: Systems) -> None:
    page = signed_in.get("/hosts/?system=debian+12.4").text

    options = re.findall(r'<option value="([a-z]+ [^"]+)"\s*(selected)?[^>]*>(.*?)</option>', page)
    assert ("debian 12.4", "selected", "Debian 12.4 (1)") in options
    assert ("ubuntu 24.04", "", "Ubuntu 24.04 (1)") in options


def test_end_of_life_is_marked_with_its_day_where_vuls_keeps_it(
    signed_in: FlaskClient, systems: Systems
) -> None:
    pages = {name: flat(signed_in.get(f"/hosts/{host.id}").text) for name, host in systems.items()}

    assert "end of life since 2024-06-30" in pages["old"]
    assert "end of life" in pages["ancient"]
    assert "end of life since" not in pages["ancient"]
    assert all("end of life" not in pages[name] for name in ("today", "new", "unknown"))


def test_the_api_filters_by_system_and_end_of_life(
    app: Flask, token: str, client: FlaskClient, systems: Systems
) -> None:
    def listed(query: str) -> list[str]:
        reply = client.get(f"/api/hosts?{query}", headers={"Authorization": f"Bearer {token}"})
        return [item["name"] for item in reply.get_json()["items"]]

    assert listed("family=debian&release=12.4") == ["today"]
    assert listed("end_of_life=true") == ["ancient", "old"]


def test_hosts_that_vuls_warned_of_are_listed_apart(
    app: Flask, token: str, client: FlaskClient, signed_in: FlaskClient, systems: Systems
) -> None:
    systems["today"].warned = True
    db.session.commit()

    reply = client.get("/api/hosts?warned=true", headers={"Authorization": f"Bearer {token}"})

    assert [item["name"] for item in reply.get_json()["items"]] == ["today"]
    assert names(signed_in.get("/hosts/?show=warned").text) == ["today"]
    assert "With warnings" in signed_in.get("/hosts/").text


def test_a_release_of_any_length_is_stored_and_shown(make_host: MakeHost, signed_in: FlaskClient) -> None:
    host = make_host("odd")
    host.set_system("debian\x1b", "9" * 10_000)
    db.session.commit()

    assert len(host.release) == 100
    assert signed_in.get(f"/hosts/{host.id}").status_code == signed_in.get("/hosts/").status_code == 200


def test_before_a_scan_the_host_says_what_will_not_be_found(
    signed_in: FlaskClient, systems: Systems, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")

    page = signed_in.get(f"/hosts/{systems['new'].id}").text
    notices = {
        name: flat(signed_in.get(f"/hosts/foreseen?host_id={host.id}").text) for name, host in systems.items()
    }

    assert f'hx-get="/hosts/foreseen?host_id={systems["new"].id}"' in page
    assert notices["new"].startswith("Vuls v0.26.0 does not know Debian 13.1: nothing can be found there.")
    assert notices["old"].startswith("Support of Debian 10 ended on 2024-06-30:")
    assert (notices["today"], notices["unknown"]) == ("", "")


def test_before_a_scan_of_a_tag_the_task_form_counts_the_hosts(
    signed_in: FlaskClient, systems: Systems, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")

    form = signed_in.get("/tasks/new").text
    by_tag = flat(signed_in.get("/hosts/foreseen?target=tag&host_tag=all").text)
    by_name = flat(signed_in.get("/hosts/foreseen?target=host&host_id=&host_name=new").text)

    assert 'hx-get="/hosts/foreseen"' in form
    assert "1 host: Vuls v0.26.0 does not know Debian 13.1" in by_tag
    assert "1 host: Support of Debian 10 ended" in by_tag
    assert by_name.startswith("Vuls v0.26.0 does not know Debian 13.1")


@pytest.mark.parametrize(
    "query", ["", "host_id=x", "host_id=999999", "target=tag&host_tag=%00", "host_name=nobody"]
)
def test_nothing_is_foreseen_of_hosts_that_nobody_knows(
    signed_in: FlaskClient, systems: Systems, query: str
) -> None:
    answer = signed_in.get(f"/hosts/foreseen?{query}")

    assert (answer.status_code, flat(answer.text)) == (200, "")


def test_an_executor_that_does_not_answer_foresees_nothing(
    app: Flask, signed_in: FlaskClient, systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "EXECUTORS", executors_at("http://127.0.0.1:1"))

    answer = signed_in.get(f"/hosts/foreseen?host_id={systems['new'].id}")

    assert (answer.status_code, flat(answer.text)) == (200, "")
