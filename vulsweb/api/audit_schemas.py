"""API schemas of the audit trail."""

from datetime import UTC

from marshmallow import Schema, fields
from marshmallow.validate import Range

from vulsweb.api.schemas import LARGEST_ID, Moment, NextLink, search_text
from vulsweb.models import AuditAction, AuditKind, AuditWay


class AuditQuery(Schema):
    """Filters of entries; `before_number` continues after that entry."""

    actor = search_text()
    action = fields.Enum(AuditAction, by_value=True)
    kind = fields.List(fields.Enum(AuditKind, by_value=True))
    object_id = search_text()
    search = search_text()
    created_after = Moment(default_timezone=UTC)
    created_before = Moment(default_timezone=UTC)
    before_number = fields.Integer(validate=Range(1, LARGEST_ID))
    per_page = fields.Integer(load_default=50, validate=Range(1, 500))


class AuditEntryOut(Schema):
    """One change, or one attempt to sign in."""

    number = fields.Integer(required=True)
    at = fields.AwareDateTime(required=True)
    way = fields.Enum(AuditWay, by_value=True, required=True)
    actor_id = fields.Integer(required=True, allow_none=True)
    actor = fields.String(required=True)
    token = fields.String(required=True)
    address = fields.String(required=True)
    action = fields.Enum(AuditAction, by_value=True, required=True)
    kind = fields.Enum(AuditKind, by_value=True, required=True)
    object_id = fields.String(required=True)
    object_name = fields.String(required=True)
    before = fields.Dict(required=True)
    after = fields.Dict(required=True)
    previous = fields.String(required=True)
    hash = fields.String(required=True)


class AuditStream(Schema):
    """Entries, newest first, without a `total`, which is slow to count."""

    items = fields.List(fields.Nested(AuditEntryOut), required=True)
    per_page = fields.Integer(required=True)
    links = fields.Nested(NextLink, required=True)
