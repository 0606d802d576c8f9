"""Settings from the environment. A missing or invalid setting stops the program."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from vulsweb.executors.settings import MAIN, Executor, ExecutorsError, read

MINIMUM_SECRET_LENGTH = 32
# Where a running local stack writes its URLs and the paths of its secrets.
STACK_FILE = Path("secrets", "stack.json")


class ConfigError(Exception):
    """A missing or invalid setting; the message says what to set."""


def environment() -> Mapping[str, str]:
    """Return the process environment, to pass it to child processes."""
    return os.environ


def with_running_stack(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Add the settings of the running stack that uses the data folder.

    Thanks to this, `vulsweb token create NAME` needs no settings while `vulsweb run` is running.
    """
    file = Path(environ.get("VULSWEB_DATA_DIR") or "data", STACK_FILE)
    if not environ.keys().isdisjoint(("DATABASE_URL", "DATABASE_URL_FILE")) or not file.is_file():
        return environ
    return {**json.loads(file.read_text()), **environ}


def optional(environ: Mapping[str, str], name: str) -> str:
    """Return a variable or the content of its `_FILE`; empty if unset."""
    path = environ.get(f"{name}_FILE")
    try:
        return (Path(path).read_text() if path else environ.get(name, "")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}_FILE cannot be read: {error}.") from error


def required(environ: Mapping[str, str], name: str) -> str:
    """Return a setting; raise ConfigError if it is missing or empty."""
    value = optional(environ, name)
    if not value:
        raise ConfigError(f"{name} is not set.")
    return value


def with_driver(url: str) -> str:
    """Add the driver to a database URL (SQLAlchemy defaults to psycopg 3)."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)


def secret(environ: Mapping[str, str], name: str) -> str:
    """Return a secret; raise ConfigError if it is shorter than 32 characters."""
    value = optional(environ, name)
    if len(value) < MINIMUM_SECRET_LENGTH:
        raise ConfigError(
            f"{name} must have at least {MINIMUM_SECRET_LENGTH} characters; set {name} or {name}_FILE."
        )
    return value


def flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Read a yes/no setting; raise ConfigError for other values."""
    word = environ.get(name, "yes" if default else "no")
    if word not in ("yes", "no"):
        raise ConfigError(f"{name} is {word!r}; write yes or no.")
    return word == "yes"


def whole_number(environ: Mapping[str, str], name: str, *, default: int, least: int = 1) -> int:
    """Read a whole number of at least `least`; raise ConfigError for others."""
    word = environ.get(name, str(default))
    if not word.isdecimal() or int(word) < least:
        raise ConfigError(f"{name} is {word!r}; write a whole number of {least} or more.")
    return int(word)


def web_address(environ: Mapping[str, str], name: str) -> str:
    """Return a setting that is a web address; empty if unset.

    Raise ConfigError for anything else. The value is not repeated, as it can hold a secret.
    """
    url = optional(environ, name)
    if url and not re.fullmatch(r"https?://[^\s/?#]+([/?][^\s#]*)?", url):
        raise ConfigError(f"{name} is not an address like https://vuls.example.org.")
    return url


def executors(environ: Mapping[str, str]) -> tuple[Executor, ...]:
    """Return the main executor, then those in VULSWEB_EXECUTORS_FILE."""
    main = Executor(MAIN, required(environ, "EXECUTOR_URL"), secret(environ, "EXECUTOR_API_KEY"))
    path = environ.get("VULSWEB_EXECUTORS_FILE")
    if not path:
        return (main,)
    try:
        return (main, *read(Path(path)))
    except ExecutorsError as error:
        raise ConfigError(f"VULSWEB_EXECUTORS_FILE: {error}") from error


def second_factor(environ: Mapping[str, str]) -> str:
    """Return of whom a second factor is demanded."""
    value = environ.get("VULSWEB_SECOND_FACTOR") or "optional"
    if value not in ("optional", "admins", "all"):
        raise ConfigError(f"VULSWEB_SECOND_FACTOR is {value!r}; use optional, admins or all.")
    return value


@dataclass(frozen=True)
class OpenIdSettings:
    """The provider of OpenID Connect, and what its groups may do."""

    issuer: str
    client_id: str
    client_secret: str
    label: str
    scope: str
    groups_claim: str
    groups: Mapping[str, frozenset[str]]  # by role; "*" is everybody


def openid(environ: Mapping[str, str]) -> OpenIdSettings | None:
    """Return the provider of OpenID Connect; None without one."""
    issuer = web_address(environ, "VULSWEB_OPENID_ISSUER")
    if not issuer:
        return None
    host = urlsplit(issuer).hostname
    if not issuer.startswith("https://") and host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError("VULSWEB_OPENID_ISSUER begins with https://, as its answers decide who comes in.")
    groups = {
        role: frozenset(environ.get(f"VULSWEB_OPENID_{role.upper()}_GROUPS", "").split())
        for role in ("viewer", "operator", "admin")
    }
    if not any(groups.values()):
        raise ConfigError("VULSWEB_OPENID_ISSUER is set, but no VULSWEB_OPENID_ADMIN_GROUPS or other groups.")
    return OpenIdSettings(
        issuer=issuer,
        client_id=required(environ, "VULSWEB_OPENID_CLIENT_ID"),
        client_secret=required(environ, "VULSWEB_OPENID_CLIENT_SECRET"),
        label=environ.get("VULSWEB_OPENID_LABEL") or "your organization",
        scope=environ.get("VULSWEB_OPENID_SCOPE") or "openid profile email",
        groups_claim=environ.get("VULSWEB_OPENID_GROUPS_CLAIM") or "groups",
        groups=groups,
    )


def local_sign_in(environ: Mapping[str, str]) -> bool:
    """Return whether passwords let anybody in."""
    is_on = flag(environ, "VULSWEB_LOCAL_SIGN_IN", default=True)
    if not is_on and openid(environ) is None:
        raise ConfigError(
            "VULSWEB_LOCAL_SIGN_IN is no, but without VULSWEB_OPENID_ISSUER nobody could sign in."
        )
    return is_on


@dataclass(frozen=True)
class LogSettings:
    """How a process writes its log."""

    process: str = "vulsweb"
    as_json: bool = False
    file: Path | None = None  # beside stderr


def log_settings(environ: Mapping[str, str]) -> LogSettings:
    """Return how this process writes its log."""
    log_format = environ.get("VULSWEB_LOG_FORMAT") or "text"
    if log_format not in ("text", "json"):
        raise ConfigError(f"VULSWEB_LOG_FORMAT is {log_format!r}; use text or json.")
    file = environ.get("VULSWEB_LOG_FILE")
    return LogSettings(
        process=environ.get("VULSWEB_PROCESS") or "vulsweb",
        as_json=log_format == "json",
        file=Path(file) if file else None,
    )


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return the Flask settings."""
    environ = with_running_stack(environment()) if environ is None else environ
    redis_url = required(environ, "REDIS_URL")
    vuls_config = Path(required(environ, "VULSWEB_VULS_CONFIG"))
    return {
        "SECRET_KEY": secret(environ, "SECRET_KEY"),
        "SQLALCHEMY_DATABASE_URI": with_driver(required(environ, "DATABASE_URL")),
        "REDIS_URL": redis_url,
        "EXECUTORS": executors(environ),
        "VULS_CONFIG": vuls_config,
        # Absolute: generated files contain this path, and the executor must find it under the same one.
        "SSH_FOLDER": Path(environ.get("VULSWEB_SSH_DIR") or vuls_config.parent / "ssh").absolute(),
        "SSH_SHARE_CONNECTIONS": flag(environ, "VULSWEB_SSH_SHARE_CONNECTIONS", default=True),
        "SEED_LOCALHOST": flag(environ, "VULSWEB_SEED_LOCALHOST", default=False),
        "RUN_TIMEOUT": timedelta(hours=whole_number(environ, "VULSWEB_RUN_TIMEOUT_HOURS", default=6)),
        "KEEP_RUNS": timedelta(days=whole_number(environ, "VULSWEB_KEEP_RUNS_DAYS", default=30)),
        "KEEP_AUDIT": timedelta(days=whole_number(environ, "VULSWEB_KEEP_AUDIT_DAYS", default=400)),
        "STILL_AFTER": timedelta(days=whole_number(environ, "VULSWEB_CONTENT_DAYS", default=7)),
        "SESSION_COOKIE_SECURE": flag(environ, "VULSWEB_HTTPS", default=False),
        "PERMANENT_SESSION_LIFETIME": timedelta(
            hours=whole_number(environ, "VULSWEB_SESSION_HOURS", default=12)
        ),
        "SESSION_IDLE": timedelta(minutes=whole_number(environ, "VULSWEB_IDLE_MINUTES", default=120)),
        "TRUSTED_HOSTS": trusted_hosts(environ),
        # Of X-Forwarded-For, anybody can write the entries before those of our own proxies.
        "PROXIES": whole_number(environ, "VULSWEB_PROXIES", default=0, least=0),
        "ROOT_PATH": root_path(environ),
        "RATELIMIT_STORAGE_URI": redis_url,
        "ALIVE_FILE": Path(environ["VULSWEB_ALIVE_FILE"]) if environ.get("VULSWEB_ALIVE_FILE") else None,
        "LOG_DIR": Path(environ["VULSWEB_LOG_DIR"]) if environ.get("VULSWEB_LOG_DIR") else None,
        "PUBLIC_URL": web_address(environ, "VULSWEB_URL").rstrip("/"),
        "SECOND_FACTOR": second_factor(environ),
        "OPENID": openid(environ),
        "LOCAL_SIGN_IN": local_sign_in(environ),
        "PING_URL": web_address(environ, "VULSWEB_PING_URL"),
    }


def trusted_hosts(environ: Mapping[str, str]) -> list[str] | None:
    """Return the names that requests may ask for; None is any.

    This machine's own are always among them, because health checks use them.
    """
    names = environ.get("VULSWEB_TRUSTED_HOSTS", "").split()
    return [*names, "localhost", "127.0.0.1", "::1"] if names else None


def root_path(environ: Mapping[str, str]) -> str:
    """Return the path of the site; empty for all of it."""
    value = environ.get("VULSWEB_ROOT_PATH", "").rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", value):
        raise ConfigError(f"VULSWEB_ROOT_PATH is {value!r}; write a path such as /vuls.")
    return value


def admin_password(environ: Mapping[str, str]) -> str:
    """Return the password of `admin` for the first start."""
    return required(environ, "VULSWEB_ADMIN_PASSWORD")
