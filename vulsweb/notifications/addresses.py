"""Addresses of channels: Apprise URLs, checked, and encrypted for the database."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import apprise
from apprise.manager_plugins import NotificationManager

from vulsweb import encryption

LENGTH = 2000
_PURPOSE = "vulsweb channel addresses"
EXAMPLES = "mailtos://, slack://, msteams://, discord://, tgram://, pagerduty://, jsons://"
# Apprise knows these as well. They would reach the server's own desktop, bus, log or devices, never a person.
LOCAL_SERVICES = frozenset(
    ("blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows")
)


class AddressError(ValueError):
    """An address that nothing can be sent to; the message says why."""


class AddressUnreadable(Exception):
    """A stored address cannot be decrypted: the key has changed."""

    def __init__(self) -> None:
        super().__init__(
            "Its address cannot be read, because the secret key has changed. Enter the address again."
        )


@dataclass(frozen=True)
class Mail:
    """A mail server and who writes to whom."""

    server: str
    port: int
    security: str  # "starttls", "ssl" or "insecure"
    user: str
    password: str
    sender: str
    to: str  # separated by commas

    def url(self) -> str:
        """Return the address as Apprise writes it; raise AddressError."""
        people = [each.strip() for each in self.to.split(",") if each.strip()]
        if not self.server or not people or not self.sender:
            raise AddressError("Enter a server, a sender and at least one recipient.")
        if self.security not in ("starttls", "ssl", "insecure"):
            raise AddressError("Choose how the connection is protected.")
        if not 1 <= self.port <= 65535:
            raise AddressError("A port is a number from 1 to 65535.")
        if not _is_host(self.server):
            raise AddressError("A server is a name or an address, such as mail.example.org.")
        if wrong := next((each for each in (self.sender, *people) if not _is_mail(each)), None):
            raise AddressError(f"{wrong[:100]} is not a mail address.")
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        query = urlencode({"from": self.sender, "to": ",".join(people), "mode": self.security})
        host = f"[{self.server}]" if ":" in self.server else self.server
        scheme = "mailto" if self.security == "insecure" else "mailtos"
        return f"{scheme}://{login}{host}:{self.port}/?{query}"


def _is_host(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", text) is not None


def _is_mail(text: str) -> bool:
    return re.fullmatch(r"[^\s@<>,;:\"']{1,64}@[A-Za-z0-9._-]{1,253}", text) is not None


def service(url: str) -> apprise.NotifyBase:
    """Return Apprise's service for an address; raise AddressError."""
    scheme = url.partition("://")[0].lower()
    if len(url) > LENGTH or not url.isprintable():
        raise AddressError(f"An address is one line of at most {LENGTH} characters.")
    if scheme in LOCAL_SERVICES:
        raise AddressError(f"{scheme}:// reaches this machine only. Choose a service that reaches people.")
    try:
        found = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    except TypeError:  # for what it cannot take apart at all
        found = None
    if not isinstance(found, apprise.NotifyBase):
        if scheme not in known_schemes():
            raise AddressError(f"No service has this address. It begins like {EXAMPLES}.")
        raise AddressError(f"A part of this {scheme}:// address is missing or wrong.")
    return found


def known_schemes() -> frozenset[str]:
    """Return how addresses can begin."""
    manager: Any = NotificationManager()  # type: ignore[no-untyped-call]
    return frozenset(manager.schemas()) - LOCAL_SERVICES


def kind(url: str) -> str:
    """Return the name of the service, such as "Slack"."""
    return str(service(url).service_name)


def shown(url: str) -> str:
    """Return the address for pages, with secrets replaced by asterisks."""
    found: Any = service(url)  # its types lack this method
    return unquote(str(found.url(privacy=True)).partition("?")[0])


def encrypt(url: str, secret_key: str) -> str:
    """Return the address as it is stored."""
    return encryption.encrypt(url, secret_key, _PURPOSE)


def decrypt(stored: str, secret_key: str) -> str:
    """Return a stored address; raise AddressUnreadable if the key is another."""
    try:
        return encryption.decrypt(stored, secret_key, _PURPOSE)
    except encryption.Unreadable as error:
        raise AddressUnreadable from error


def masked(text: str, url: str) -> str:
    """Return the text without the secrets of an address."""
    parts = urlsplit(url)
    known = {parts.hostname or "", parts.scheme}
    secrets = {each for part in re.split(r"[/:@?&=]", url) for each in (part, unquote(part))}
    for each in sorted(secrets - known, key=len, reverse=True):
        if len(each) >= 4:
            text = text.replace(each, "****")
    return text
