"""The verdicts of Vuls' own loader on configurations."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.support import needs


def reasons(texts: Sequence[str]) -> list[str]:
    """Return why Vuls refuses each text, empty where it does not."""
    found: list[str] = _ask(json.dumps(texts))
    return found


def options() -> dict[str, str]:
    """Return the paths of the options that Vuls reads, with Go's types."""
    found: dict[str, str] = _ask("", "options")
    return found


def _ask(question: str, *arguments: str) -> Any:
    judge = needs.tool("vuls").parent / "tests" / "config-judge"
    if not judge.exists():
        needs.lacking(f"{judge} is missing: tests/vuls_config/build makes it.")
    done = subprocess.run(
        [judge, *arguments], input=question, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)
