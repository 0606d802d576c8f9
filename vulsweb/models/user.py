"""People and the tokens that programs carry for them."""

import enum
import hashlib
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from flask_login import UserMixin
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base

_hasher = PasswordHasher()
# Checked when the name is unknown, so that an answer takes as long as for a known one.
_NOBODY = _hasher.hash("nobody has this password")


class Role(enum.StrEnum):
    """What a person may do; each role may do what those before it may."""

    VIEWER = "viewer"  # reads everything but keys and people
    OPERATOR = "operator"  # keeps tasks, hosts and runs
    ADMIN = "admin"  # keeps SSH configuration, keys and people

    @property
    def label(self) -> str:
        """Return the word that people read."""
        return self.value.capitalize()

    @property
    def operates(self) -> bool:
        """Say whether this role may change tasks, hosts and runs."""
        return self is not Role.VIEWER

    @property
    def administers(self) -> bool:
        """Say whether this role may change what gives access: SSH configuration, keys, people."""
        return self is Role.ADMIN


class User(UserMixin, Base):
    """A person who may sign in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    password_hash: Mapped[str]
    role: Mapped[Role] = mapped_column(default=Role.VIEWER)
    timezone: Mapped[str | None] = mapped_column(String(64))  # None: the one that the browser tells
    created_at: Mapped[datetime]

    def get_id(self) -> str:
        """Return what a session remembers: a new password ends all sessions that began with the old one."""
        return f"{self.id}.{hashlib.sha256(self.password_hash.encode()).hexdigest()[:16]}"

    def set_password(self, password: str) -> None:
        """Keep only an argon2id hash of `password`."""
        self.password_hash = _hasher.hash(password)

    @staticmethod
    def check_password(user: "User | None", password: str) -> bool:
        """Say whether `password` is `user`'s, in the same time whether or not there is such a user."""
        try:
            _hasher.verify(user.password_hash if user else _NOBODY, password)
        except VerifyMismatchError:
            return False
        return user is not None


class ApiToken(Base):
    """A bearer token of the REST API; the token itself is shown once and never stored."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    # SHA-256 suffices: a token has 256 random bits, so there is nothing to guess slowly.
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]

    user: Mapped[User] = relationship()
