"""The tools' images: found on this machine or pulled, and named by what they are."""

import contextlib
import time
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.images import Image

from executor.config import image_variable
from executor.engines import Command, Waiting
from executor.engines.streams import FAILURES, Stream
from executor.errors import ToolMissingError

SAY_EVERY_SECONDS = 2.0
VERSION_LABEL = "org.opencontainers.image.version"


def describe(client: docker.DockerClient, name: str) -> dict[str, str | None]:
    """Describe an image by its name; without a version it is not here yet."""
    try:
        image = client.images.get(name)
    except ImageNotFound:
        return {"path": name, "version": None}
    return {"path": name, "version": _version(name, image)}


def find(
    client: docker.DockerClient,
    name: str,
    command: Command,
    waiting: Waiting,
    silence_seconds: int,
) -> Image:
    """Return the command's image, which is pulled where it is missing, and say which one it is."""
    try:
        try:
            image = client.images.get(name)
        except ImageNotFound:
            waiting.say(f"The image {name} is not on this machine; pulling it.")
            _pull(client, name, waiting, silence_seconds, command.timeout_seconds)
            image = client.images.get(name)
    except FAILURES as error:
        where = (
            "neither on this machine nor in its registry"
            if isinstance(error, NotFound)
            else "not on this machine and could not be pulled"
        )
        raise ToolMissingError(
            f"The image {name} is {where} ({reason(error)}). Load it with `docker load`,"
            f" or name one that is here with {image_variable(command.tool)}."
        ) from error
    waiting.say(f"{command.tool} is {name}: {_identity(name, image)}.")
    return image


def reason(error: Exception) -> str:
    """Return what Docker said, on one line."""
    said: Any = error.explanation if isinstance(error, APIError) and error.explanation else error
    return " ".join(str(said).split())[:500].rstrip(".")


class _Pull:
    """How far a pull is."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def read(self, line: dict[str, Any]) -> None:
        """Read a line of what Docker says; raise DockerException where it is an error."""
        if "error" in line:
            raise DockerException(str(line["error"]))
        detail = line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and detail.get("total"):
            self._layers[line["id"]] = (detail["current"], detail["total"])
        elif line.get("status") == "Download complete" and line["id"] in self._layers:
            total = self._layers[line["id"]][1]
            self._layers[line["id"]] = (total, total)

    @property
    def sizes(self) -> tuple[int, int]:
        """Return the bytes that have come and those that are known to come."""
        layers = self._layers.values()
        return sum(done for done, _ in layers), sum(total for _, total in layers)


def _pull(
    client: docker.DockerClient,
    name: str,
    waiting: Waiting,
    silence_seconds: int,
    limit_seconds: int,
) -> None:
    began = said_at = heard_at = time.monotonic()
    pull = _Pull()
    lines = Stream(f"pull of {name}", lambda: client.api.pull(name, stream=True, decode=True))
    with contextlib.closing(lines):
        while (heard := lines.take()) is not None:
            waiting.check()
            now = time.monotonic()
            heard_at = now if heard else heard_at
            for line in heard:
                pull.read(line)
            if now - heard_at > silence_seconds:
                raise DockerException(f"its registry said nothing for {silence_seconds} seconds")
            if now - began > limit_seconds:
                raise DockerException(f"it did not come within {limit_seconds} seconds")
            done, total = pull.sizes
            if total:
                waiting.tell(done, total)
            if total and now - said_at > SAY_EVERY_SECONDS:
                waiting.say(f"Pulling {name}: {done / 10**6:.1f} of {total / 10**6:.1f} MB.")
                said_at = now
    waiting.say(f"Pulled {name} in {time.monotonic() - began:.0f} s.")


def _identity(name: str, image: Image) -> str:
    """Return what no registry can give to another image: its id and, where it came from one, its digest."""
    repository = _without_tag(name.partition("@")[0])
    digests = [
        digest.partition("@")[2]
        for digest in image.attrs.get("RepoDigests") or []
        if digest.partition("@")[0] in (repository, f"docker.io/{repository}")
    ]
    return ", ".join((f"image {image.id}", *(f"digest {digest}" for digest in digests)))


def _version(name: str, image: Image) -> str:
    """Return the tag or, where there is none, what the image says of itself, or what pins it."""
    tagged, _, digest = name.partition("@")
    by_id = name.startswith("sha256:")
    tag = "" if by_id else tagged[len(_without_tag(tagged)) + 1 :]
    return tag or image.labels.get(VERSION_LABEL) or digest or (name if by_id else "latest")


def _without_tag(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    # A colon before the last slash belongs to a registry's port.
    return folder + slash + last.partition(":")[0]
