"""Beat's scheduler against a real Valkey; the clocks are arguments."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.local.conftest import eventually
from vulsweb.local.children import Process
from vulsweb.local.valkey import Valkey, free_port
from vulsweb.worker import BEAT, PERIODIC
from vulsweb.worker.scheduler import MOST_WAITING, Scheduler

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def valkey(tmp_path: Path) -> Valkey:
    return Valkey(tmp_path / "valkey", free_port(), "tests tests tests".replace(" ", ""), durable=False)


@pytest.fixture
def server(valkey: Valkey, tmp_path: Path) -> Iterator[Process]:
    process = start(valkey, tmp_path)
    yield process
    process.stop()


def start(valkey: Valkey, folder: Path) -> Process:
    process = Process(valkey.child(), folder / "redis.log")
    assert eventually(valkey.answers)
    return process


@pytest.fixture
def scheduler(valkey: Valkey, server: Process, tmp_path: Path) -> Scheduler:
    app = Celery(broker=valkey.url, set_as_current=False)
    made = Scheduler(app, schedule_filename=str(tmp_path / "alive"), lazy=True)
    made.merge_inplace(BEAT)  # type: ignore[arg-type]  # its stubs are wrong
    return made


@pytest.fixture
def queue(valkey: Valkey, server: Process) -> Iterator["Queue"]:
    with redis.Redis.from_url(valkey.url) as client:
        yield Queue(client)


class Queue:
    """The queue of periodic messages, as a worker takes them."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def take(self) -> list[str]:
        """Empty the queue; return the names of the called functions."""
        names = [name for name in BEAT for _ in range(self._count(BEAT[name]["task"]))]
        self._client.delete(PERIODIC)
        return names

    def _count(self, task: str) -> int:
        messages: list[bytes] = self._client.lrange(PERIODIC, 0, -1)  # type: ignore[assignment]
        return sum(f'"{task}"'.encode() in message for message in messages)


def test_at_the_start_everything_is_due(scheduler: Scheduler, queue: Queue) -> None:
    scheduler.send_due(0, NOON)

    assert queue.take() == list(BEAT)


def test_a_wall_clock_set_forward_and_back_neither_delays_nor_doubles_a_message(
    scheduler: Scheduler, queue: Queue
) -> None:
    scheduler.send_due(0, NOON)
    queue.take()

    scheduler.send_due(1, NOON + timedelta(hours=1))
    early = queue.take()
    scheduler.send_due(2, NOON - timedelta(hours=1))

    assert early == []
    assert queue.take() == ["follow_tests"]


def test_a_cron_line_is_due_once_in_its_minute(scheduler: Scheduler, queue: Queue) -> None:
    scheduler.send_due(0, NOON)
    queue.take()
    half_past_three = NOON.replace(hour=3, minute=30)
    scheduler.send_due(0.25, half_past_three)
    first = queue.take()

    scheduler.send_due(0.5, half_past_three.replace(second=30))

    assert first == ["prune"]
    assert queue.take() == []


def test_messages_do_not_gather_while_no_worker_takes_them(scheduler: Scheduler, queue: Queue) -> None:
    for second in range(0, 600, 2):
        scheduler.send_due(second, NOON)

    assert len(queue.take()) <= (MOST_WAITING + 1) * len(BEAT)


def test_an_outage_of_redis_is_a_line_at_its_begin_and_a_line_at_its_end(
    scheduler: Scheduler, server: Process, valkey: Valkey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.send_due(0, NOON)
    server.stop()
    caplog.set_level(logging.DEBUG, "vulsweb")

    for second in range(2, 42, 2):
        scheduler.send_due(second, NOON)
    again = start(valkey, tmp_path)
    scheduler.send_due(42, NOON)
    again.stop()

    first, last = (record.getMessage() for record in caplog.records if record.name.startswith("vulsweb"))
    assert first.startswith("Redis: Error 111")
    assert last == "Redis: answers again, after 20 failures"
