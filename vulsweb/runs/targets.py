"""Which hosts a run is about: those of its task's tag when it begins, each with a line of its own."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.hosts import tags as host_tags
from vulsweb.models import Host, Run, RunHost
from vulsweb.runs import jobs
from vulsweb.vuls.results import Outcome


def prepare(run: Run, executors: Sequence[Executor]) -> str | None:
    """Settle the run's hosts, with a line for each, and its jobs; return why it cannot begin, or None.

    A second time, after a worker died, it finds what the first has settled.
    """
    if run.jobs:
        return None
    if "servers" in run.request and (refusal := _settle_hosts(run)):
        return refusal
    jobs.create_jobs(run, executors)
    return None


def _settle_hosts(run: Run) -> str | None:
    if run.request.get("tag"):
        _resolve(run, run.request["tag"])
    if refusal := _refusal(run):
        return refusal
    chosen = select(
        literal(run.id), Host.name, Host.id, literal({}, RunHost.severity_counts.type), *[literal(0)] * 3
    ).where(Host.entry.in_(run.request["servers"]), Host.retired_at.is_(None), Host.parent_id.is_(None))
    columns = ["run_id", "name", "host_id", "severity_counts", "packages", "opened", "fixed"]
    db.session.execute(insert(RunHost).from_select(columns, chosen).on_conflict_do_nothing())
    return None


def _resolve(run: Run, tag: str) -> None:
    rows = db.session.execute(
        select(Host.name, Host.entry, Host.problem)
        .where(host_tags.has_tag(tag))
        .order_by(func.lower(Host.name))
    ).all()
    run.request = run.request | {
        # A network's hosts share an entry; one that is wrong would take all others' scan with it.
        "servers": list(dict.fromkeys(row.entry for row in rows if row.problem is None)),
        "left_out": {row.name: row.problem for row in rows if row.problem is not None},
    }


def _refusal(run: Run) -> str | None:
    servers, left_out = run.request["servers"], run.request.get("left_out", {})
    if not servers and left_out:
        return " ".join(left_out.values())
    if not servers:
        return f"No host has the tag {run.request['tag']!r}; give it to hosts on their page or in the list."
    return None


def mark_hosts_failed(run: Run, now: datetime) -> None:
    """Say on the run's hosts that their latest scan failed, as it ended without a word of theirs."""
    lines = select(RunHost.host_id).where(RunHost.run_id == run.id)
    db.session.execute(
        update(Host)
        .where(Host.id.in_(lines))
        .values(last_run_id=run.id, last_scan_at=now, last_outcome=Outcome.FAILED)
        .execution_options(synchronize_session=False)
    )
