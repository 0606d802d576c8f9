"""Celery beat's scheduler: runs the tick, and sends the periodic messages."""

import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from celery import Celery, beat
from celery.schedules import crontab
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from vulsweb import worker
from vulsweb.worker.outages import Outages

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25
ANSWER_SECONDS = 5
# Messages of an earlier round that no worker has taken: more of them would only be dropped.
MOST_WAITING = 2


class Scheduler(beat.Scheduler):
    """Sends what is due, by clocks that only this process reads.

    Seconds count on the monotonic clock, so that a clock set back or forward delays nothing. The tick and the
    cron lines follow the wall clock, as cron does. At the start everything is due: nothing is stored that
    tells what was sent before.
    """

    def __init__(self, app: Celery, *, schedule_filename: str, **options: Any) -> None:
        # Celery's option for a stored schedule. We store none; the file's time says that messages are sent.
        self._alive = Path(schedule_filename)
        self._sent: dict[str, float] = {}
        self._minute: datetime | None = None
        self._outages = Outages(log)
        seconds: dict[str, Any] = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
        self._redis = redis.Redis.from_url(app.conf.broker_url, retry=Retry(NoBackoff(), 0), **seconds)
        super().__init__(app, **options)

    def setup_schedule(self) -> None:
        """Take the schedule from the settings, and start the tick."""
        super().setup_schedule()
        threading.Thread(target=tick_every_minute, name="tick", daemon=True).start()

    def tick(self, *_: Any, **__: Any) -> float:
        """Send the messages that are due; return the seconds to wait."""
        self.send_due(time.monotonic(), datetime.now(UTC))
        return PAUSE_SECONDS

    def send_due(self, now: float, wall: datetime) -> None:
        """Send what is due by the monotonic clock or the wall clock."""
        minute = wall.replace(second=0, microsecond=0)
        due = [
            name for name, entry in self.schedule.items() if self._is_due(name, entry.schedule, now, minute)
        ]
        self._minute = minute
        self._sent |= dict.fromkeys(due, now)
        try:
            waiting: Any = self._redis.llen(worker.PERIODIC) if due else 0
            if due and waiting < MOST_WAITING * len(self.schedule):
                for name in due:
                    self._send(self.schedule[name])
                self._outages.answered("Redis")
                self._alive.touch()
        except (OperationalError, RedisError) as error:
            self._outages.failed("Redis", error)

    def _is_due(self, name: str, schedule: Any, now: float, minute: datetime) -> bool:
        if name not in self._sent:
            return True
        if isinstance(schedule, crontab):
            line: Any = schedule  # its types lack the fields
            return minute != self._minute and minute.minute in line.minute and minute.hour in line.hour
        return bool(now - self._sent[name] >= schedule.run_every.total_seconds())

    def _send(self, entry: beat.ScheduleEntry) -> None:
        self.app.send_task(
            str(entry.task), entry.args, entry.kwargs, queue=worker.PERIODIC, ignore_result=True, retry=False
        )


def tick_every_minute() -> None:
    """Run the tick at the start of each minute, forever.

    In a thread: neither Redis nor the workers can delay it.
    """
    outages, done = Outages(log), None
    while True:
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        if minute != done:
            try:
                worker.tick()
            except Exception as error:  # noqa: BLE001 - whatever fails, the next minute is tried
                outages.failed("tick", error)
            else:
                outages.answered("tick")
            done = minute
        time.sleep(PAUSE_SECONDS)
