"""The configured executors: the URL, key and host tags of each."""

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
_URL = re.compile(r"https?://[^\s/?#@]+")
_FIELDS = {"url", "api_key_file", "tags", "ca_bundle"}


class ExecutorsError(Exception):
    """The executors file is invalid; the message says where and why."""


@dataclass(frozen=True)
class Executor:
    """A configured executor."""

    name: str
    url: str
    api_key: str = field(repr=False)
    tags: tuple[str, ...] = ()  # it scans the hosts with one of them; none: the hosts of no other executor
    ca_bundle: Path | None = None  # the CA certificates that verify its own; None: the system's

    @classmethod
    def from_table(cls, path: Path, name: str, table: Any) -> "Executor":
        """Return the executor of table `[name]` in the file; raise ExecutorsError."""
        where = f"{path}, [{name}]"
        if not _NAME.fullmatch(name) or name == MAIN:
            raise ExecutorsError(
                f"{where}: a name has only lowercase letters, digits and hyphens, and is not {MAIN}."
            )
        if not isinstance(table, Mapping) or set(table) - _FIELDS:
            raise ExecutorsError(f"{where}: use only the settings url, api_key_file, tags and ca_bundle.")
        url, tags = table.get("url"), table.get("tags")
        if not isinstance(url, str) or not _URL.fullmatch(url):
            raise ExecutorsError(f"{where}: url must be like https://executor.example:8001, without a path.")
        if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) and tag for tag in tags):
            raise ExecutorsError(f"{where}: tags must be a list of at least one host tag.")
        ca_bundle = _file(path, where, table, "ca_bundle")
        if ca_bundle is not None and not ca_bundle.is_file():
            raise ExecutorsError(f"{where}: ca_bundle names a file that does not exist: {ca_bundle}.")
        key_file = _file(path, where, table, "api_key_file")
        if key_file is None:
            raise ExecutorsError(f"{where}: api_key_file is missing.")
        try:
            key = key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ExecutorsError(f"{where}: api_key_file cannot be read: {error}.") from error
        if len(key) < MINIMUM_KEY_LENGTH:
            raise ExecutorsError(f"{where}: the key has fewer than {MINIMUM_KEY_LENGTH} characters.")
        return cls(name, url, key, tuple(tags), ca_bundle)


def _file(path: Path, where: str, table: Mapping[str, Any], name: str) -> Path | None:
    value = table.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise ExecutorsError(f"{where}: {name} must be the path of a file.")
    return path.parent.absolute() / value if value else None


def read(path: Path) -> tuple[Executor, ...]:
    """Return the executors of a TOML file, without the main one.

    Each has its own table, like `[dmz]`, with `url`, `api_key_file`, `tags` and optionally `ca_bundle`.
    Paths are relative to the file's folder.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExecutorsError(f"{path} cannot be read: {error}.") from error
    return tuple(Executor.from_table(path, name, table) for name, table in document.items())


def configured() -> Sequence[Executor]:
    """Return the configured executors, the main one first."""
    executors: Sequence[Executor] = current_app.config["EXECUTORS"]
    return executors


def for_tags(executors: Sequence[Executor], tags: Collection[str]) -> Executor:
    """Return the executor for a host with these tags.

    It is the first that has one of them, otherwise the main executor.
    """
    matching = (executor for executor in executors if not set(executor.tags).isdisjoint(tags))
    return next(matching, executors[0])
