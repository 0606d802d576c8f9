"""The documentation names files, headings and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "executor" / "README.md"]
LINK = re.compile(r"\]\(([^)#\s]*)#?([^)\s]*)\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        if not path.startswith(("http:", "https:")):
            target = page.parent / path if path else page
            assert target.exists(), path
            assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


NAMED_TEST = re.compile(r"`(tests/[\w/.]+)::(test_\w+)`")


def test_every_promise_of_reliability_names_a_test_that_exists() -> None:
    promises = [
        line for line in (ROOT / "docs" / "reliability.md").read_text().splitlines() if "`tests/" in line
    ]

    named = [found.groups() for line in promises if (found := NAMED_TEST.search(line))]

    assert len(named) == len(promises) > 0
    assert [(path, name) for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []
