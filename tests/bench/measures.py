"""What is measured, and beside what."""

import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.bench.rows import Size
from tests.support.sessions import sign_in
from vulsweb.accounts import users
from vulsweb.extensions import db
from vulsweb.findings import lists as finding_lists
from vulsweb.findings.lists import Filter, Sort
from vulsweb.models import Role
from vulsweb.runs import history, starting

LIVE = {"HX-Request": "true"}
# What nothing can be faster than: the way to the database, the way through Flask, and an empty page of ours.
QUERY, VIEW, PAGE = "SELECT 1", "a bare view", "a page with nothing on it"

Act = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """One thing that was measured."""

    name: str
    milliseconds: float
    floor: str
    ratio: float


def measured(app: Flask, size: Size, repeats: int) -> Iterator[Line]:
    """Measure everything in turn, each right after its floor."""
    client = _signed_in(app)
    floors = {
        QUERY: lambda: db.session.execute(text("SELECT 1")).one(),
        VIEW: lambda: _get(client, "/healthz"),
        PAGE: lambda: _get(client, "/nowhere", status=404),
    }
    groups: list[tuple[str, Callable[[], dict[str, Act]]]] = [
        (QUERY, lambda: _queries(size)),
        (PAGE, lambda: _pages(client, size)),
        (VIEW, lambda: _silences(client)),
    ]
    for floor, acts in groups:
        for name, act in acts().items():
            least, taken = _median(floors[floor], repeats * 5), _median(act, repeats)
            yield Line(name, taken, floor, taken / least)


def table(lines: list[Line], size: Size) -> str:
    """Return the lines as a table of docs/bench.md."""
    head = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in vars(size).items())
    rows = [
        f"| {line.name} | {line.milliseconds:,.1f} | {line.ratio:,.0f} x {line.floor} |" for line in lines
    ]
    return "\n".join([f"With {head}:", "", "| | median ms | against baseline |", "|---|--:|---|", *rows])


def _queries(size: Size) -> dict[str, Act]:
    return {
        "history, first 50 runs": lambda: history.page(history.Filter(), limit=50),
        "history, 50 runs in the middle": lambda: history.page(
            history.Filter(), limit=50, before=size.runs // 2
        ),
        "findings, the worst 50": lambda: finding_lists.page(Filter(), Sort.SEVERITY, limit=50),
        "findings, 50 in the middle": lambda: finding_lists.page(
            Filter(), Sort.SEVERITY, limit=50, after=size.findings // 2
        ),
        "findings by host, 50 in the middle": lambda: finding_lists.page(
            Filter(), Sort.HOST, limit=50, after=size.findings // 2
        ),
        "findings, a word that few have": lambda: finding_lists.page(
            Filter(text="package-699"), Sort.SEVERITY, limit=50
        ),
        "findings, a word that none has": lambda: finding_lists.page(
            Filter(text="no such word"), Sort.SEVERITY, limit=50
        ),
        "a tick that finds every active task due": _tick,
    }


def _pages(client: FlaskClient, size: Size) -> dict[str, Act]:
    addresses = {
        "overview": "/",
        "tasks, first page": "/tasks/",
        "tasks, last page by last run": f"/tasks/?sort=last_run&page={max(size.tasks // 50, 1)}",
        "tasks that failed last": "/tasks/?result=failed",
        "runs, first page": "/runs/",
        "runs, a page in the middle": f"/runs/?before={size.runs // 2}",
        "runs by a person that failed": "/runs/?status=failed&trigger=person",
        "findings, first page": "/findings/",
        "findings, critical and low": "/findings/?severity=critical&severity=low",
        "findings, a page in the middle": f"/findings/?after={size.findings // 2}",
        "one CVE": "/findings/CVE-2026-10001",
        "a run with the end of a log of ten megabytes": "/runs/1",
        "a search through that log": "/runs/1?q=what+is+done",
    }
    return {f"page: {name}": _getting(client, address) for name, address in addresses.items()}


def _silences(client: FlaskClient) -> dict[str, Act]:
    """Return what open pages ask every few seconds while nothing changes."""
    return {
        f"204: {name}": _getting(client, _live_address(client, page), status=204)
        for name, page in (("tasks", "/tasks/"), ("runs", "/runs/"), ("overview", "/"))
    }


def _tick() -> None:
    """Start all due tasks as the worker does, and take it back."""
    db.session.execute(
        text("UPDATE scheduled_tasks SET next_run_at = now() - interval '1 minute' WHERE active")
    )
    while starting.start_due_tasks(datetime.now(UTC)) is not None:
        pass
    db.session.rollback()


def _signed_in(app: Flask) -> FlaskClient:
    user = users.create_user("bench", "a password for the bench", Role.VIEWER, datetime.now(UTC))
    db.session.commit()
    return sign_in(app.test_client(), user)


def _live_address(client: FlaskClient, page: str) -> str:
    found = re.search(r'hx-get="([^"]+)"\s+hx-trigger="every [25]s"', client.get(page).text)
    assert found is not None, page
    return found[1].replace("&amp;", "&")


def _getting(client: FlaskClient, address: str, status: int = 200) -> Act:
    return lambda: _get(client, address, status)


def _get(client: FlaskClient, address: str, status: int = 200) -> None:
    answer = client.get(address, headers=LIVE if status == 204 else {})
    assert answer.status_code == status, (address, answer.status_code)


def _median(act: Act, repeats: int) -> float:
    """Return how many milliseconds the act takes, once it is warm."""
    act()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        act()
        times.append((time.perf_counter() - begin) * 1000)
        db.session.rollback()
    return statistics.median(times)
