"""What the environment says about the single-machine stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vulsweb.config import ConfigError, given, with_driver
from vulsweb.local.errors import StackError

# Made or chosen by the stack itself, or meant for one child alone; each may also come as a file.
OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "VULSWEB_ADMIN_PASSWORD")
WITHHELD = frozenset(OURS) | {f"{name}_FILE" for name in OURS}
# Handed to the executor, and to nobody else.
FOR_THE_EXECUTOR = "EXECUTOR_"


@dataclass(frozen=True)
class Settings:
    """The stack's settings, checked."""

    host: str
    port: int
    data_dir: Path
    tools_dir: Path
    admin_password: str | None
    database_url: str | None
    redis_url: str | None
    shared: Mapping[str, str]  # for every one of our own programs
    executor: Mapping[str, str]  # for the executor, besides `shared`


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings that `environ` describes; raise StackError at the first that is wrong."""
    return Settings(
        host=environ.get("VULSWEB_HOST") or "127.0.0.1",
        port=_port(environ.get("VULSWEB_PORT") or "8000"),
        data_dir=_absolute(environ.get("VULSWEB_DATA_DIR") or "data"),
        tools_dir=_absolute(environ.get("VULSWEB_TOOLS_DIR") or _default_tools_dir(environ)),
        admin_password=_given(environ, "VULSWEB_ADMIN_PASSWORD") or None,
        database_url=with_driver(_given(environ, "DATABASE_URL")) or None,
        redis_url=_given(environ, "REDIS_URL") or None,
        shared={
            name: value
            for name, value in environ.items()
            if name not in WITHHELD and not name.startswith(FOR_THE_EXECUTOR)
        },
        executor={
            name: value
            for name, value in environ.items()
            if name.startswith(FOR_THE_EXECUTOR) and name != "EXECUTOR_API_KEY"
        },
    )


def _given(environ: Mapping[str, str], name: str) -> str:
    try:
        return given(environ, name)
    except ConfigError as error:
        raise StackError(str(error)) from error


def _port(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and 1 <= int(word) <= 65535):
        raise StackError(f"VULSWEB_PORT is {word!r}; write a number from 1 to 65535.")
    return int(word)


def _absolute(path: str) -> Path:
    if "\n" in path:
        raise StackError(f"The folder {path!r} has a line break in its name; choose another.")
    return Path(path).expanduser().resolve()


def _default_tools_dir(environ: Mapping[str, str]) -> str:
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return f"{cache}/vulsweb/tools"
