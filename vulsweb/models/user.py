"""Users, and the API tokens that act for them."""

import enum
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from flask_login import UserMixin
from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base

HASHER = PasswordHasher()
SUBJECT_LENGTH = 500


# Checked for unknown names, so that the response time does not reveal which names exist. It is the hash of a
# random password that nobody knows, made once: each program would spend a tenth of a second on it.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$4WO7Uew6NnfAPwykb/7wbw$k8LLMZYkerZkySftx17FDO3TnSSiX4NQLri5Z9Cf4CI"


class Role(enum.StrEnum):
    """What a user may do; each role includes the ones before it."""

    VIEWER = "viewer"  # reads everything except SSH keys and users
    OPERATOR = "operator"  # edits tasks and hosts, starts and stops runs
    ADMIN = "admin"  # edits the SSH configuration, keys and users

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return self.value.capitalize()

    @property
    def operates(self) -> bool:
        """Return whether this role may change tasks, hosts and runs."""
        return self is not Role.VIEWER

    @property
    def administers(self) -> bool:
        """Return whether this role may change the SSH configuration, keys and users."""
        return self is Role.ADMIN


class User(UserMixin, Base):
    """A user who may sign in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    password_hash: Mapped[str]
    role: Mapped[Role] = mapped_column(default=Role.VIEWER)
    timezone: Mapped[str | None] = mapped_column(String(64))  # None: the browser's
    created_at: Mapped[datetime]
    # Somebody else chose it.
    must_change_password: Mapped[bool] = mapped_column(default=False)
    # The second factor: the encrypted secret of its app, None if it is off; the time step of the last code.
    totp_secret: Mapped[str | None]
    totp_step: Mapped[int | None]
    recovery_hashes: Mapped[list[str]] = mapped_column(default=list)
    # The issuer and id at the provider of OpenID Connect that signs them in; None: a password does.
    subject: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    # The row of a deleted user stays, because what they did names them.
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_users_name", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("uq_users_subject", "subject", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

    @property
    def shown(self) -> str:
        """Return the name to display beside what the user did."""
        return f"{self.name} (deleted)" if self.deleted_at else self.name

    def set_password(self, password: str) -> None:
        """Store an argon2id hash of `password`."""
        self.password_hash = HASHER.hash(password)

    @staticmethod
    def check_password(user: "User | None", password: str) -> bool:
        """Check a password; takes equally long for unknown users."""
        try:
            HASHER.verify(user.password_hash if user else NOBODY, password)
        except VerifyMismatchError:
            return False
        return user is not None


class Scope(enum.StrEnum):
    """What a token may do, within what its user may."""

    METRICS = "metrics"  # reads /metrics
    RESULTS = "results"  # reads runs and findings
    READ = "read"  # reads all that its user may read
    OPERATE = "operate"  # also edits tasks and hosts, starts and stops runs
    ADMIN = "admin"  # all that its user may do

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return {
            Scope.METRICS: "Read metrics",
            Scope.RESULTS: "Read runs and findings",
            Scope.READ: "Read everything",
            Scope.OPERATE: "Read, and manage tasks, hosts and runs",
            Scope.ADMIN: "Everything its user may do",
        }[self]


class UserSession(Base):
    """A signed-in browser; only the hash of its key is stored."""

    __tablename__ = "user_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # SHA-256 is enough, as for tokens.
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    address: Mapped[str] = mapped_column(String(45))
    browser: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]  # polls of an open page do not count

    user: Mapped[User] = relationship()


class Passkey(Base):
    """A passkey or security key of a user."""

    __tablename__ = "passkeys"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    site: Mapped[str] = mapped_column(String(253))  # the name of the site that it is bound to
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class ApiToken(Base):
    """A bearer token of the REST API; only its hash is stored."""

    __tablename__ = "api_tokens"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    # SHA-256 is enough: a token has 256 random bits, so guessing it is hopeless even at full speed.
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    scope: Mapped[Scope] = mapped_column(server_default=Scope.ADMIN.value)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    last_used_from: Mapped[str | None] = mapped_column(String(45))

    user: Mapped[User] = relationship()

    def has_ended(self, now: datetime) -> bool:
        """Return whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


class SignInFailures(Base):
    """How often sign-ins with a name have failed, known or not."""

    __tablename__ = "sign_in_failures"

    name_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime]
