"""What there is to change, and who changes it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.conftest import NOW, PASSWORD
from tests.support.authenticator import SoftKey
from vulsweb.accounts import second_factor, sessions, tokens, users
from vulsweb.extensions import db
from vulsweb.models import (
    ApiToken,
    Host,
    HostKeyOffer,
    KnownHost,
    Passkey,
    Role,
    Rule,
    ScheduledTask,
    Scope,
    Trigger,
    User,
    UserSession,
)
from vulsweb.notifications import channels
from vulsweb.runs import starting
from vulsweb.ssh import keys, known_hosts, versions
from vulsweb.ssh.folder import SshFolder

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJvJ9v1Zc3b9c8m0Sxq1J7m9f5pJ4pY0xk4Qm5s1bQ9G"
CONFIG = "Host web-1\n    HostName web-1.example.org\n"
NEW_PASSWORD = "lantern otter quartz meadow"
SECRET_URL = "json://user:secret-word@hooks.example.org/path"


@dataclass
class Cast:
    """What there is to change, and who changes it."""

    app: Flask
    admin: User
    client: FlaskClient
    api: FlaskClient
    make_host: Callable[..., Host]
    make_task: Callable[..., ScheduledTask]

    @property
    def folder(self) -> SshFolder:
        """Return the folder of SSH keys."""
        return SshFolder(self.app.config["SSH_FOLDER"])

    def post(self, path: str, **data: object) -> TestResponse:
        """Send a form."""
        return self.client.post(path, data=data)

    def other(self) -> User:
        """Add a second user."""
        user = users.create_user("otto", NEW_PASSWORD, Role.VIEWER, NOW)
        db.session.commit()
        return user

    def task(self) -> ScheduledTask:
        """Add a database update."""
        return self.make_task(task_type="db_update", database_type="nvd")

    def run_id(self) -> int:
        """Start a run by the schedule."""
        run = starting.start(self.task(), trigger=Trigger.SCHEDULE, now=NOW)
        db.session.commit()
        return run.id

    def channel(self) -> int:
        """Add a channel."""
        channel = channels.create("team", SECRET_URL, "UTC", self.app.config["SECRET_KEY"], NOW)
        db.session.commit()
        return channel.id

    def offer(self) -> HostKeyOffer:
        """Offer a host key."""
        lines = f"web-1 {PUBLIC}"
        offer = known_hosts.offer_pasted("web-1", 22, lines, now=datetime.now(UTC), requested_by=self.admin)
        db.session.commit()
        return offer

    def known(self) -> KnownHost:
        """Accept a host key."""
        now = datetime.now(UTC)
        rows = known_hosts.accept(
            self.offer(), self.folder, changed_too=False, now=now, accepted_by=self.admin
        )
        db.session.commit()
        return rows[0]

    def token(self, user: User) -> int:
        """Add a token."""
        tokens.create("laptop", user, Scope.READ, 30, NOW)
        db.session.commit()
        return db.session.scalars(select(ApiToken.id).where(ApiToken.name == "laptop")).one()

    def session(self, user: User) -> int:
        """Sign a user in with another browser."""
        sessions.begin(user, "192.0.2.7", "Other", timedelta(hours=1), datetime.now(UTC))
        db.session.commit()
        return db.session.scalars(select(UserSession.id).where(UserSession.browser == "Other")).one()

    def with_codes(self, user: User) -> str:
        """Switch the second factor of a user on; return its secret."""
        secret, before = second_factor.new_secret(), datetime.now(UTC) - timedelta(minutes=5)
        code = pyotp.TOTP(secret).at(before)
        second_factor.switch_on(user, secret, code, self.app.config["SECRET_KEY"], before)
        db.session.commit()
        return secret

    def save_config(self) -> int:
        """Save a version of the SSH configuration; return its number."""
        versions.save(
            CONFIG,
            versions.paths_from(self.app.config),
            expected=0,
            now=NOW,
            saved_by=None,
            trigger=Trigger.PERSON,
        )
        db.session.commit()
        return 1

    def write_config_toml(self) -> Path:
        """Write a config.toml with one host."""
        path: Path = self.app.config["VULS_CONFIG"]
        path.write_text('[servers.new-1]\nhost = "192.0.2.1"\n')
        return path


def enter_code(cast: Cast) -> TestResponse:
    secret = cast.with_codes(cast.admin)
    client = cast.app.test_client()
    client.post("/sign-in", data={"name": "admin", "password": PASSWORD})
    return client.post("/sign-in/code", data={"code": pyotp.TOTP(secret).now()})


def switch_on(cast: Cast) -> TestResponse:
    cast.client.get("/account/second-factor")
    with cast.client.session_transaction() as session:
        code = pyotp.TOTP(session["new_secret"]).now()
    return cast.post("/account/second-factor", code=code, confirm=PASSWORD)


def switch_off(cast: Cast) -> TestResponse:
    cast.with_codes(cast.admin)
    return cast.post("/account/second-factor/off", confirm=PASSWORD)


def add_key(cast: Cast, key: SoftKey | None = None) -> TestResponse:
    cast.with_codes(cast.admin)
    options = cast.post("/account/passkeys/begin").get_json()
    answer = (key or SoftKey()).create(options)
    return cast.post("/account/passkeys", name="laptop", confirm=PASSWORD, answer=answer)


def remove_key(cast: Cast) -> TestResponse:
    add_key(cast)
    return cast.post(f"/account/passkeys/{db.session.scalars(select(Passkey.id)).one()}/remove")


def enter_with_key(cast: Cast) -> TestResponse:
    key, client = SoftKey(), cast.app.test_client()
    add_key(cast, key)
    client.post("/sign-in", data={"name": "admin", "password": PASSWORD})
    answer = key.get(client.post("/sign-in/passkey/begin").get_json())
    return client.post("/sign-in/passkey", data={"answer": answer})


def make_key(cast: Cast) -> str:
    keys.generate(cast.folder, "scanner")
    return "scanner"


def rule(cast: Cast) -> str:
    channel_id = cast.channel()
    return f"/notifications/{channel_id}/rules/{db.session.scalars(select(Rule.id)).one()}"


def private_key(cast: Cast) -> str:
    """Return a private key that is not among the stored ones."""
    keys.generate(cast.folder, "elsewhere")
    return (cast.folder.keys / "elsewhere").read_text()
