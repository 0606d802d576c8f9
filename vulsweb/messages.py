"""Messages to the Celery workers, sent by task name.

The functions are in `worker`. A message that Redis did not take is logged; `sweep` or beat sends it again.
"""

import logging
from collections.abc import Sequence

from kombu.exceptions import OperationalError

from vulsweb.extensions import celery

log = logging.getLogger(__name__)

IDS_PER_MESSAGE = 100


def send(name: str, *arguments: object) -> bool:
    """Call a worker function; return False if Redis is unreachable."""
    try:
        # When sending by name, Celery ignores `task_ignore_result` and would subscribe to an unused result.
        celery.send_task(f"vulsweb.{name}", arguments, ignore_result=True)
    except OperationalError as error:
        log.warning("%s%r not sent: Redis is unreachable: %s", name, arguments, error)
        return False
    return True


def send_runs(run_ids: Sequence[int]) -> bool:
    """Ask the workers to launch runs; return False if Redis is unreachable.

    `sweep` sends lost runs again within two minutes. A message holds up to a hundred ids: one message for
    each run would cost more than the runs' rows.
    """
    batches = [list(run_ids[i : i + IDS_PER_MESSAGE]) for i in range(0, len(run_ids), IDS_PER_MESSAGE)]
    return all(send("launch_runs", batch) for batch in batches)


def send_sync(sync_id: int) -> bool:
    """Ask a worker for a host sync.

    Return False if Redis is unreachable; `sweep` then sends it again.
    """
    return send("sync_hosts", sync_id)


def send_key_fetch(offer_id: int) -> None:
    """Ask a worker to fetch a host's keys.

    If the message is lost, the offer expires after a minute.
    """
    send("fetch_host_keys", offer_id)


def send_connection_tests() -> None:
    """Ask a worker to start new connection tests now.

    Otherwise they wait for beat's next message.
    """
    send("follow_tests")


def send_notify() -> None:
    """Ask a worker to send what waits in the outbox."""
    send("notify")


def send_stop(jobs: Sequence[tuple[str, str]]) -> None:
    """Ask a worker to stop jobs, given as (executor, job id).

    If Redis is unreachable the jobs finish, and their results are dropped.
    """
    job_ids: dict[str, list[str]] = {}
    for executor, job_id in jobs:
        job_ids.setdefault(executor, []).append(job_id)
    for executor, ids in job_ids.items():
        if not send("stop_jobs", executor, ids):
            return
