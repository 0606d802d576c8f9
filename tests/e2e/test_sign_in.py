"""The second factor by hand: set up, asked for, and a recovery code when the app is gone."""

import re

import pyotp
from playwright.sync_api import Page, expect

from tests.conftest import PASSWORD
from tests.e2e.browsing import sign_in


def test_a_person_sets_up_a_second_factor_and_signs_in_with_it(page: Page, url: str) -> None:
    sign_in(page, url)
    page.goto(f"{url}/account/")
    page.get_by_role("link", name="Set up").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    app = pyotp.TOTP(page.locator("code.token").inner_text())
    page.get_by_label("Code that the app shows").fill(app.now())
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recovery codes")
    recovery = page.locator("code.token").first.inner_text()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("region", name="Second factor")).to_contain_text("10 recovery codes left")

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter your code")
    expect(page.get_by_label("Code")).to_be_focused()
    page.get_by_label("Code").fill(recovery)
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile("/$"))
    page.goto(f"{url}/account/")
    expect(page.get_by_role("region", name="Second factor")).to_contain_text("9 recovery codes left")


def test_a_person_adds_a_key_and_signs_in_with_it(page: Page, url: str) -> None:
    # Browsers offer keys for names alone.
    url = url.replace("127.0.0.1", "localhost")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "usb", "hasUserVerification": True, "isUserVerified": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    sign_in(page, url)
    page.goto(f"{url}/account/second-factor")
    app = pyotp.TOTP(page.locator("code.token").inner_text())
    page.get_by_label("Code that the app shows").fill(app.now())
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Switch on").click()
    page.get_by_role("link", name="I have kept them").click()

    page.get_by_role("link", name="Passkeys and security keys").click()
    page.get_by_label("Name").fill("the blue one")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Add key").click()
    expect(page.get_by_text("Key the blue one added.")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Use a key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    page.goto(f"{url}/account/passkeys")
    expect(page.get_by_role("listitem").filter(has_text="the blue one")).to_contain_text("last used")
