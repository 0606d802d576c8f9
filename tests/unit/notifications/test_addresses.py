"""Addresses of channels: what is one, how it is stored, and what pages show."""

from typing import Any

import pytest

from vulsweb.notifications import addresses
from vulsweb.notifications.addresses import AddressError, AddressUnreadable, Mail

KEY = "one key one key one key one key one"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"


@pytest.mark.parametrize(
    "url",
    [
        SLACK,
        "mailtos://eve:secret@mail.example.org:587/?from=a@example.org&to=b@example.org",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "workflows://prod-1.westeurope.logic.azure.com/workflow-id/signature",
        "tgram://123456789:abcdefg_hijklmnop/12315544",
        "jsons://hooks.example.org/path",
        "pagerduty://0123456789abcdef@abcdefghijklmnopqrst",
    ],
)
def test_services_that_people_use_are_known(url: str) -> None:
    assert addresses.kind(url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "No service has this address"),
        ("team@example.org", "No service has this address"),
        ("gopher://example.org", "No service has this address"),
        ("file:///etc/passwd", "No service has this address"),
        ("slack://a", "A part of this slack:// address is missing or wrong."),
        ("mailto://", "A part of this mailto:// address is missing or wrong."),
        ("json://a\nb", "one line"),
        ("json://" + "a" * 3000, "one line of at most 2000 characters"),
        ("syslog://", "reaches this machine only"),
        ("dbus://", "reaches this machine only"),
    ],
)
def test_what_nothing_can_be_sent_to_is_refused_with_the_reason(url: str, sentence: str) -> None:
    with pytest.raises(AddressError) as refused:
        addresses.service(url)

    assert sentence in str(refused.value)


def test_a_stored_address_is_read_with_the_same_key_only() -> None:
    stored = addresses.encrypt(SLACK, KEY)

    assert "TIiajkdnlazkcOXrIdevi7FQ" not in stored
    assert addresses.decrypt(stored, KEY) == SLACK
    with pytest.raises(AddressUnreadable, match="Enter the address again"):
        addresses.decrypt(stored, KEY + "!")


def test_pages_show_an_address_without_its_secrets() -> None:
    shown = addresses.shown("mailtos://eve:secret-word@mail.example.org:587/?to=b@example.org&from=a@b.org")

    assert "mail.example.org" in shown
    assert "secret-word" not in shown


def test_answers_are_shown_without_the_secrets_of_the_address() -> None:
    url = "jsons://eve:secret%2Fword@hooks.example.org/token-of-ours/x?key=another-secret"
    answer = "hooks.example.org refused /token-of-ours/x?key=another-secret for eve with secret/word"

    masked = addresses.masked(answer, url)

    assert masked == "hooks.example.org refused /****/x?key=**** for eve with ****"


def test_a_mail_form_becomes_an_address_whatever_is_in_the_password() -> None:
    mail = Mail(
        "mail.example.org", 587, "starttls", "eve@x", "p:/@ä?&#", "vuls@example.org", "a@b.org, c@d.org"
    )

    service: Any = addresses.service(mail.url())

    assert (service.host, service.port, service.user, service.password) == (
        "mail.example.org",
        587,
        "eve@x",
        "p:/@ä?&#",
    )
    assert [address for _, address in service.targets] == ["a@b.org", "c@d.org"]
    assert service.from_addr[1] == "vuls@example.org"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"server": ""}, "Enter a server"),
        ({"to": " , "}, "at least one recipient"),
        ({"sender": ""}, "a sender"),
        ({"port": 0}, "from 1 to 65535"),
        ({"security": "none"}, "how the connection is protected"),
        ({"server": "mail.example.org/x?to=all@example.org"}, "A server is a name"),
        ({"to": "a@b.org\r\nBcc: all@example.org"}, "is not a mail address"),
        ({"sender": "nobody"}, "nobody is not a mail address"),
    ],
)
def test_a_wrong_mail_form_is_refused_with_the_reason(changes: dict[str, object], sentence: str) -> None:
    right: dict[str, object] = {
        "server": "mail.example.org",
        "port": 25,
        "security": "insecure",
        "user": "",
        "password": "",
        "sender": "vuls@example.org",
        "to": "a@b.org",
    }

    with pytest.raises(AddressError, match=sentence):
        Mail(**(right | changes)).url()  # type: ignore[arg-type]
