"""Finds or pulls the tools' images.

Images are identified by their id and digest.
"""

import contextlib
import time
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.images import Image
from docker.utils import parse_repository_tag

from executor.config import image_variable
from executor.engines import Command, PullReporter
from executor.engines.streams import FAILURES, Stream
from executor.errors import ToolMissingError

LOG_EVERY_SECONDS = 2.0
VERSION_LABEL = "org.opencontainers.image.version"


def describe(client: docker.DockerClient, name: str) -> dict[str, str | None]:
    """Return an image's name and version.

    The version is None if the image has not been pulled.
    """
    try:
        image = client.images.get(name)
    except ImageNotFound:
        return {"path": name, "version": None}
    tagged, _, digest = name.partition("@")
    is_id = name.startswith("sha256:")
    tag = "" if is_id else tagged[len(_without_tag(tagged)) + 1 :]
    # Without a tag: what the image's label says, or else what pins it.
    version = tag or image.labels.get(VERSION_LABEL) or digest or (name if is_id else "latest")
    return {"path": name, "version": version}


def find_or_pull(
    client: docker.DockerClient,
    name: str,
    command: Command,
    reporter: PullReporter,
    silence_seconds: int,
) -> Image:
    """Return the command's image, pulling it if it is missing.

    Log its id and digest. Raise ToolMissingError if it cannot be found or pulled.
    """
    try:
        try:
            image = client.images.get(name)
        except ImageNotFound:
            reporter.log(f"The image {name} is not on this machine; pulling it.")
            _pull(client, name, reporter, silence_seconds, command.timeout_seconds)
            image = client.images.get(name)
    except FAILURES as error:
        where = (
            "neither on this machine nor in its registry"
            if isinstance(error, NotFound)
            else "not on this machine and could not be pulled"
        )
        raise ToolMissingError(
            f"The image {name} is {where} ({reason(error)}). Load it with `docker load`,"
            f" or name an existing one with {image_variable(command.tool)}."
        ) from error
    repository = _without_tag(name.partition("@")[0])
    digests = [
        digest.partition("@")[2]
        for digest in image.attrs.get("RepoDigests") or []
        if digest.partition("@")[0] in (repository, f"docker.io/{repository}")
    ]
    # Unlike a tag, these never come to mean another image.
    identity = ", ".join((f"image {image.id}", *(f"digest {digest}" for digest in digests)))
    reporter.log(f"{command.tool} is {name}: {identity}.")
    return image


def pulled_as(name: str) -> tuple[str, str]:
    """Return the repository and the tag or digest of an image."""
    repository, tag = parse_repository_tag(name)
    return repository, tag or "latest"


def reason(error: Exception) -> str:
    """Return Docker's error message on one line."""
    message: Any = error.explanation if isinstance(error, APIError) and error.explanation else error
    return " ".join(str(message).split())[:500].rstrip(".")


class _PullProgress:
    """Adds up the progress of a pull over its layers."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def feed(self, line: dict[str, Any]) -> None:
        """Read a line of Docker's progress messages.

        Raise DockerException if the line is an error.
        """
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
        """Return the bytes received and the bytes in total.

        The total is of the layers whose size is known so far.
        """
        layers = self._layers.values()
        return sum(done for done, _ in layers), sum(total for _, total in layers)


def _pull(
    client: docker.DockerClient,
    name: str,
    reporter: PullReporter,
    silence_seconds: int,
    limit_seconds: int,
) -> None:
    began = logged_at = heard_at = time.monotonic()
    progress = _PullProgress()
    lines = Stream(f"pull of {name}", lambda: client.api.pull(name, stream=True, decode=True))
    with contextlib.closing(lines):
        while (received := lines.take()) is not None:
            reporter.check()
            now = time.monotonic()
            heard_at = now if received else heard_at
            for line in received:
                progress.feed(line)
            if now - heard_at > silence_seconds:
                raise DockerException(f"its registry sent nothing for {silence_seconds} seconds")
            if now - began > limit_seconds:
                raise DockerException(f"the pull took longer than {limit_seconds} seconds")
            done, total = progress.sizes
            if total:
                reporter.progress(done, total)
            if total and now - logged_at > LOG_EVERY_SECONDS:
                reporter.log(f"Pulling {name}: {done / 10**6:.1f} of {total / 10**6:.1f} MB.")
                logged_at = now
    reporter.log(f"Pulled {name} in {time.monotonic() - began:.0f} s.")


def _without_tag(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    # A colon before the last slash belongs to a registry's port.
    return folder + slash + last.partition(":")[0]
