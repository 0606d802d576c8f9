"""The executors: where each listens, and which hosts are its own."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import current_app

MAIN = "main"
MINIMUM_KEY_LENGTH = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_FIELDS = {"url", "api_key_file", "tags", "ca_bundle"}


class ExecutorsError(Exception):
    """The file that names the executors cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Executor:
    """An executor as the settings describe it."""

    name: str
    url: str
    api_key: str = field(repr=False)
    tags: tuple[str, ...] = ()  # it scans the hosts that have one of them; none: all that are nobody else's
    ca_bundle: Path | None = None  # the authorities that have signed its certificate, else the system's


def for_tags(executors: Sequence[Executor], tags: Collection[str]) -> Executor:
    """Return the executor of a host with these tags: the first that claims one of them, else the main one."""
    claiming = (executor for executor in executors if not set(executor.tags).isdisjoint(tags))
    return next(claiming, executors[0])


def read(path: Path) -> tuple[Executor, ...]:
    """Return the executors that a TOML file names, beside the main one; raise ExecutorsError.

    Each has a table of its own: `[dmz]` with `url`, `api_key_file`, `tags` and perhaps `ca_bundle`. Paths are
    taken from the file's own folder.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExecutorsError(f"{path} cannot be read: {error}.") from error
    return tuple(_executor(path, name, table) for name, table in document.items())


def _executor(path: Path, name: str, table: Any) -> Executor:
    where = f"{path}, [{name}]"
    if not _NAME.fullmatch(name) or name == MAIN:
        raise ExecutorsError(f"{where}: a name has small letters, digits and hyphens, and is not {MAIN}.")
    if not isinstance(table, Mapping) or set(table) - _FIELDS:
        raise ExecutorsError(f"{where}: write url, api_key_file, tags and ca_bundle, and nothing else.")
    url, tags = table.get("url"), table.get("tags")
    if not isinstance(url, str) or not re.fullmatch(r"https?://[^\s/?#@]+", url):
        raise ExecutorsError(f"{where}: url is like https://executor.example:8001, without a path.")
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) and tag for tag in tags):
        raise ExecutorsError(f"{where}: tags is a list of one tag at least, of the hosts that it scans.")
    ca_bundle = _path(path, where, table, "ca_bundle")
    if ca_bundle is not None and not ca_bundle.is_file():
        raise ExecutorsError(f"{where}: ca_bundle names a file that is not there: {ca_bundle}.")
    return Executor(name, url, _key(path, where, table), tuple(tags), ca_bundle)


def _key(path: Path, where: str, table: Mapping[str, Any]) -> str:
    file = _path(path, where, table, "api_key_file")
    if file is None:
        raise ExecutorsError(f"{where}: api_key_file is missing.")
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ExecutorsError(f"{where}: api_key_file cannot be read: {error}.") from error
    if len(key) < MINIMUM_KEY_LENGTH:
        raise ExecutorsError(f"{where}: the key has less than {MINIMUM_KEY_LENGTH} characters.")
    return key


def _path(path: Path, where: str, table: Mapping[str, Any], name: str) -> Path | None:
    value = table.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise ExecutorsError(f"{where}: {name} is the path of a file.")
    return path.parent.absolute() / value if value else None


def configured() -> Sequence[Executor]:
    """Return the configured executors, the main one first."""
    found: Sequence[Executor] = current_app.config["EXECUTORS"]
    return found
