"""Single sign-on by hand, with a provider of OpenID Connect that is not ours."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack, running
from tests.support.waiting import wait_for
from vulsweb.local.valkey import free_port

PEOPLE = (
    {"sub": "1", "preferred_username": "otto", "groups": ["security"]},
    {"sub": "2", "preferred_username": "eve", "groups": ["sales"]},
)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[str]:
    """oidc-provider-mock, as a program of its own: it warns of what its libraries will drop."""
    port = free_port()
    people = [word for each in PEOPLE for word in ("--user-claims", json.dumps(each))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *people]
    url = f"http://127.0.0.1:{port}"
    with (
        (tmp_path / "provider.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            wait_for(lambda: answers(url), seconds=30)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/.well-known/openid-configuration", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def started(stack: Stack, provider: str) -> Iterator[Stack]:
    stack.environ |= {
        "VULSWEB_OPENID_ISSUER": provider,
        "VULSWEB_OPENID_CLIENT_ID": "vulsweb",
        "VULSWEB_OPENID_CLIENT_SECRET": "a secret of the tests",
        "VULSWEB_OPENID_LABEL": "Example ID",
        "VULSWEB_OPENID_ADMIN_GROUPS": "security",
        "VULSWEB_LOCAL_SIGN_IN": "no",
    }
    with running(stack):
        yield stack


def test_a_person_signs_in_by_a_provider_and_who_has_no_group_does_not(page: Page, started: Stack) -> None:
    # The provider's own look comes from elsewhere.
    page.route(re.compile(r"^https://"), lambda route: route.fulfill(body=""))
    page.goto(f"{started.url}/runs/")
    expect(page.get_by_label("Password")).to_have_count(0)
    page.get_by_role("link", name="Sign in with Example ID").click()
    page.get_by_role("button", name="2", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("none of your groups may use Vuls Web")

    page.get_by_role("link", name="Sign in with Example ID").click()
    page.get_by_placeholder("sub").fill("1")
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.get_by_role("link", name="Audit trail").click()
    expect(page.get_by_role("row", name=re.compile("Signed in"))).to_contain_text("otto")
    expect(page.get_by_role("row", name=re.compile("Sign-in refused"))).to_contain_text("none of your groups")

    page.goto(f"{started.url}/account/")
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("code.token")).to_contain_text("vulsweb_")
