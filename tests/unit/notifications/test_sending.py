"""Messages that reach real servers, and what is said of those that do not."""

import socket

import pytest
from flask import Flask

from tests.conftest import NOW
from tests.support.mail import Mailbox, Webhook, silent_server
from vulsweb.models import Event, EventKind
from vulsweb.notifications import sending, texts
from vulsweb.notifications.texts import Text

HELLO = Text("Vuls Web: hello", "plain <b>words</b>", "<p>rich &lt;b&gt;words&lt;/b&gt;</p>")
HOSTILE = '<script>alert(1)</script>"\r\nBcc: all@example.org\x00\u202e'


def event(title: str = "A title", text: str = "", kind: EventKind = EventKind.RUN_FAILED) -> Event:
    return Event(kind=kind, subject="task 1", at=NOW, title=title, text=text, path="/runs/1")


def test_a_mail_arrives_as_text_and_html_with_the_id_of_its_message(mailbox: Mailbox) -> None:
    assert sending.send(mailbox.url, "the-id", HELLO) is None

    (mail,) = mailbox.arrived
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert (mail["Subject"], mail["From"], mail["To"]) == (
        "Vuls Web: hello",
        "vuls@example.org",
        "team@example.org",
    )
    assert mail[sending.ID_HEADER] == "the-id"
    assert plain is not None
    assert rich is not None
    assert "<b>words</b>" in plain.get_content()
    assert "&lt;b&gt;words" in rich.get_content()


def test_a_webhook_gets_title_text_and_id(hook: Webhook) -> None:
    assert sending.send(hook.url, "the-id", HELLO) is None

    assert (hook.arrived[0]["title"], hook.arrived[0]["message"]) == ("Vuls Web: hello", HELLO.plain)
    assert hook.headers[0][sending.ID_HEADER] == "the-id"


def test_text_from_a_host_stays_text(mailbox: Mailbox) -> None:
    written = texts.write([event(text=HOSTILE)], "https://vuls.example.org")

    sending.send(mailbox.url, "the-id", written)

    (mail,) = mailbox.arrived
    rich = mail.get_body(("html",))
    assert rich is not None
    assert "<script>" not in rich.get_content()
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [("550 5.1.1 no such user", "no such user"), ("451 try later", "try later")],
)
def test_what_a_mail_server_answers_is_said(mailbox: Mailbox, reply: str, said: str) -> None:
    mailbox.reply = reply

    problem = sending.send(mailbox.url, "the-id", HELLO)

    assert said in (problem or "")


def test_what_a_web_server_answers_is_said_without_secrets(hook: Webhook) -> None:
    hook.status = 500

    problem = sending.send(hook.url, "the-id", HELLO) or ""

    assert "error=500" in problem
    assert "token-of-ours" not in problem


@pytest.mark.parametrize("scheme", ["json", "mailto"])
def test_a_server_that_is_down_is_named(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    problem = sending.send(f"{scheme}://127.0.0.1:{port}/?from=a@b.org&to=c@d.org", "the-id", HELLO) or ""

    assert "refused" in problem.lower()


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(sending, "READ_SECONDS", 0.2)
    with silent_server() as port:
        answers = [
            sending.send(f"{scheme}://127.0.0.1:{port}/?from=a@b.org&to=c@d.org", "the-id", HELLO)
            for scheme in ("json", "mailto")
        ]

    assert all("timed out" in (answer or "") for answer in answers)


def test_an_address_that_was_right_once_is_told() -> None:
    assert sending.send("gone://x", "the-id", HELLO) is not None


def test_one_event_is_its_own_message_and_several_are_a_list(app: Flask) -> None:
    one = texts.write([event("web-1 failed", "It hangs.\nReally.")], "https://vuls.example.org")
    many = texts.write([event(f"run {number}") for number in range(100)], "")

    assert (one.title, one.plain) == (
        "Vuls Web: web-1 failed",
        "It hangs.\nReally.\nhttps://vuls.example.org/runs/1",
    )
    assert '<a href="https://vuls.example.org/runs/1">' in one.html
    assert many.title == "Vuls Web: 100 messages: Run failed (100)"
    assert "run 29 " in many.plain
    assert "run 30 " not in many.plain
    assert many.plain.endswith("And 70 more.")
