"""HTTP to the executor, and its errors; the only file of ours that knows the wire.

The contract is executor/README.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import requests

CONNECT_SECONDS = 3
READ_SECONDS = 30
IDS_A_REQUEST = 100
# What is asked of the executor out of a run's request, which also keeps what is ours alone.
ASKED = ("servers", "scan_type", "database")


class ExecutorError(Exception):
    """The executor could not do what was asked; the message is a sentence for people."""

    retryable = False


class ExecutorUnavailable(ExecutorError):
    """The executor did not answer, or not sensibly; asking again may help."""

    retryable = True


class JobRejected(ExecutorError):
    """The executor refused the job; asking again will not help."""


class JobUnknown(ExecutorError):
    """The executor has no such job or result."""


@dataclass(frozen=True)
class Job:
    """A job as the executor describes it."""

    id: str
    status: str
    steps: list[dict[str, Any]]
    log_size: int
    error: str | None
    results: list[dict[str, Any]]
    databases: dict[str, dict[str, Any]]
    # Of a connection test: one for each server.
    tests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Say whether the job will not change any more."""
        return self.status not in ("queued", "running")


@dataclass(frozen=True)
class LogPiece:
    """A piece of a job's log; offsets count bytes of UTF-8."""

    text: str
    next_offset: int


class ExecutorClient:
    """The executor's operations; every method raises an ExecutorError when it cannot be done."""

    def __init__(self, url: str, api_key: str, read_seconds: float = READ_SECONDS) -> None:
        self._timeout = (min(CONNECT_SECONDS, read_seconds), read_seconds)
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.headers["X-API-Key"] = api_key
        self._session.trust_env = False  # a proxy for the internet must never see the key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def health(self) -> dict[str, Any]:
        """Return the executor's engine, tools and databases."""
        return self._json("GET", "/health")

    def submit(self, job_id: str, request: Mapping[str, Any]) -> Job:
        """Ask for a run's job; safe to repeat, since the executor keys jobs by `job_id`."""
        body = {"job_id": job_id, **{name: request[name] for name in ASKED if name in request}}
        path = "/scan" if "servers" in request else "/database/update"
        return _job(self._json("POST", path, json=body))

    def jobs(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """Return the jobs among `job_ids` that the executor knows."""
        ids = list(job_ids)
        found: dict[str, Job] = {}
        for start in range(0, len(ids), IDS_A_REQUEST):
            wanted = ",".join(ids[start : start + IDS_A_REQUEST])
            answer = self._json("GET", "/jobs", params={"ids": wanted})
            found.update((document["id"], _job(document)) for document in answer["jobs"])
        return found

    def log(self, job_id: str, offset: int) -> LogPiece:
        """Return what the job's log holds from byte `offset` on; one answer may not be all of it."""
        answer = self._json("GET", f"/jobs/{job_id}/logs", params={"offset": offset})
        # PostgreSQL's text cannot hold NUL, and a scanned host may well send one.
        return LogPiece(answer["text"].replace("\x00", "\N{REPLACEMENT CHARACTER}"), answer["next_offset"])

    def results(self, job: Job) -> Iterator[tuple[str, bytes]]:
        """Yield the server's name and the document of each of the job's results, one at a time."""
        for result in job.results:
            yield result["server"], self._send("GET", result["url"]).content

    def cancel(self, job_id: str) -> None:
        """Ask the executor to stop the job; harmless when it has ended."""
        self._send("DELETE", f"/jobs/{job_id}")

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._send(method, path, **arguments).json()
        except requests.JSONDecodeError as error:
            raise ExecutorUnavailable("The executor's answer was not JSON.") from error
        if not isinstance(answer, dict):
            raise ExecutorUnavailable("The executor's answer was not a JSON object.")
        return answer

    def _send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            response = self._session.request(
                method,
                f"{self._url}{path}",
                timeout=self._timeout,
                allow_redirects=False,
                **arguments,
            )
        except requests.RequestException as error:
            raise ExecutorUnavailable(
                "The executor does not answer. Check that it is running and that EXECUTOR_URL is right."
            ) from error
        if response.ok:
            return response
        raise _error(response)


def _error(response: requests.Response) -> ExecutorError:
    try:
        detail = str(response.json()["detail"])
    except (requests.JSONDecodeError, KeyError, TypeError):
        detail = f"The executor answered {response.status_code}."
    if response.status_code == 401:
        return JobRejected("The executor refused our key. EXECUTOR_API_KEY must be the same on both sides.")
    if response.status_code == 404:
        return JobUnknown(detail)
    return ExecutorUnavailable(detail) if response.status_code >= 500 else JobRejected(detail)


def _job(document: Mapping[str, Any]) -> Job:
    try:
        return Job(
            id=document["id"],
            status=document["status"],
            steps=document["steps"],
            log_size=document["log_size"],
            error=document["error"],
            results=document["results"],
            databases=document["databases"] or {},
            tests=document.get("tests") or [],
        )
    except KeyError as error:
        raise ExecutorUnavailable(f"The executor's description of a job lacks {error}.") from error
