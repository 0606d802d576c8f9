"""`/notifications/`: channels, what they are told of, and their messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from vulsweb import messages
from vulsweb.extensions import db
from vulsweb.models import Channel, Rhythm, Rule
from vulsweb.models.notification import CHOSEN_BY_RULES
from vulsweb.notifications import addresses, channels, outbox
from vulsweb.notifications.addresses import AddressError, AddressUnreadable, Mail
from vulsweb.notifications.channels import InvalidChannel
from vulsweb.views import filters, live
from vulsweb.vuls.results import Severity

SHOWN_MESSAGES = 20
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
FIRST_MAIL = {"security": "starttls", "port": "587"}

bp = Blueprint("notifications", __name__, url_prefix="/notifications")


@bp.get("/")
@login_required
def index() -> str:
    """List the channels, with forms to add one."""
    return _index_page(FIRST_MAIL, {}, "")


@bp.post("/mail")
@login_required
def create_mail() -> ResponseReturnValue:
    """Add a channel that sends mail."""
    try:
        return _created(_mail().url())
    except AddressError as error:
        return _index_page(request.form, {"mail": str(error)}, "mail"), 422
    except InvalidChannel as error:
        return _index_page(request.form, error.errors, "mail"), 422


@bp.post("/service")
@login_required
def create_service() -> ResponseReturnValue:
    """Add a channel of any service, by its address."""
    try:
        return _created(request.form.get("url", "").strip())
    except InvalidChannel as error:
        return _index_page(request.form, error.errors, "service"), 422


@bp.get("/<int:channel_id>")
@login_required
def show(channel_id: int) -> str:
    """Show a channel: its messages, rules and settings."""
    return _channel_page(_channel_or_404(channel_id), {}, {})


@bp.get("/<int:channel_id>/messages")
@login_required
def message_list(channel_id: int) -> Response:
    """Return the channel's latest messages when they have changed."""
    context = _messages_context(_channel_or_404(channel_id))
    return live.fragment("notifications/_messages.html", str(context.pop("seen")), **context)


@bp.post("/<int:channel_id>")
@login_required
def edit(channel_id: int) -> ResponseReturnValue:
    """Save a channel's settings."""
    channel = _channel_or_404(channel_id)
    fields = ("name", "timezone", "quiet_from", "quiet_until", "digest", "digest_at", "digest_weekday")
    values: dict[str, Any] = {field: request.form.get(field, "") for field in fields}
    values |= {flag: flag in request.form for flag in ("active", "digest_when_empty")}
    try:
        channels.edit(channel, values, datetime.now(UTC))
    except InvalidChannel as error:
        db.session.rollback()
        return _channel_page(_channel_or_404(channel_id), values, error.errors), 422
    db.session.commit()
    return _to_channel(channel, "Settings saved.")


@bp.post("/<int:channel_id>/address")
@login_required
def change_address(channel_id: int) -> ResponseReturnValue:
    """Give a channel another address."""
    channel = _channel_or_404(channel_id)
    try:
        url = request.form.get("url", "").strip()
        channels.change_address(channel, url, current_app.config["SECRET_KEY"])
    except InvalidChannel as error:
        return _channel_page(channel, {}, {"address": error.errors["url"]}), 422
    db.session.commit()
    return _to_channel(channel, "Address saved. Send a test to see whether it works.")


@bp.post("/<int:channel_id>/test")
@login_required
def test(channel_id: int) -> ResponseReturnValue:
    """Send a test message; the channel's page shows what came of it."""
    channel = _channel_or_404(channel_id)
    channels.send_test(channel, current_user.name, datetime.now(UTC))
    db.session.commit()
    messages.send_notify()
    return redirect(url_for("notifications.show", channel_id=channel.id), code=303)


@bp.post("/<int:channel_id>/again")
@login_required
def send_again(channel_id: int) -> ResponseReturnValue:
    """Try a channel now, with what was given up."""
    channel = _channel_or_404(channel_id)
    outbox.send_again(channel, datetime.now(UTC))
    db.session.commit()
    messages.send_notify()
    return redirect(url_for("notifications.show", channel_id=channel.id), code=303)


@bp.post("/<int:channel_id>/rules")
@login_required
def add_rule(channel_id: int) -> ResponseReturnValue:
    """Add a rule to a channel."""
    channel, values = _channel_or_404(channel_id), _rule_values()
    try:
        channels.add_rule(channel, values)
    except InvalidChannel as error:
        db.session.rollback()
        return _channel_page(_channel_or_404(channel_id), {}, error.errors, new_rule=values), 422
    db.session.commit()
    return _to_channel(channel, "Rule added.")


@bp.post("/<int:channel_id>/rules/<int:rule_id>")
@login_required
def edit_rule(channel_id: int, rule_id: int) -> ResponseReturnValue:
    """Save a rule."""
    rule, values = _rule_or_404(channel_id, rule_id), _rule_values()
    try:
        channels.edit_rule(rule, values)
    except InvalidChannel as error:
        db.session.rollback()
        edited = {rule_id: values}
        return _channel_page(_channel_or_404(channel_id), {}, error.errors, edited=edited), 422
    db.session.commit()
    return _to_channel(_channel_or_404(channel_id), "Rule saved.")


@bp.post("/<int:channel_id>/rules/<int:rule_id>/delete")
@login_required
def delete_rule(channel_id: int, rule_id: int) -> ResponseReturnValue:
    """Delete a rule."""
    db.session.delete(_rule_or_404(channel_id, rule_id))
    db.session.commit()
    return _to_channel(_channel_or_404(channel_id), "Rule deleted.")


@bp.get("/<int:channel_id>/delete")
@login_required
def confirm_delete(channel_id: int) -> str:
    """Ask for confirmation before a channel is deleted."""
    channel = _channel_or_404(channel_id)
    return render_template("notifications/delete.html", channel=channel, waiting=len(outbox.waiting(channel)))


@bp.post("/<int:channel_id>/delete")
@login_required
def delete(channel_id: int) -> ResponseReturnValue:
    """Delete a channel with its rules and messages."""
    channel = _channel_or_404(channel_id)
    name = channel.name
    db.session.delete(channel)
    db.session.commit()
    flash(f"Channel {name} deleted.", "success")
    return redirect(url_for("notifications.index"), code=303)


def _created(url: str) -> ResponseReturnValue:
    channel = channels.create(
        request.form.get("name", ""),
        url,
        filters.reader_zone(),
        current_app.config["SECRET_KEY"],
        datetime.now(UTC),
    )
    db.session.commit()
    return _to_channel(channel, f"Channel {channel.name} added. Send a test to see whether it works.")


def _mail() -> Mail:
    form = request.form
    port = form.get("port", "").strip()
    return Mail(
        server=form.get("server", "").strip(),
        port=int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0,
        security=form.get("security", ""),
        user=form.get("user", "").strip(),
        password=form.get("password", ""),
        sender=form.get("sender", "").strip(),
        to=form.get("to", ""),
    )


def _rule_values() -> dict[str, Any]:
    fields = ("task", "tag", "host", "severity", "repeat_hours")
    return {field: request.form.get(field, "") for field in fields} | {"kinds": request.form.getlist("kinds")}


def _values_of(rule: Rule) -> dict[str, Any]:
    return {
        "kinds": rule.kinds,
        "task": rule.task.name if rule.task else "",
        "host": rule.host.name if rule.host else "",
        "tag": rule.tag or "",
        "severity": rule.severity or "",
        "repeat_hours": rule.repeat_hours or "",
    }


def _index_page(values: Mapping[str, str], errors: Mapping[str, str], form: str) -> str:
    return render_template(
        "notifications/index.html",
        channels=[(channel, _kind(channel)) for channel in channels.all_channels()],
        waiting=channels.waiting_counts(),
        values=values,
        errors=errors,
        form=form,
        examples=addresses.EXAMPLES,
    )


def _channel_page(
    channel: Channel,
    values: Mapping[str, Any],
    errors: Mapping[str, str],
    *,
    edited: Mapping[int, Mapping[str, Any]] | None = None,
    new_rule: Mapping[str, Any] | None = None,
) -> str:
    edited = edited or {}
    context = {
        "values": values or _settings_of(channel),
        "errors": errors,
        "rules": [
            (each, edited.get(each.id) or _values_of(each), each.id in edited) for each in channel.rules
        ],
        "new_rule": new_rule,
        "kinds": CHOSEN_BY_RULES,
        "severities": Severity,
        "rhythms": Rhythm,
        "weekdays": list(enumerate(WEEKDAYS)),
        "kind": _kind(channel),
        "address": _shown_address(channel),
    }
    return render_template("notifications/show.html", **context, **_messages_context(channel))


def _messages_context(channel: Channel) -> dict[str, Any]:
    latest = outbox.latest(channel, SHOWN_MESSAGES)
    facts = [(each.id, each.sent_at, each.given_up_at, each.message_id) for each in latest]
    return {
        "channel": channel,
        "deliveries": latest,
        "quiet": outbox.is_quiet(channel, datetime.now(UTC)),
        "seen": live.fingerprint(facts, channel.last_error, channel.next_try_at),
    }


def _settings_of(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "active": channel.active,
        "timezone": channel.timezone,
        "quiet_from": _time(channel.quiet_from),
        "quiet_until": _time(channel.quiet_until),
        "digest": channel.digest.value,
        "digest_at": _time(channel.digest_minute),
        "digest_weekday": str(channel.digest_weekday),
        "digest_when_empty": channel.digest_when_empty,
    }


def _time(minute: int | None) -> str:
    return "" if minute is None else f"{minute // 60:02}:{minute % 60:02}"


def _kind(channel: Channel) -> str:
    try:
        return addresses.kind(addresses.decrypt(channel.url, current_app.config["SECRET_KEY"]))
    except (AddressUnreadable, AddressError):
        return "Unknown"


def _shown_address(channel: Channel) -> str:
    try:
        return addresses.shown(addresses.decrypt(channel.url, current_app.config["SECRET_KEY"]))
    except (AddressUnreadable, AddressError) as error:
        return str(error)


def _channel_or_404(channel_id: int) -> Channel:
    return db.session.get(Channel, channel_id) or abort(404)


def _rule_or_404(channel_id: int, rule_id: int) -> Rule:
    rule = db.session.get(Rule, rule_id)
    return rule if rule is not None and rule.channel_id == channel_id else abort(404)


def _to_channel(channel: Channel, sentence: str) -> ResponseReturnValue:
    flash(sentence, "success")
    return redirect(url_for("notifications.show", channel_id=channel.id), code=303)
