"""The verdicts of Vuls' own loader on configurations, the releases that it knows, and its rating of CVEs."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.support import needs
from tests.support.waiting import patience


def reasons(texts: Sequence[str]) -> list[str]:
    """Return why Vuls refuses each text, empty where it does not."""
    found: list[str] = _ask("config-judge", json.dumps(texts))
    return found


def options() -> dict[str, str]:
    """Return the paths of the options that Vuls reads, with Go's types."""
    found: dict[str, str] = _ask("config-judge", "", "options")
    return found


def known_releases(asked: Sequence[tuple[str, str]], *, current: bool) -> list[bool]:
    """Return which families and releases the pinned Vuls, or that of tests/vuls2, knows."""
    found: list[bool] = _ask("current/known-releases" if current else "known-releases", json.dumps(asked))
    return found


def highest_scores(entries: Sequence[Any], *, current: bool) -> list[tuple[str, float]]:
    """Return whose score of each entry of `scannedCves` the pinned Vuls counts, and which it is."""
    found: list[tuple[str, float]] = _ask(
        "current/severities" if current else "severities", json.dumps(entries)
    )
    return [(source, score) for source, score in found]


def _ask(name: str, question: str, *arguments: str) -> Any:
    program = needs.tool("vuls").parent / "tests" / name
    if not program.exists():
        needs.lacking(f"{program} is missing: tests/vuls_config/build or tests/vuls2/build makes it.")
    done = subprocess.run(
        [program, *arguments],
        input=question,
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(120),
    )
    return json.loads(done.stdout)
