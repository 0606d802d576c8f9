"""How far a running step is, as the run's page says it."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.views.conftest import MakeRun
from vulsweb.models import RunStatus

STEP = {"name": "scan", "status": "running", "started_at": "2026-01-01T12:00:03Z", "ended_at": None}


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"done": 3, "total": 12, "unit": "hosts"}, "3 of 12 hosts"),
        ({"done": 18000, "total": 52000, "unit": "rows", "expected": 1}, "18,000 of 52,000 rows"),
        (
            {"done": 18000, "total": None, "unit": "rows", "expected": 51234},
            "18,000 rows, about 51,234 last time",
        ),
        ({"done": 18000, "total": None, "unit": "rows", "expected": None}, "18,000 rows"),
    ],
)
def test_a_running_step_says_how_far_it_is(
    signed_in: FlaskClient, make_run: MakeRun, figures: dict[str, Any], words: str
) -> None:
    run = make_run(RunStatus.RUNNING, steps=[STEP | figures])

    html = " ".join(signed_in.get(f"/runs/{run.id}").text.split())

    assert words in html
    assert ('<progress max="' in html) == bool(figures["total"])
