"""The Flask extensions and the Celery application. Imports nothing of vulsweb."""

import enum
from datetime import datetime
from typing import Any, ClassVar

from celery import Celery
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from sqlalchemy import DateTime, Enum, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The base of models: aware times, enums by value, JSONB."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        # Plain VARCHAR: adding a value to a native enum needs ALTER TYPE, which cannot run in a transaction.
        enum.Enum: Enum(
            enum.Enum,
            native_enum=False,
            length=32,
            values_callable=lambda members: [member.value for member in members],
        ),
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        list[dict[str, Any]]: JSONB,
        str: Text,
    }


db = SQLAlchemy(
    # Models inherit from Base, because type checkers do not understand db.Model.
    metadata=Base.metadata,
    # PostgreSQL returns times in the session's time zone; the application expects UTC.
    engine_options={"pool_pre_ping": True, "connect_args": {"options": "-c timezone=utc"}},
)
migrate = Migrate()
login = LoginManager()
csrf = CSRFProtect()
# Without Redis each process counts on its own, which is better than rejecting every sign-in.
limiter = Limiter(key_func=get_remote_address, in_memory_fallback_enabled=True)
celery = Celery("vulsweb")
