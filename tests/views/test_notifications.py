"""`/notifications/`: channels, rules and settings, and what goes wrong with them."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from tests.conftest import NOW
from tests.unit.runs.support import MakeTask
from vulsweb.extensions import db
from vulsweb.models import Channel, Delivery, Event, EventKind, Rhythm, Rule
from vulsweb.notifications import addresses, channels, events
from vulsweb.notifications.events import Happening

WEBHOOK = "json://user:secret-word@hooks.example.org/path"
MAIL = {
    "name": "team",
    "server": "mail.example.org",
    "port": "587",
    "security": "starttls",
    "user": "eve",
    "password": "secret-word",
    "sender": "vuls@example.org",
    "to": "team@example.org",
}
SETTINGS = {
    "name": "team",
    "active": "on",
    "timezone": "Europe/London",
    "quiet_from": "22:00",
    "quiet_until": "06:30",
    "digest": "weekly",
    "digest_at": "07:15",
    "digest_weekday": "5",
}


@pytest.fixture
def channel(app: Flask) -> Channel:
    channel = channels.create("team", WEBHOOK, "UTC", app.config["SECRET_KEY"], NOW)
    db.session.commit()
    return channel


def test_an_admin_without_a_channel_is_offered_one_on_the_overview(
    signed_in: FlaskClient, app: Flask
) -> None:
    before = signed_in.get("/").text
    channels.create("team", WEBHOOK, "UTC", app.config["SECRET_KEY"], NOW)
    db.session.commit()

    assert "Set up notifications" in before
    assert "Set up notifications" not in signed_in.get("/").text


def test_a_mail_channel_is_added_with_a_rule_for_what_matters(signed_in: FlaskClient, app: Flask) -> None:
    answer = signed_in.post("/notifications/mail", data=MAIL, follow_redirects=True)

    channel = db.session.query(Channel).one()
    assert "Channel team added. Send a test to see whether it works." in answer.text
    assert "Run failed" in answer.text
    assert addresses.decrypt(channel.url, app.config["SECRET_KEY"]).startswith("mailtos://eve:secret-word@")
    assert "secret-word" not in channel.url
    assert "secret-word" not in answer.text


@pytest.mark.parametrize(
    ("path", "data", "sentence"),
    [
        ("mail", MAIL | {"server": ""}, "Enter a server, a sender and at least one recipient."),
        ("mail", MAIL | {"port": "99999999"}, "A port is a number from 1 to 65535."),
        ("mail", MAIL | {"name": " "}, "Enter a name."),
        ("service", {"name": "chat", "url": "gopher://x"}, "No service has this address."),
        ("service", {"name": "x" * 81, "url": WEBHOOK}, "Use at most 80 characters"),
        ("service", {"name": "TEAM", "url": WEBHOOK}, "Another channel has this name."),
    ],
)
def test_a_wrong_channel_is_refused_with_the_reason_and_what_was_typed(
    signed_in: FlaskClient, channel: Channel, path: str, data: dict[str, str], sentence: str
) -> None:
    answer = signed_in.post(f"/notifications/{path}", data=data)

    assert answer.status_code == 422
    assert sentence in answer.text
    typed = data.get("to") or data["url"]
    assert typed in answer.text
    assert "secret-word" not in answer.text.replace(WEBHOOK, "")
    assert db.session.query(Channel).count() == 1


def test_settings_are_saved(signed_in: FlaskClient, channel: Channel) -> None:
    answer = signed_in.post(f"/notifications/{channel.id}", data=SETTINGS, follow_redirects=True)

    db.session.refresh(channel)
    assert "Settings saved." in answer.text
    assert (channel.quiet_from, channel.quiet_until, channel.digest_minute) == (22 * 60, 390, 435)
    assert (channel.digest, channel.digest_weekday, channel.digest_when_empty) == (Rhythm.WEEKLY, 5, False)
    assert channel.next_digest_at is not None
    assert 'value="06:30"' in answer.text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Enter a name."),
        ({"quiet_from": "25:00"}, "Enter a time like 22:30."),
        ({"quiet_until": "noon"}, "Enter a time like 22:30."),
        ({"quiet_until": ""}, "Enter both times, or none."),
        ({"quiet_until": "٢٢:٠٠"}, "Enter a time like 22:30."),
        ({"timezone": "Mars/Base"}, "Mars/Base"),
        ({"digest": "hourly"}, "Choose how often."),
        ({"digest_weekday": "9"}, "Choose a day."),
    ],
)
def test_wrong_settings_are_refused_beside_the_field(
    signed_in: FlaskClient, channel: Channel, changes: dict[str, str], sentence: str
) -> None:
    answer = signed_in.post(f"/notifications/{channel.id}", data=SETTINGS | changes)

    db.session.refresh(channel)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert channel.quiet_from is None


def test_another_address_replaces_the_stored_one_and_forgets_its_failures(
    signed_in: FlaskClient, channel: Channel, app: Flask
) -> None:
    db.session.execute(update(Channel).values(failures=3, last_error="away", next_try_at=NOW))
    db.session.commit()

    wrong = signed_in.post(f"/notifications/{channel.id}/address", data={"url": "nothing"})
    signed_in.post(f"/notifications/{channel.id}/address", data={"url": "json://other.example.org"})

    db.session.refresh(channel)
    assert (wrong.status_code, "No service has this address." in wrong.text) == (422, True)
    assert addresses.decrypt(channel.url, app.config["SECRET_KEY"]) == "json://other.example.org"
    assert (channel.failures, channel.last_error, channel.next_try_at) == (0, None, None)


def test_a_test_message_waits_for_nothing(signed_in: FlaskClient, channel: Channel) -> None:
    channel.next_try_at = NOW
    db.session.commit()

    page = signed_in.post(f"/notifications/{channel.id}/test", follow_redirects=True)

    assert "Test of the channel team" in page.text
    assert "Waiting" in page.text
    assert db.session.query(Event).one().text == "admin has sent this to see whether it arrives. It does."
    db.session.refresh(channel)
    assert channel.next_try_at is None


def test_the_list_of_messages_is_sent_only_when_it_has_changed(
    signed_in: FlaskClient, channel: Channel
) -> None:
    page = signed_in.get(f"/notifications/{channel.id}").text
    found = re.search(r"/messages\?seen=(\w+)", page)
    assert found is not None
    path = f"/notifications/{channel.id}/messages?seen={found[1]}"
    same = signed_in.get(path)

    events.record([Happening(EventKind.RUN_FAILED, "task 1", "<b>web-1</b>")], NOW)
    db.session.commit()
    changed = signed_in.get(path)

    assert same.status_code == 204
    assert (changed.status_code, "&lt;b&gt;web-1" in changed.text) == (200, True)


def test_what_was_given_up_is_shown_and_sent_again(signed_in: FlaskClient, channel: Channel) -> None:
    events.record([Happening(EventKind.RUN_FAILED, "task 1", "web-1 failed")], NOW)
    delivery = db.session.query(Delivery).one()
    delivery.given_up_at, channel.last_error, channel.next_try_at = NOW, "550 <b>no</b>", NOW
    db.session.commit()
    page = signed_in.get(f"/notifications/{channel.id}").text

    signed_in.post(f"/notifications/{channel.id}/again")

    assert "Given up" in page
    assert "550 &lt;b&gt;no&lt;/b&gt;" in page
    db.session.refresh(delivery)
    assert delivery.given_up_at is None


def rule_form(**changes: Any) -> dict[str, Any]:
    return {
        "kinds": ["run_failed", "new_findings"],
        "task": "",
        "host": "",
        "tag": "",
        "severity": "high",
        "repeat_hours": "",
    } | changes


def test_rules_are_added_changed_and_deleted(
    signed_in: FlaskClient, channel: Channel, make_task: MakeTask
) -> None:
    task = make_task(name="Nightly")

    signed_in.post(f"/notifications/{channel.id}/rules", data=rule_form(task="nightly", repeat_hours="6"))
    rule = channel.rules[-1]
    page = signed_in.get(f"/notifications/{channel.id}").text
    signed_in.post(f"/notifications/{channel.id}/rules/{rule.id}", data=rule_form(tag="web", severity=""))
    db.session.refresh(rule)
    changed = (rule.kinds, rule.task, rule.tag, rule.severity, rule.repeat_hours)
    signed_in.post(f"/notifications/{channel.id}/rules/{rule.id}/delete")

    assert "task Nightly · findings from high up · repeated after 6 hours" in page
    assert task.name == "Nightly"
    assert changed == (["run_failed", "new_findings"], None, "web", None, None)
    assert db.session.query(Rule).count() == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kinds": []}, "Choose at least one event."),
        ({"kinds": ["test", "digest", "nonsense"]}, "Choose at least one event."),
        ({"task": "No such task"}, "There is no task with this name."),
        ({"host": "nowhere"}, "There is no host with this name."),
        ({"repeat_hours": "-1"}, "Enter hours from 1 to 720, or nothing."),
        ({"repeat_hours": "99999999999999"}, "Enter hours from 1 to 720, or nothing."),
        ({"tag": "x" * 33}, "Use at most 32 characters"),
        ({"kinds": ["role_changed"], "tag": "web"}, "None of these events is about a task or a host."),
    ],
)
@pytest.mark.parametrize("path", ["rules", "rules/1"])
def test_a_wrong_rule_is_refused_beside_the_field_and_stays_open(
    signed_in: FlaskClient, channel: Channel, path: str, changes: dict[str, Any], sentence: str
) -> None:
    answer = signed_in.post(f"/notifications/{channel.id}/{path}", data=rule_form(**changes))

    assert answer.status_code == 422
    assert sentence in answer.text
    assert re.search(r"<details[^>]*open", answer.text)
    assert channel.rules[0].severity == "high"
    assert len(channel.rules) == 1


def test_a_channel_is_deleted_with_all_that_belongs_to_it_after_a_question(
    signed_in: FlaskClient, channel: Channel
) -> None:
    events.record([Happening(EventKind.RUN_FAILED, "task 1", "web-1 failed")], NOW)
    db.session.commit()

    question = signed_in.get(f"/notifications/{channel.id}/delete").text
    answer = signed_in.post(f"/notifications/{channel.id}/delete", follow_redirects=True)

    assert "This also deletes 1 rule and 1 event that waits to be sent." in " ".join(question.split())
    assert "Channel team deleted." in answer.text
    assert db.session.query(Delivery).count() == db.session.query(Rule).count() == 0


def test_a_channel_whose_key_is_gone_can_still_be_opened_and_mended(
    signed_in: FlaskClient, channel: Channel
) -> None:
    channel.url = "nonsense"
    db.session.commit()

    pages = [signed_in.get(path).text for path in ("/notifications/", f"/notifications/{channel.id}")]

    assert "Enter the address again" in pages[1]
    assert "team" in pages[0]


def test_a_deleted_task_takes_its_rules_with_it(
    signed_in: FlaskClient, channel: Channel, make_task: MakeTask
) -> None:
    task = make_task(name="Nightly")
    signed_in.post(f"/notifications/{channel.id}/rules", data=rule_form(task="Nightly"))

    signed_in.post(f"/tasks/{task.id}/delete")

    assert signed_in.get(f"/notifications/{channel.id}").status_code == 200
    assert db.session.query(Rule).count() == 1
