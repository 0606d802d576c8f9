"""Settings from the environment: read once, strictly; a missing secret stops the program."""

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from vulsweb.executors.settings import MAIN, Executor, ExecutorsError, read

MINIMUM_SECRET_LENGTH = 32
# Where a stack on one machine keeps its addresses and the names of its secrets' files.
STACK_FILE = Path("secrets", "stack.json")


class ConfigError(Exception):
    """The environment does not describe a program that may start; the message says what to set."""


def environment() -> Mapping[str, str]:
    """Return the process environment, for the few callers that hand it to child processes."""
    return os.environ


def with_running_stack(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return `environ`, completed by what a stack says of itself that runs on the same data folder.

    So that `vulsweb token create NAME` beside `vulsweb run` needs no settings.
    """
    told = Path(environ.get("VULSWEB_DATA_DIR") or "data", STACK_FILE)
    if not environ.keys().isdisjoint(("DATABASE_URL", "DATABASE_URL_FILE")) or not told.is_file():
        return environ
    return {**json.loads(told.read_text()), **environ}


def given(environ: Mapping[str, str], name: str) -> str:
    """Return the variable `name`, or what stands in the file that `name_FILE` names; empty when unset."""
    path = environ.get(f"{name}_FILE")
    try:
        return (Path(path).read_text() if path else environ.get(name, "")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}_FILE cannot be read: {error}.") from error


def required(environ: Mapping[str, str], name: str) -> str:
    """Return a setting that has no default; raise ConfigError when it is missing or empty."""
    value = given(environ, name)
    if not value:
        raise ConfigError(f"{name} is not set.")
    return value


def with_driver(url: str) -> str:
    """Return a database URL that names our driver; SQLAlchemy 2.1 takes a bare one for psycopg 3."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)


def secret(environ: Mapping[str, str], name: str) -> str:
    """Return a secret; there is never a default, and anything shorter than 32 characters is refused."""
    value = given(environ, name)
    if len(value) < MINIMUM_SECRET_LENGTH:
        raise ConfigError(
            f"{name} must have at least {MINIMUM_SECRET_LENGTH} characters; set {name} or {name}_FILE."
        )
    return value


def flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Read a yes/no variable; anything else is an error, not a guess."""
    word = environ.get(name, "yes" if default else "no")
    if word not in ("yes", "no"):
        raise ConfigError(f"{name} is {word!r}; write yes or no.")
    return word == "yes"


def whole_number(environ: Mapping[str, str], name: str, *, default: int) -> int:
    """Read a positive whole number."""
    word = environ.get(name, str(default))
    if not word.isdecimal() or int(word) < 1:
        raise ConfigError(f"{name} is {word!r}; write a whole number from 1 up.")
    return int(word)


def executors(environ: Mapping[str, str]) -> tuple[Executor, ...]:
    """Return the main executor, and then those that VULSWEB_EXECUTORS_FILE names."""
    main = Executor(MAIN, required(environ, "EXECUTOR_URL"), secret(environ, "EXECUTOR_API_KEY"))
    path = environ.get("VULSWEB_EXECUTORS_FILE")
    if not path:
        return (main,)
    try:
        return (main, *read(Path(path)))
    except ExecutorsError as error:
        raise ConfigError(f"VULSWEB_EXECUTORS_FILE: {error}") from error


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return the Flask settings that the environment describes."""
    environ = with_running_stack(environment()) if environ is None else environ
    redis_url = required(environ, "REDIS_URL")
    vuls_config = Path(required(environ, "VULSWEB_VULS_CONFIG"))
    return {
        "SECRET_KEY": secret(environ, "SECRET_KEY"),
        "SQLALCHEMY_DATABASE_URI": with_driver(required(environ, "DATABASE_URL")),
        "REDIS_URL": redis_url,
        "EXECUTORS": executors(environ),
        "VULS_CONFIG": vuls_config,
        # Absolute, for the generated files name it, and the executor must find it at the same place.
        "SSH_FOLDER": Path(environ.get("VULSWEB_SSH_DIR") or vuls_config.parent / "ssh").absolute(),
        "SSH_SHARE_CONNECTIONS": flag(environ, "VULSWEB_SSH_SHARE_CONNECTIONS", default=True),
        "SEED_LOCALHOST": flag(environ, "VULSWEB_SEED_LOCALHOST", default=False),
        "RUN_TIMEOUT": timedelta(hours=whole_number(environ, "VULSWEB_RUN_TIMEOUT_HOURS", default=6)),
        "KEEP_RUNS": timedelta(days=whole_number(environ, "VULSWEB_KEEP_RUNS_DAYS", default=30)),
        "SESSION_COOKIE_SECURE": flag(environ, "VULSWEB_HTTPS", default=False),
        "PERMANENT_SESSION_LIFETIME": timedelta(
            hours=whole_number(environ, "VULSWEB_SESSION_HOURS", default=12)
        ),
        "RATELIMIT_STORAGE_URI": redis_url,
    }


def admin_password(environ: Mapping[str, str]) -> str:
    """Return the first start's password for `admin`."""
    return required(environ, "VULSWEB_ADMIN_PASSWORD")
