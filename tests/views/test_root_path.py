"""Below a path of the site, as behind a reverse proxy that shows other things too."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.views.conftest import MakeRun, cve, store
from vulsweb import BelowPath, config
from vulsweb.models import RunStatus

ROOT = "/vuls"
# Where a page leads to, and what it loads.
LINK = re.compile(r'\b(?:href|src|action|formaction|hx-(?:get|post|put|delete))="([^"]*)"')


@pytest.fixture(autouse=True)
def mounted(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "wsgi_app", BelowPath(app.wsgi_app, ROOT))


def links(page: str) -> set[str]:
    """Return where a page leads to, besides its own parts and other sites."""
    return {link for link in LINK.findall(page) if not link.startswith(("#", "?", "data:", "https://"))}


def test_every_page_leads_only_to_what_is_below_the_path(
    app: Flask, signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {"CVE-2026-1": cve(9.8)})
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    values = {"run_id": run.id, "task_id": run.task_id, "host_id": run.task.host_id, "cve_id": "CVE-2026-1"}
    addresses = [
        app.url_map.bind("localhost").build(rule.endpoint, {name: values[name] for name in rule.arguments})
        for rule in rules
        if rule.arguments <= set(values)
    ]

    pages = {address: signed_in.get(ROOT + address) for address in addresses}

    read = {path: links(page.text) for path, page in pages.items() if page.mimetype == "text/html"}
    assert len(read) > 30
    assert {path: found for path, found in read.items() if not all(map(is_below, found))} == {}


def is_below(link: str) -> bool:
    return link == ROOT or link.startswith(f"{ROOT}/")


def test_a_proxy_may_strip_the_path(signed_in: FlaskClient) -> None:
    passed_on, stripped = signed_in.get(f"{ROOT}/tasks/"), signed_in.get("/tasks/")

    assert (passed_on.status_code, stripped.status_code) == (200, 200)
    assert links(stripped.text) == links(passed_on.text)
    # Only a whole word of the path is the path.
    assert signed_in.get(f"{ROOT}x/tasks/").status_code == 404
    assert signed_in.get(ROOT).status_code == 200


def test_who_has_to_sign_in_comes_back_to_the_page(client: FlaskClient) -> None:
    asked = client.get(f"{ROOT}/tasks/?q=x")

    assert asked.headers["Location"] == f"{ROOT}/sign-in?next={ROOT}/tasks/?q%3Dx"


def test_calls_of_the_api_are_below_it_too(signed_in: FlaskClient) -> None:
    redirect = signed_in.get(f"{ROOT}/api/scheduled-tasks")
    description = signed_in.get(f"{ROOT}/api/openapi.json").get_json()

    assert is_below(redirect.headers.get("Location", ROOT).removeprefix("http://localhost"))
    assert "/api/runs" in description["paths"]


@pytest.mark.parametrize(
    ("value", "path"),
    [("", ""), ("/", ""), ("/vuls", "/vuls"), ("/vuls/", "/vuls"), ("/a/b-c.d", "/a/b-c.d")],
)
def test_the_path_is_read_with_or_without_its_last_slash(value: str, path: str) -> None:
    assert config.root_path({"VULSWEB_ROOT_PATH": value}) == path


@pytest.mark.parametrize("value", ["vuls", "//vuls", "/a b", "/vuls?x", "https://example.org/vuls", "/a\n"])
def test_anything_but_a_path_is_refused(value: str) -> None:
    with pytest.raises(config.ConfigError, match="write a path such as /vuls"):
        config.root_path({"VULSWEB_ROOT_PATH": value})
