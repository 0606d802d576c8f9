"""API schemas of the SSH configuration, keys and known hosts."""

from typing import Any

from marshmallow import Schema, fields, pre_dump
from marshmallow.validate import Length, Range

from vulsweb.api.schemas import LARGEST_ID, Page, Problem, Strict, TrueOrFalse
from vulsweb.models import HostKeyOffer, KeySource, KnownHost
from vulsweb.ssh import keys as ssh_keys
from vulsweb.ssh import known_hosts, versions
from vulsweb.ssh.keys import SshKey
from vulsweb.vuls.ssh.config import SshHost
from vulsweb.vuls.ssh.proxy import SshConnection


class HowToSave(Schema):
    """Whether to only preview, or to remove refused lines."""

    dry_run = fields.Boolean(load_default=False)
    fix = fields.Boolean(load_default=False)


class Force(Schema):
    """Whether to delete something that is in use."""

    force = fields.Boolean(load_default=False)


class SshHostOut(Schema):
    """A host of the SSH configuration."""

    alias = fields.String(required=True)
    hostname = fields.String(required=True)
    port = fields.Integer(required=True)
    user = fields.String(required=True)
    connection = fields.Enum(SshConnection, by_value=True, required=True)
    scan_modes = fields.List(fields.String(), required=True)
    keys = fields.List(fields.String(), required=True)
    known_as = fields.String(required=True)

    @pre_dump
    def from_host(self, host: SshHost, **_: Any) -> dict[str, Any]:
        """Return the host in the format of the API."""
        return {
            "alias": host.alias,
            "hostname": host.hostname,
            "port": host.port,
            "user": host.user,
            "connection": host.connection,
            "scan_modes": host.connection.scan_modes,
            "keys": host.identity_files,
            "known_as": host.known_as,
        }


class SshConfigOut(Schema):
    """The current SSH configuration."""

    content = fields.String(required=True)
    version = fields.Integer(required=True)
    updated_at = fields.AwareDateTime(required=True, allow_none=True)
    updated_by = fields.String(required=True, allow_none=True)
    hosts = fields.List(fields.Nested(SshHostOut), required=True)


class SshConfigIn(Strict):
    """A new version of the SSH configuration."""

    shown = SshConfigOut

    content = fields.String(required=True)
    version = fields.Integer(strict=True, load_default=None, allow_none=True, validate=Range(0, LARGEST_ID))
    note = fields.String(load_default="", validate=Length(max=versions.LONGEST_NOTE))


class RefusalOut(Schema):
    """A line that is not allowed."""

    line = fields.Integer(required=True)
    text = fields.String(required=True)
    reason = fields.String(required=True)


class SshPlan(Schema):
    """What saving changes: servers in config.toml, and the file's diff.

    `left_out` are hosts that are not scanned, such as jump hosts. `removed` are lines that `fix=true` took
    out.
    `warnings` are sentences about what is saved but will not work, such as hosts without IdentityFile.
    """

    added = fields.List(fields.String(), required=True)
    changed = fields.List(fields.String(), required=True)
    retired = fields.List(fields.String(), required=True)
    unchanged = fields.List(fields.String(), required=True)
    version = fields.Integer(required=True)
    left_out = fields.List(fields.String(), required=True)
    diff = fields.String(required=True)
    warnings = fields.List(fields.String(), required=True)
    removed = fields.List(fields.Nested(RefusalOut), required=True)


class SshConfigProblem(Problem):
    """Why a configuration was not saved: `errors` lists lines or fields."""

    errors = fields.Raw(  # type: ignore[assignment]  # either shape
        metadata={
            "anyOf": [
                {"type": "array", "items": {"$ref": "#/components/schemas/Refusal"}},
                {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
            ]
        }
    )


class NewKeyIn(Strict):
    """The name of a key."""

    name = fields.String(required=True, metadata={"description": ssh_keys.NAME_RULE})


class KeyIn(NewKeyIn):
    """A private key; it is never returned."""

    private_key = fields.String(required=True, metadata={"writeOnly": True})


class KeyOut(Schema):
    """A key, without its private part."""

    name = fields.String(required=True)
    type = fields.String(required=True)
    fingerprint = fields.String(required=True)
    public_key = fields.String(required=True)
    added_at = fields.AwareDateTime(required=True)
    used_by = fields.List(fields.String(), required=True)

    @pre_dump
    def from_key(self, key: SshKey, **_: Any) -> dict[str, Any]:
        """Return the key in the format of the API."""
        return {
            "name": key.name,
            "type": key.public.type,
            "fingerprint": key.public.fingerprint,
            "public_key": key.line,
            "added_at": key.added_at,
            "used_by": versions.hosts_using_key(key.name),
        }


class KeyPage(Page):
    """A page of keys."""

    items = fields.List(fields.Nested(KeyOut), required=True)


class KnownHostOut(Schema):
    """A trusted host key."""

    id = fields.Integer(required=True)
    hostname = fields.String(required=True)
    port = fields.Integer(required=True)
    type = fields.String(required=True)
    fingerprint = fields.String(required=True)
    source = fields.Enum(KeySource, by_value=True, required=True)
    accepted_at = fields.AwareDateTime(required=True)
    accepted_by = fields.String(required=True, allow_none=True)

    @pre_dump
    def from_known_host(self, known: KnownHost, **_: Any) -> dict[str, Any]:
        """Return the host key in the format of the API."""
        return {
            "id": known.id,
            "hostname": known.hostname,
            "port": known.port,
            "type": known.key_type,
            "fingerprint": known_hosts.public_key(known).fingerprint,
            "source": known.source,
            "accepted_at": known.accepted_at,
            "accepted_by": known.accepted_by.shown if known.accepted_by else None,
        }


class KnownHostPage(Page):
    """A page of trusted host keys."""

    items = fields.List(fields.Nested(KnownHostOut), required=True)


class OfferIn(Strict):
    """A host; its keys are fetched unless `lines` has them."""

    hostname = fields.String(required=True)
    port = fields.Integer(strict=True, load_default=22)
    lines = fields.String(load_default=None, allow_none=True)


class AcceptIn(Strict):
    """Whether to accept keys that differ from the trusted ones."""

    accept_changed = TrueOrFalse(load_default=False)


class OfferedKeyOut(Schema):
    """A key of a host; `replaces` is the trusted fingerprint if `changed`."""

    type = fields.String(required=True)
    fingerprint = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": ["new", "known", "changed"]})
    replaces = fields.String(required=True, allow_none=True)


class OfferOut(Schema):
    """The keys of a host to compare; `pending` while they are fetched."""

    id = fields.Integer(required=True)
    hostname = fields.String(required=True)
    port = fields.Integer(required=True)
    status = fields.String(required=True, metadata={"enum": ["pending", "ready", "failed", "accepted"]})
    error = fields.String(required=True, allow_none=True)
    keys = fields.List(fields.Nested(OfferedKeyOut), required=True)

    @pre_dump
    def from_offer(self, offer: HostKeyOffer, **_: Any) -> dict[str, Any]:
        """Return the offer in the format of the API."""
        return {
            "id": offer.id,
            "hostname": offer.hostname,
            "port": offer.port,
            "status": known_hosts.status(offer),
            "error": offer.error,
            "keys": [
                {
                    "type": each.key.type,
                    "fingerprint": each.key.fingerprint,
                    "state": each.state,
                    "replaces": each.before.fingerprint if each.before and each.state == "changed" else None,
                }
                for each in known_hosts.offered_keys(offer)
            ],
        }
