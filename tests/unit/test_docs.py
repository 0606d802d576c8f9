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


ROW = re.compile(r"^\| (?!---|Promise|\| Sentence)(.+) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", ["reliability.md", "security.md", "specification.md"])
def test_every_row_names_tests_that_exist_or_leads_to_the_reason(name: str) -> None:
    rows = ROW.findall((ROOT / "docs" / name).read_text())
    tests = {row: NAMED_TEST.findall(row) for row in rows}

    assert rows
    assert [row for row in rows if not tests[row] and not LINK.search(row)] == []
    missing = [
        (path, test)
        for found in tests.values()
        for path, test in found
        if f"def {test}(" not in (ROOT / path).read_text()
    ]
    assert missing == []
