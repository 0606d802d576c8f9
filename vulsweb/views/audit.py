"""`/audit/`: who did what, and when."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.audit import entries, exports
from vulsweb.models import AuditAction, AuditKind
from vulsweb.views import filters, forms
from vulsweb.views.list_query import one_line

PER_PAGE = 50
SHOWN_OF_OBJECT = 10
FORMATS = {"csv": (exports.as_csv, "text/csv"), "jsonl": (exports.as_json_lines, "application/jsonl")}

bp = Blueprint("audit", __name__, url_prefix="/audit")


@dataclass(frozen=True)
class AuditQuery:
    """Which entries the page shows, and the query string for them."""

    actor: str
    action: AuditAction | None
    kind: AuditKind | None
    object_id: str
    text: str
    since: date | None
    until: date | None
    zone: str

    @property
    def args(self) -> dict[str, Any]:
        """Return the filter as arguments of the URL."""
        args = {
            "actor": self.actor,
            "action": self.action,
            "kind": self.kind,
            "id": self.object_id,
            "search": self.text,
            "from": self.since,
            "to": self.until,
        }
        return {name: str(value) for name, value in args.items() if value}

    @property
    def filter(self) -> entries.Filter:
        """Return the filter; the last day is included."""
        return entries.Filter(
            actor=self.actor,
            action=self.action,
            kinds=() if self.kind is None else _shown_with(self.kind) if self.object_id else (self.kind,),
            object_id=self.object_id,
            text=self.text,
            since=forms.midnight(self.since, self.zone) if self.since else None,
            until=forms.midnight(self.until + timedelta(days=1), self.zone) if self.until else None,
        )


@bp.get("/")
@login_required
def index() -> str:
    """List the entries that match the filter."""
    query, before = _query(), forms.number(request.args, "before") or None
    return render_template(
        "audit/index.html",
        query=query,
        page=entries.page(query.filter, limit=PER_PAGE, before=before),
        before=before,
        actions=AuditAction,
        kinds=AuditKind,
    )


@bp.get("/of-object")
@login_required
def of_object() -> str:
    """Return the latest entries of one object, for its own page."""
    query = _query()
    page = entries.page(query.filter, limit=SHOWN_OF_OBJECT)
    return render_template("audit/_of_object.html", page=page, query=query)


@bp.get("/export.<extension>")
@login_required
def export(extension: str) -> ResponseReturnValue:
    """Send all entries that match the filter as a file."""
    if extension not in FORMATS:
        abort(404)
    write, media_type = FORMATS[extension]
    answer = Response(write(entries.each(current_app.app_context(), _query().filter)), mimetype=media_type)
    name = f"vulsweb-audit-{datetime.now(UTC):%Y-%m-%d}.{extension}"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _shown_with(kind: AuditKind) -> tuple[AuditKind, ...]:
    """Return the kinds that belong on the page of one."""
    return (AuditKind.CHANNEL, AuditKind.RULE) if kind is AuditKind.CHANNEL else (kind,)


def _query() -> AuditQuery:
    """Parse the query string; invalid values are ignored."""
    args = request.args
    return AuditQuery(
        actor=one_line(args, "actor"),
        action=forms.member(AuditAction, args, "action"),
        kind=forms.member(AuditKind, args, "kind"),
        object_id=one_line(args, "id"),
        text=one_line(args, "search"),
        since=forms.day(args.get("from", "")),
        until=forms.day(args.get("to", "")),
        zone=filters.reader_zone(),
    )
