"""What the body of a call may hold; all else is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

from executor.config import DockerSettings
from executor.engines import container_options
from executor.engines.container_options import COMMAND_LABEL, EXECUTOR_LABEL, JOB_LABEL

MAX_REASON = 300
TEXTS = {"type": "array", "items": {"type": "string"}}
# What the SDK always sends and the executor never sets.
UNUSED = ("AttachStdin", "NetworkDisabled", "OpenStdin", "StdinOnce", "Tty")
LABEL_FILTER = jsonschema_rs.validator_for(
    {
        "type": "object",
        "required": ["label"],
        "properties": {"label": {**TEXTS, "contains": {"pattern": f"^{EXECUTOR_LABEL}="}}},
        "additionalProperties": False,
    }
)


class RefusedError(Exception):
    """The executor makes no such call. The message says why."""


def parsed(body: bytes) -> Any:
    """Return the JSON in a body, without what is null.

    To Docker, null is the same as not sent. Raise RefusedError if it is not JSON, or has a name twice.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_members, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"The body is not JSON: {str(error)[:MAX_REASON]}") from None


def container_rules(docker: DockerSettings, work_dir: Path, databases_dir: Path) -> jsonschema_rs.Validator:
    """Return the rules for a container.

    Its command is free; its limits and what surrounds it are not.
    """
    mounts = [
        _mount(work_dir, docker.jobs_volume, read_only=False),
        _mount(databases_dir, docker.databases_volume, read_only=True),
    ]
    if docker.ssh_dir and docker.ssh_volume:
        mounts.append(_mount(docker.ssh_dir, docker.ssh_volume, read_only=True))
    memory = container_options.memory_bytes(docker)
    host_config = {
        "NetworkMode": {"const": docker.network},
        "Mounts": {"type": "array", "uniqueItems": True, "items": {"enum": mounts}},
        "CapDrop": {"const": container_options.DROPPED},
        "SecurityOpt": {"const": container_options.SECURITY},
        "ReadonlyRootfs": {"const": True},
        "Tmpfs": {"const": container_options.TMPFS},
        "Memory": {"const": memory},
        "MemorySwap": {"const": memory},
        "NanoCpus": {"const": container_options.nano_cpus(docker)},
        "PidsLimit": {"const": container_options.MAX_PROCESSES},
        "LogConfig": {"const": dict(container_options.DOCKER_LOG)},
    }
    demanded = {
        "Image": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        "Cmd": TEXTS,
        "Env": TEXTS,
        "WorkingDir": {"type": "string"},
        "User": {"const": docker.user},
        "Labels": _exactly(
            {
                EXECUTOR_LABEL: {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                JOB_LABEL: {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                COMMAND_LABEL: {"type": "string"},
            }
        ),
        "HostConfig": _exactly(host_config),
    }
    sent_by_sdk = {
        "AttachStderr": {"type": "boolean"},
        "AttachStdout": {"type": "boolean"},
        **{name: {"const": False} for name in UNUSED},
        "NetworkingConfig": {"const": {}},
    }
    return jsonschema_rs.validator_for(_exactly(demanded, sent_by_sdk))


def network_rules(docker: DockerSettings) -> jsonschema_rs.Validator:
    """Return the rules for a network: the plain one of the tools."""
    name = {"Name": {"const": docker.network}, "Driver": {"const": "bridge"}}
    return jsonschema_rs.validator_for(_exactly(name, {"CheckDuplicate": {"type": "boolean"}}))


def allowed(rules: jsonschema_rs.Validator, body: bytes) -> dict[str, Any]:
    """Return what a body says.

    Raise RefusedError, with the first reason, if the rules do not allow it.
    """
    found: dict[str, Any] = parsed(body)
    for error in rules.iter_errors(found):
        place = ".".join(map(str, error.instance_path)) or "The body"
        raise RefusedError(f"{place}: {error.message}"[:MAX_REASON])
    return found


def _exactly(demanded: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the rules for an object of these names and no others."""
    return {
        "type": "object",
        "required": list(demanded),
        "properties": {**demanded, **(optional or {})},
        "additionalProperties": False,
    }


def _mount(target: Path, volume: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": "volume", "Source": volume, "Target": str(target), "ReadOnly": read_only}


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, in which no name stands twice.

    Go takes the last of equal names, whatever their case.
    """
    if len({name.casefold() for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands there twice")
    return {name: value for name, value in pairs if value is not None}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
