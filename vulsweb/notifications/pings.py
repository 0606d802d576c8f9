"""Pings to an outside service, which tells people when they stop."""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

import requests
from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.models import Heartbeat
from vulsweb.models.heartbeat import TICK

# For the connection and for the answer.
SECONDS = (4.0, 4.0)
# The scheduler ticks each minute.
ALIVE = timedelta(minutes=2)


def ping(url: str, now: datetime) -> str | None:
    """Ping if the scheduler runs; return why it failed.

    A worker does so, so a ping proves that scheduler, Redis, worker and PostgreSQL work.
    """
    ticked = db.session.scalar(select(Heartbeat.at).where(Heartbeat.name == TICK))
    db.session.rollback()  # no transaction is open while the other side answers
    if ticked is None or now - ticked > ALIVE:
        return "not sent: the scheduler does not run."
    try:
        requests.get(url, timeout=SECONDS).raise_for_status()
    except requests.HTTPError as error:
        return f"{urlsplit(url).hostname} answered {error.response.status_code}."
    except requests.RequestException as error:
        return f"{urlsplit(url).hostname} cannot be reached: {type(error).__name__}."
    return None
