"""What several browser tests do with a page."""

from playwright.sync_api import Page, expect

from tests.conftest import PASSWORD


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def stop_clock(page: Page) -> None:
    """Stop the page's clock, once everything that it asked before has been answered."""
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    page.wait_for_load_state("networkidle")


def hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
