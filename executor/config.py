"""Settings from the environment; the only file here that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SHORTEST_KEY = 32


class ConfigError(Exception):
    """A setting is missing or wrong; the message says which and what to write."""


@dataclass(frozen=True)
class Settings:
    """What the executor and its runners need to know. Holds no secret: runners are handed all of it."""

    data_dir: Path
    vuls_config: Path
    tools_dir: Path | None
    max_jobs: int
    keep_jobs_days: int
    hosts_at_once: int
    connect_timeout_seconds: int
    step_timeout_seconds: int
    kill_grace_seconds: int
    https_proxy: str | None
    ca_bundle: Path | None
    home: Path
    search_path: str

    @property
    def databases_dir(self) -> Path:
        """Return the folder of the vulnerability databases."""
        return self.data_dir / "databases"

    def for_runner(self) -> dict[str, str]:
        """Return the whole environment of a runner. The API keys are never in it."""
        named = {
            "EXECUTOR_DATA_DIR": self.data_dir,
            "EXECUTOR_VULS_CONFIG": self.vuls_config,
            "VULSWEB_TOOLS_DIR": self.tools_dir,
            "EXECUTOR_MAX_JOBS": self.max_jobs,
            "EXECUTOR_KEEP_JOBS_DAYS": self.keep_jobs_days,
            "EXECUTOR_HOSTS_AT_ONCE": self.hosts_at_once,
            "EXECUTOR_CONNECT_TIMEOUT_SECONDS": self.connect_timeout_seconds,
            "EXECUTOR_STEP_TIMEOUT_SECONDS": self.step_timeout_seconds,
            "EXECUTOR_KILL_GRACE_SECONDS": self.kill_grace_seconds,
            "EXECUTOR_HTTPS_PROXY": self.https_proxy,
            "EXECUTOR_CA_BUNDLE": self.ca_bundle,
            "HOME": self.home,
            "PATH": self.search_path,
            # The same code as this process, wherever it was started.
            "PYTHONPATH": Path(__file__).parent.parent,
        }
        return {name: str(value) for name, value in named.items() if value is not None}


def environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the process's environment with `overrides` laid over it."""
    return {**os.environ, **(overrides or {})}


def settings(variables: Mapping[str, str]) -> Settings:
    """Read the settings; raise ConfigError for the first that is missing or wrong."""
    return Settings(
        data_dir=_path(variables, "EXECUTOR_DATA_DIR"),
        vuls_config=_path(variables, "EXECUTOR_VULS_CONFIG"),
        tools_dir=_optional_path(variables, "VULSWEB_TOOLS_DIR"),
        max_jobs=_number(variables, "EXECUTOR_MAX_JOBS", default=2),
        keep_jobs_days=_number(variables, "EXECUTOR_KEEP_JOBS_DAYS", default=7),
        hosts_at_once=_number(variables, "EXECUTOR_HOSTS_AT_ONCE", default=8),
        connect_timeout_seconds=_number(variables, "EXECUTOR_CONNECT_TIMEOUT_SECONDS", default=120),
        step_timeout_seconds=_number(variables, "EXECUTOR_STEP_TIMEOUT_SECONDS", default=4 * 60 * 60),
        kill_grace_seconds=_number(variables, "EXECUTOR_KILL_GRACE_SECONDS", default=5),
        https_proxy=variables.get("EXECUTOR_HTTPS_PROXY") or None,
        ca_bundle=_optional_path(variables, "EXECUTOR_CA_BUNDLE"),
        # ssh takes the account's home for its keys and known_hosts, so Vuls must look there too.
        home=Path(variables.get("HOME") or Path.home()).absolute(),
        search_path=variables.get("PATH") or os.defpath,
    )


def api_keys(variables: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the keys that callers may use; two at once let a key be replaced without a pause."""
    text = variables.get("EXECUTOR_API_KEY", "")
    file = variables.get("EXECUTOR_API_KEY_FILE")
    if file and not text:
        try:
            text = Path(file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"EXECUTOR_API_KEY_FILE names a file that cannot be read: {error}.") from error
    keys = tuple(key.strip().encode() for key in text.replace("\n", ",").split(",") if key.strip())
    if not keys:
        raise ConfigError(
            f"The executor needs a key: set EXECUTOR_API_KEY or EXECUTOR_API_KEY_FILE"
            f" to one of at least {SHORTEST_KEY} characters."
        )
    if len(keys) > 2:
        raise ConfigError("The executor takes one key, or two while one replaces the other.")
    if any(len(key) < SHORTEST_KEY for key in keys):
        raise ConfigError(f"An executor key is shorter than {SHORTEST_KEY} characters.")
    return keys


def _path(variables: Mapping[str, str], name: str) -> Path:
    path = _optional_path(variables, name)
    if path is None:
        raise ConfigError(f"{name} is not set.")
    return path


def _optional_path(variables: Mapping[str, str], name: str) -> Path | None:
    value = variables.get(name)
    # Vuls refuses relative paths, and tools run in folders of their own.
    return Path(value).absolute() if value else None


def _number(variables: Mapping[str, str], name: str, *, default: int) -> int:
    value = variables.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ConfigError(f"{name} is {value!r}; write a whole number, 1 or more.")
    return int(value)
