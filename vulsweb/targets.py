"""Which hosts a run is about: those of its task's tag when it begins, each with a line of its own."""

import unicodedata
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, String, any_, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from vulsweb import run_jobs
from vulsweb.executors import Executor
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunHost
from vulsweb.vuls.results import Outcome

TAG_LENGTH = 32


def begin(run: Run, executors: Sequence[Executor]) -> str | None:
    """Settle the run's hosts, with a line for each, and its jobs; return why it cannot begin, or None.

    A second time, after a worker died, it finds what the first has settled.
    """
    if run.jobs:
        return None
    if "servers" in run.request and (refusal := _settle_hosts(run)):
        return refusal
    run_jobs.divide(run, executors)
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
        select(Host.name, Host.entry, Host.problem).where(with_tag(tag)).order_by(func.lower(Host.name))
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


def note_failure(run: Run, now: datetime) -> None:
    """Say on the run's hosts that their latest scan failed, as it ended without a word of theirs."""
    lines = select(RunHost.host_id).where(RunHost.run_id == run.id)
    db.session.execute(
        update(Host)
        .where(Host.id.in_(lines))
        .values(last_run_id=run.id, last_scan_at=now, last_outcome=Outcome.FAILED)
        .execution_options(synchronize_session=False)
    )


def with_tag(tag: str) -> ColumnElement[bool]:
    """Return the condition that a host is in service and has the tag."""
    return Host.retired_at.is_(None) & Host.tags.contains([tag])


def tag_sizes(tags: Collection[str] | None = None) -> dict[str, int]:
    """Return how many hosts in service have each tag, by tag; all tags unless some are named."""
    each = select(func.unnest(Host.tags).label("tag")).where(Host.retired_at.is_(None))
    if tags is not None:
        each = each.where(Host.tags.overlap(list(tags)))
    found = each.subquery()
    counted = select(found.c.tag, func.count()).group_by(found.c.tag).order_by(found.c.tag)
    if tags is not None:
        counted = counted.where(found.c.tag == any_(literal(list(tags), ARRAY(String))))
    return {tag: count for tag, count in db.session.execute(counted)}  # noqa: C416 - dict() loses the types


def tag(text: str) -> str:
    """Return a tag in its one form, small letters and hyphens; raise ValueError with a sentence."""
    word = "-".join(unicodedata.normalize("NFKC", text).casefold().split())
    if not word:
        raise ValueError("A tag cannot be empty.")
    if len(word) > TAG_LENGTH:
        raise ValueError(f"A tag has at most {TAG_LENGTH} characters; {word[:TAG_LENGTH]!r}... is longer.")
    if not word[0].isalnum() or not all(c.isalnum() or c in "-_.:" for c in word):
        raise ValueError(f"{word!r} is no tag: letters, digits and - _ . : with a letter or digit in front.")
    return word
