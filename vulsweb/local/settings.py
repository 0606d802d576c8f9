"""Settings of the local stack from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vulsweb.config import ConfigError, optional, root_path, with_driver
from vulsweb.local.errors import StackError
from vulsweb.vuls.catalogue import Profile

# Set by the stack itself or meant for one program only. Each may also be given as a file.
OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "VULSWEB_ADMIN_PASSWORD")
WITHHELD = frozenset(OURS) | {f"{name}_FILE" for name in OURS}
# Passed to the executor only.
FOR_THE_EXECUTOR = "EXECUTOR_"


@dataclass(frozen=True)
class Settings:
    """The stack's settings, checked."""

    host: str
    port: int
    address: str  # where a browser on this machine finds it
    data_dir: Path
    tools_dir: Path
    admin_password: str | None
    database_url: str | None
    redis_url: str | None
    shared: Mapping[str, str]  # for all programs of Vuls Web
    executor: Mapping[str, str]  # for the executor, besides `shared`


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings; raise StackError at the first invalid one."""
    port = environ.get("VULSWEB_PORT") or "8000"
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise StackError(f"VULSWEB_PORT is {port!r}; write a number from 1 to 65535.")
    cache, host = environ.get("XDG_CACHE_HOME") or "~/.cache", environ.get("VULSWEB_HOST") or "127.0.0.1"
    try:
        root = root_path(environ)
    except ConfigError as error:
        raise StackError(str(error)) from error
    address = f"http://[{host}]:{port}{root}" if ":" in host else f"http://{host}:{port}{root}"
    data_dir = _absolute(environ.get("VULSWEB_DATA_DIR") or "data")
    tools_dir = _absolute(environ.get("VULSWEB_TOOLS_DIR") or f"{cache}/vulsweb/tools")
    return Settings(
        host=host,
        port=int(port),
        address=address,
        data_dir=data_dir,
        tools_dir=tools_dir,
        admin_password=_optional(environ, "VULSWEB_ADMIN_PASSWORD") or None,
        database_url=with_driver(_optional(environ, "DATABASE_URL")) or None,
        redis_url=_optional(environ, "REDIS_URL") or None,
        # Where messages to people lead, unless a proxy stands before it.
        shared={"VULSWEB_URL": address}
        | {
            name: value
            for name, value in environ.items()
            if name not in WITHHELD and not name.startswith(FOR_THE_EXECUTOR)
        },
        executor={"EXECUTOR_PROFILE": _profile(environ, data_dir, tools_dir)}
        | {
            name: value
            for name, value in environ.items()
            if name.startswith(FOR_THE_EXECUTOR) and name != "EXECUTOR_API_KEY" and value
        },
    )


def _profile(environ: Mapping[str, str], data_dir: Path, tools_dir: Path) -> str:
    # An installation keeps the profile of its databases, whatever tools are built later.
    databases = Path(environ.get("EXECUTOR_DATABASES_DIR") or data_dir / "executor" / "databases")
    if (databases / "vuls2.db").exists():
        return Profile.CURRENT
    has_classic = any(databases.glob("*.sqlite3"))
    is_built = (tools_dir / Profile.CURRENT / "vuls").exists()
    return Profile.CURRENT if is_built and not has_classic else Profile.CLASSIC


def _optional(environ: Mapping[str, str], name: str) -> str:
    try:
        return optional(environ, name)
    except ConfigError as error:
        raise StackError(str(error)) from error


def _absolute(path: str) -> Path:
    if "\n" in path:
        raise StackError(f"The folder {path!r} has a line break in its name; choose another.")
    return Path(path).expanduser().resolve()
