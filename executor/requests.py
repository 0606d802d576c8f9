"""The requests that the executor accepts: a closed list.

They are checked field by field. This module is pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from executor.databases.catalogue import CATALOGUE, CLASSIC, profile_databases, why_unused

CONFIGTEST = "configtest"
DETECTION = "detection"
SCAN_TYPES = ("fast", "full", CONFIGTEST)
SCAN_STEPS = ["configtest", "scan", "report"]
ALL_DATABASES = "all"
# Queues that do not wait for each other.
LANES = ("scan", "test", "detection", "database_update")

JOB_ID = re.compile(r"[0-9a-f]{32}")
# A server's name becomes the name of its result file.
SERVER_NAME = re.compile(r"(?!\.\.?$)[^/\x00-\x1f\x7f\ud800-\udfff]{1,200}")


class InvalidError(Exception):
    """The request is refused.

    `field` says where it is wrong, and `unknown` lists unknown names in it.
    """

    def __init__(self, field: str, sentence: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.field = field
        self.unknown = list(unknown)


@dataclass(frozen=True)
class Request:
    """A valid request.

    `body` holds what is asked for, without the job's id and group.
    """

    job_id: str
    kind: str
    body: dict[str, Any]
    steps: list[str]  # by name, in order
    group: str | None = None

    @property
    def lane(self) -> str:
        """Return the queue that the job waits in."""
        return "test" if self.body.get("scan_type") == CONFIGTEST else self.kind


def scan_request(body: Any) -> Request:
    """Check the fields of a scan request.

    Whether the servers exist is not checked here.
    """
    job_id, group = _check_fields(body, ("job_id", "servers", "scan_type"))
    servers, scan_type = body["servers"], body["scan_type"]
    if not isinstance(servers, list) or not servers:
        raise InvalidError("servers", "servers must be a list of at least one name.")
    for name in servers:
        if not isinstance(name, str) or not SERVER_NAME.fullmatch(name):
            raise InvalidError("servers", "A server's name is at most 200 characters without a slash.")
    if len(set(servers)) != len(servers):
        raise InvalidError("servers", "A server is named twice.")
    if scan_type not in SCAN_TYPES:
        raise InvalidError("scan_type", "scan_type must be fast, full or configtest.")
    steps = [CONFIGTEST] if scan_type == CONFIGTEST else SCAN_STEPS
    return Request(job_id, "scan", {"servers": servers, "scan_type": scan_type}, steps, group)


def detection_request(body: Any) -> tuple[Request, list[dict[str, Any]]]:
    """Check a request to detect again; return the documents with it.

    Each entry names a server, the host whose document it is (a container, an address of a network, or the
    server itself), and has the document of a scan. Whether the servers exist is not checked here.
    """
    job_id, group = _check_fields(body, ("job_id", "documents"))
    documents = body["documents"]
    if not isinstance(documents, list) or not documents:
        raise InvalidError("documents", "documents must be a list of at least one document.")
    for entry in documents:
        if not isinstance(entry, dict) or set(entry) != {"server", "name", "document"}:
            raise InvalidError("documents", "An entry has exactly the fields server, name and document.")
        for name in (entry["server"], entry["name"]):
            if not isinstance(name, str) or not SERVER_NAME.fullmatch(name):
                raise InvalidError("documents", "A name is at most 200 characters without a slash.")
        if not isinstance(entry["document"], dict):
            raise InvalidError("documents", f"The document of {entry['name']} is not an object.")
    names = [entry["name"] for entry in documents]
    if len(set(names)) != len(names):
        raise InvalidError("documents", "A host is named twice.")
    servers = list(dict.fromkeys(entry["server"] for entry in documents))
    request = Request(job_id, DETECTION, {"servers": servers, "names": names}, ["report"], group)
    return request, documents


def database_request(body: Any, profile: str = CLASSIC) -> Request:
    """Check a request for a database update.

    The profile must use the database.
    """
    job_id, group = _check_fields(body, ("job_id", "database"))
    database = body["database"]
    if not isinstance(database, str) or database not in (ALL_DATABASES, *CATALOGUE):
        raise InvalidError("database", f"database must be one of {', '.join((ALL_DATABASES, *CATALOGUE))}.")
    if database != ALL_DATABASES and (reason := why_unused(database, profile)):
        raise InvalidError("database", reason)
    steps = list(profile_databases(profile)) if database == ALL_DATABASES else [database]
    return Request(job_id, "database_update", {"database": database}, steps, group)


def _check_fields(body: Any, names: tuple[str, ...]) -> tuple[str, str | None]:
    """Check the fields of the body; return its job id and group.

    It must have exactly the fields `names`, and may have a group.
    """
    if not isinstance(body, dict):
        raise InvalidError("body", "The body must be a JSON object.")
    for name in names:
        if name not in body:
            raise InvalidError(name, f"{name} is missing.")
    for name in body:
        if name not in (*names, "group"):
            raise InvalidError(name[:100], "There is no such field.")
    job_id, group = body["job_id"], body.get("group")
    if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
        raise InvalidError("job_id", "job_id must be 32 lower-case hexadecimal digits.")
    if group is not None and (not isinstance(group, str) or not JOB_ID.fullmatch(group)):
        raise InvalidError("group", "group must be 32 lower-case hexadecimal digits.")
    return job_id, group
