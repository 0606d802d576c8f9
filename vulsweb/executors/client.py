"""The HTTP client of the executors; executor/README.md is the contract."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import requests

from vulsweb.executors.settings import MAIN, Executor

T = TypeVar("T")

CONNECT_SECONDS = 3
READ_SECONDS = 30
IDS_PER_REQUEST = 100


class ExecutorError(Exception):
    """A request to the executor failed; the message is for users."""

    retryable = False


class ExecutorUnavailable(ExecutorError):
    """The executor did not answer as expected; a retry may help."""

    retryable = True


class JobRejected(ExecutorError):
    """The executor rejected the request; a retry does not help.

    If it names `unknown` servers, it accepts the request without them.
    """

    def __init__(self, sentence: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.unknown = unknown


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
    # For connection tests: an entry for each server.
    tests: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def ended_with(cls, job_id: str, status: str, error: str, steps: list[dict[str, Any]]) -> "Job":
        """Return an ended job that no executor reported."""
        return cls(job_id, status, steps, log_size=0, error=error, results=[], databases={})

    @property
    def ended(self) -> bool:
        """Return whether the job has ended and will not change."""
        return self.status not in ("queued", "running")


@dataclass(frozen=True)
class LogPiece:
    """A piece of a job's log; offsets count bytes of UTF-8."""

    text: str
    next_offset: int


class ExecutorClient:
    """The operations of one executor; every method raises ExecutorError on failure."""

    def __init__(self, executor: Executor, read_seconds: float = READ_SECONDS) -> None:
        self._timeout = (min(CONNECT_SECONDS, read_seconds), read_seconds)
        self._executor = executor
        self._url = executor.url.rstrip("/")
        self._session = requests.Session()
        self._session.headers["X-API-Key"] = executor.api_key
        self._session.verify = str(executor.ca_bundle) if executor.ca_bundle else True
        self._session.trust_env = False  # an internet proxy must never see the key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def health(self) -> dict[str, Any]:
        """Return the executor's engine, tools and databases."""
        return self._json("GET", "/health")

    def submit(self, job_id: str, request: Mapping[str, Any]) -> Job:
        """Submit a job; safe to repeat, since `job_id` is its key."""
        path = "/scan" if "servers" in request else "/database/update"
        return _job(self._json("POST", path, json={"job_id": job_id, **request}))

    def jobs(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """Return the jobs among `job_ids` that the executor knows."""
        ids = list(job_ids)
        found: dict[str, Job] = {}
        for start in range(0, len(ids), IDS_PER_REQUEST):
            wanted = ",".join(ids[start : start + IDS_PER_REQUEST])
            answer = self._json("GET", "/jobs", params={"ids": wanted})
            found.update((document["id"], _job(document)) for document in answer["jobs"])
        return found

    def log(self, job_id: str, offset: int) -> LogPiece:
        """Return one piece of the job's log, from byte `offset`."""
        answer = self._json("GET", f"/jobs/{job_id}/logs", params={"offset": offset})
        # PostgreSQL's text cannot hold NUL, and a scanned host may send one.
        return LogPiece(answer["text"].replace("\x00", "\N{REPLACEMENT CHARACTER}"), answer["next_offset"])

    def results(self, job: Job) -> Iterator[tuple[str, bytes]]:
        """Yield server name and document of each of the job's results."""
        for result in job.results:
            yield result["server"], self._send("GET", result["url"]).content

    def cancel(self, job_id: str) -> None:
        """Cancel the job; do nothing if it has ended."""
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
            setting = "EXECUTOR_URL" if self._executor.name == MAIN else "its url"
            raise ExecutorUnavailable(
                f"{self._name} does not answer. Check that it is running and that {setting} is right."
            ) from error
        if response.ok:
            return response
        raise self._error(response)

    @property
    def _name(self) -> str:
        return "The executor" if self._executor.name == MAIN else f"The executor {self._executor.name}"

    def _error(self, response: requests.Response) -> ExecutorError:
        if response.status_code == 401:
            key = "EXECUTOR_API_KEY" if self._executor.name == MAIN else "Its key"
            return JobRejected(f"{self._name} rejected our key. {key} must be the same on both sides.")
        return _error(response)


class ExecutorClients:
    """Clients of all executors, each opened on first use."""

    def __init__(self, executors: Sequence[Executor], read_seconds: float = READ_SECONDS) -> None:
        self._read_seconds = read_seconds
        self._executors = {executor.name: executor for executor in executors}
        self._open: dict[str, ExecutorClient] = {}
        self._unavailable: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._open.values():
            client.__exit__(kind, error, trace)

    def ask(self, name: str, operation: Callable[[ExecutorClient], T]) -> T:
        """Call an executor.

        Fail at once if it did not answer before, since other work waits.
        """
        if name in self._unavailable:
            raise ExecutorUnavailable(self._unavailable[name])
        if name not in self._executors:
            raise ExecutorError(f"The executor {name} is no longer configured.")
        client = self._open.setdefault(name, ExecutorClient(self._executors[name], self._read_seconds))
        try:
            return operation(client)
        except ExecutorUnavailable as error:
            self._unavailable[name] = str(error)
            raise


def _error(response: requests.Response) -> ExecutorError:
    try:
        document = response.json()
        detail, unknown = str(document["detail"]), [str(name) for name in document.get("unknown", [])]
    except (requests.JSONDecodeError, AttributeError, KeyError, TypeError):
        detail, unknown = f"The executor answered {response.status_code}.", []
    if response.status_code == 404:
        return JobUnknown(detail)
    return ExecutorUnavailable(detail) if response.status_code >= 500 else JobRejected(detail, unknown)


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


def new_job_id() -> str:
    """Return a new random job id."""
    return uuid.uuid4().hex
