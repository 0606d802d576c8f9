"""The hosts of a run, chosen when it begins."""

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
    """Store the run's hosts and jobs; return why it cannot begin.

    A second call, after a worker died, changes nothing.
    """
    if run.jobs:
        return None
    if "servers" in run.request:
        if tag := run.request.get("tag"):
            tagged = select(Host.name, Host.entry, Host.problem).where(host_tags.has_tag(tag))
            rows = db.session.execute(tagged.order_by(func.lower(Host.name))).all()
            run.request = run.request | {
                # The hosts of a network share an entry. An invalid entry would fail the scan of all others.
                "servers": list(dict.fromkeys(row.entry for row in rows if row.problem is None)),
                "left_out": {row.name: row.problem for row in rows if row.problem is not None},
            }
        servers, problems = run.request["servers"], run.request.get("left_out", {})
        if not servers and problems:
            return " ".join(problems.values())
        if not servers:
            return f"No host has the tag {tag!r}. Add it on a host's page or in the list of hosts."
        counts, warnings = literal({}, RunHost.severity_counts.type), literal([], RunHost.warnings.type)
        pending = select(literal(run.id), Host.name, Host.id, counts, *[literal(0)] * 3, warnings).where(
            Host.entry.in_(servers), Host.retired_at.is_(None), Host.parent_id.is_(None)
        )
        columns = ["run_id", "name", "host_id", "severity_counts", "packages", "opened", "fixed", "warnings"]
        db.session.execute(insert(RunHost).from_select(columns, pending).on_conflict_do_nothing())
    jobs.create_jobs(run, executors)
    return None


def mark_hosts_failed(run: Run, now: datetime) -> None:
    """Record a failed scan on the hosts of a run without results."""
    host_ids = select(RunHost.host_id).where(RunHost.run_id == run.id)
    db.session.execute(
        update(Host)
        .where(Host.id.in_(host_ids))
        .values(last_run_id=run.id, last_scan_at=now, last_outcome=Outcome.FAILED)
        .execution_options(synchronize_session=False)
    )
