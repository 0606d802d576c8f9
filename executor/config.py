"""The executor's settings, read from the environment.

No other module of the executor reads the environment.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from executor.databases.catalogue import CLASSIC, CURRENT, PROFILES

SHORTEST_KEY = 32
ENGINES = ("local", "docker")
# Only tools in containers have this group; they may enter the folder of all jobs but not list it.
TOOLS_GROUP = 65533
# The tools of each profile and their images. The classic versions are the ones that executor/tools/build
# builds; a test compares both.
IMAGES = {
    CLASSIC: {
        "vuls": "vuls/vuls:v0.26.0",
        # v0.12.0 and git, which that image lacks and which unpacks NVD.
        "go-cve-dictionary": "vuls/go-cve-dictionary:v0.12.1",
        "goval-dictionary": "vuls/goval-dictionary:v0.12.0",
        "gost": "vuls/gost:v0.6.1",
    },
    CURRENT: {"vuls": "vuls/vuls:v0.40.1"},
}
# The variables by which the Docker SDK finds Docker.
_DOCKER_VARIABLES = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


class ConfigError(Exception):
    """A setting is missing or wrong.

    The message names the setting and says what to write.
    """


@dataclass(frozen=True)
class DockerSettings:
    """The settings of the tools' containers.

    Volumes are mounted at the executor's own paths.
    """

    images: Mapping[str, str]
    jobs_volume: str
    databases_volume: str
    ssh_volume: str | None
    ssh_dir: Path | None
    network: str
    user: str
    memory: str
    cpus: float
    variables: Mapping[str, str]

    @classmethod
    def read(cls, variables: Mapping[str, str], profile: str) -> Self:
        """Read the settings of the engine `docker`.

        Raise ConfigError for the first setting that is missing or wrong.
        """
        # Both are required, because a container gets volumes and never a path of the host.
        for name in ("EXECUTOR_WORK_DIR", "EXECUTOR_DATABASES_DIR"):
            _path(variables, name)
        ssh_volume, ssh_dir = (
            variables.get("EXECUTOR_SSH_VOLUME"),
            _optional_path(variables, "EXECUTOR_SSH_DIR"),
        )
        if bool(ssh_volume) != bool(ssh_dir):
            raise ConfigError("EXECUTOR_SSH_VOLUME and EXECUTOR_SSH_DIR go together: set both or neither.")
        # The same user as the executor, so that it can read the tools' files; but never root.
        default_user = f"{os.geteuid() or 65534}:{TOOLS_GROUP}"
        cpus = variables.get("EXECUTOR_DOCKER_CPUS") or "1"
        if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", cpus) or not float(cpus):
            raise ConfigError(f"EXECUTOR_DOCKER_CPUS is {cpus!r}; write a number such as 1 or 0.5.")
        memory = variables.get("EXECUTOR_DOCKER_MEMORY") or "2g"
        if not re.fullmatch(r"[1-9]\d{0,11}[kmg]", memory):
            raise ConfigError(f"EXECUTOR_DOCKER_MEMORY is {memory!r}; write a size such as 512m or 2g.")
        user = variables.get("EXECUTOR_DOCKER_USER") or default_user
        if not re.fullmatch(r"\d{1,9}:\d{1,9}", user):
            raise ConfigError(
                f"EXECUTOR_DOCKER_USER is {user!r}; write the numbers of a user and a group: 1000:1000."
            )
        return cls(
            images={
                tool: variables.get(image_variable(tool)) or image for tool, image in IMAGES[profile].items()
            },
            jobs_volume=_required(variables, "EXECUTOR_JOBS_VOLUME"),
            databases_volume=_required(variables, "EXECUTOR_DATABASES_VOLUME"),
            ssh_volume=ssh_volume or None,
            ssh_dir=ssh_dir,
            network=variables.get("EXECUTOR_DOCKER_NETWORK") or "vulsweb-tools",
            user=user,
            memory=memory,
            cpus=float(cpus),
            variables={name: variables[name] for name in _DOCKER_VARIABLES if variables.get(name)},
        )

    def for_runner(self) -> dict[str, object]:
        """Return the environment variables that give a runner the same settings."""
        return {
            **{image_variable(tool): image for tool, image in self.images.items()},
            "EXECUTOR_JOBS_VOLUME": self.jobs_volume,
            "EXECUTOR_DATABASES_VOLUME": self.databases_volume,
            "EXECUTOR_SSH_VOLUME": self.ssh_volume,
            "EXECUTOR_SSH_DIR": self.ssh_dir,
            "EXECUTOR_DOCKER_NETWORK": self.network,
            "EXECUTOR_DOCKER_USER": self.user,
            "EXECUTOR_DOCKER_MEMORY": self.memory,
            "EXECUTOR_DOCKER_CPUS": self.cpus,
            **self.variables,
        }


@dataclass(frozen=True)
class Settings:
    """The settings of the executor and its runners.

    No API key is among them, because runners get all of them.
    """

    profile: str
    data_dir: Path
    work_dir: Path | None
    databases_dir: Path
    vuls_config: Path
    tools_dir: Path | None
    max_jobs: int
    keep_jobs_days: int
    hosts_at_once: int
    result_megabytes: int
    connect_timeout_seconds: int
    step_timeout_seconds: int
    kill_grace_seconds: int
    https_proxy: str | None
    ca_bundle: Path | None
    home: Path
    search_path: str
    docker: DockerSettings | None
    log_file: Path | None  # beside stdout
    log_format: str

    @property
    def disks(self) -> tuple[Path, ...]:
        """Return the folders that jobs fill."""
        return tuple(filter(None, (self.data_dir, self.work_dir, self.databases_dir)))

    @property
    def tools(self) -> tuple[str, ...]:
        """Return the names of the profile's tools."""
        return tuple(IMAGES[self.profile])

    def for_runner(self) -> dict[str, str]:
        """Return a runner's whole environment, which never holds the API keys."""
        named: dict[str, object] = {
            "EXECUTOR_ENGINE": "docker" if self.docker else "local",
            "EXECUTOR_PROFILE": self.profile,
            "EXECUTOR_DATA_DIR": self.data_dir,
            "EXECUTOR_WORK_DIR": self.work_dir,
            "EXECUTOR_DATABASES_DIR": self.databases_dir,
            "EXECUTOR_VULS_CONFIG": self.vuls_config,
            "VULSWEB_TOOLS_DIR": self.tools_dir,
            "EXECUTOR_MAX_JOBS": self.max_jobs,
            "EXECUTOR_KEEP_JOBS_DAYS": self.keep_jobs_days,
            "EXECUTOR_HOSTS_AT_ONCE": self.hosts_at_once,
            "EXECUTOR_RESULT_MB": self.result_megabytes,
            "EXECUTOR_CONNECT_TIMEOUT_SECONDS": self.connect_timeout_seconds,
            "EXECUTOR_STEP_TIMEOUT_SECONDS": self.step_timeout_seconds,
            "EXECUTOR_KILL_GRACE_SECONDS": self.kill_grace_seconds,
            "EXECUTOR_HTTPS_PROXY": self.https_proxy,
            "EXECUTOR_CA_BUNDLE": self.ca_bundle,
            "EXECUTOR_LOG_FILE": self.log_file,
            "VULSWEB_LOG_FORMAT": self.log_format,
            "HOME": self.home,
            "PATH": self.search_path,
            # The runner uses the same code as this process, whatever its working directory.
            "PYTHONPATH": Path(__file__).parent.parent,
            **(self.docker.for_runner() if self.docker else {}),
        }
        return {name: str(value) for name, value in named.items() if value is not None}


def environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the process's environment, with `overrides` applied."""
    return {**os.environ, **(overrides or {})}


def settings(variables: Mapping[str, str]) -> Settings:
    """Read the settings; raise ConfigError for the first missing or wrong one."""
    engine = variables.get("EXECUTOR_ENGINE") or ENGINES[0]
    if engine not in ENGINES:
        raise ConfigError(f"EXECUTOR_ENGINE is {engine!r}; write {' or '.join(ENGINES)}.")
    chosen = profile(variables)
    return Settings(
        profile=chosen,
        data_dir=_path(variables, "EXECUTOR_DATA_DIR"),
        work_dir=_optional_path(variables, "EXECUTOR_WORK_DIR"),
        databases_dir=databases_dir(variables),
        vuls_config=_path(variables, "EXECUTOR_VULS_CONFIG"),
        tools_dir=_optional_path(variables, "VULSWEB_TOOLS_DIR"),
        max_jobs=_number(variables, "EXECUTOR_MAX_JOBS", default=2),
        keep_jobs_days=_number(variables, "EXECUTOR_KEEP_JOBS_DAYS", default=7),
        hosts_at_once=_number(variables, "EXECUTOR_HOSTS_AT_ONCE", default=8),
        result_megabytes=_number(variables, "EXECUTOR_RESULT_MB", default=64),
        connect_timeout_seconds=_number(variables, "EXECUTOR_CONNECT_TIMEOUT_SECONDS", default=120),
        step_timeout_seconds=_number(variables, "EXECUTOR_STEP_TIMEOUT_SECONDS", default=4 * 60 * 60),
        kill_grace_seconds=_number(variables, "EXECUTOR_KILL_GRACE_SECONDS", default=5),
        https_proxy=variables.get("EXECUTOR_HTTPS_PROXY") or None,
        ca_bundle=_optional_path(variables, "EXECUTOR_CA_BUNDLE"),
        # ssh uses the account's home for its keys and known_hosts, so Vuls must look there too.
        home=Path(variables.get("HOME") or Path.home()).absolute(),
        search_path=variables.get("PATH") or os.defpath,
        docker=DockerSettings.read(variables, chosen) if engine == "docker" else None,
        log_file=_optional_path(variables, "EXECUTOR_LOG_FILE"),
        log_format=variables.get("VULSWEB_LOG_FORMAT") or "text",
    )


def profile(variables: Mapping[str, str]) -> str:
    """Return which databases and tools this executor has."""
    chosen = variables.get("EXECUTOR_PROFILE") or CLASSIC
    if chosen not in PROFILES:
        raise ConfigError(f"EXECUTOR_PROFILE is {chosen!r}; write {' or '.join(PROFILES)}.")
    return chosen


def databases_dir(variables: Mapping[str, str]) -> Path:
    """Return the folder of the databases."""
    chosen = _optional_path(variables, "EXECUTOR_DATABASES_DIR")
    return chosen or _path(variables, "EXECUTOR_DATA_DIR") / "databases"


def image_variable(tool: str) -> str:
    """Return the name of the setting for a tool's image."""
    return f"EXECUTOR_{tool.upper().replace('-', '_')}_IMAGE"


def api_keys(variables: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the accepted API keys.

    There is one, or two while one replaces the other. Raise ConfigError if they cannot be read or are not
    valid.
    """
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


def _required(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name)
    if not value:
        raise ConfigError(f"{name} is not set.")
    return value


def _path(variables: Mapping[str, str], name: str) -> Path:
    return Path(_required(variables, name)).absolute()


def _optional_path(variables: Mapping[str, str], name: str) -> Path | None:
    value = variables.get(name)
    # Vuls refuses relative paths, and each tool runs in a different working directory.
    return Path(value).absolute() if value else None


def _number(variables: Mapping[str, str], name: str, *, default: int) -> int:
    value = variables.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ConfigError(f"{name} is {value!r}; write a whole number, 1 or more.")
    return int(value)
