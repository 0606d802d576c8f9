"""The HTTP client of the executors; executor/README.md is the contract."""

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import requests

from vulsweb.executors import answers
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.executors.whole_answers import WholeAnswerAdapter

T = TypeVar("T")

CONNECT_SECONDS = 3
# For a whole answer. A result may be large and the line slow.
READ_SECONDS = 30
NO_ROOM = 507  # Insufficient Storage: its disk is full
RESULT_SECONDS = 300
PIECE_BYTES = 64 * 1024
# A hundred jobs of a thousand servers each have less.
ANSWER_BYTES = 64 * 1024 * 1024
RESULT_BYTES = 256 * 1024 * 1024
IDS_PER_REQUEST = 100


class ExecutorError(Exception):
    """A request to the executor failed; the message is for users."""

    retryable = False


class ExecutorUnavailable(ExecutorError):
    """The executor did not answer as expected; a retry may help."""

    retryable = True


class ExecutorBusy(ExecutorUnavailable):
    """It takes no job for now; it is asked again."""


class AnswerUnexpected(ExecutorError):
    """An answer about one job was not understood; the next may be."""

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
    profile: str | None = None  # older executors do not say

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


_PATHS = {"documents": "/detection", "servers": "/scan"}


class ExecutorClient:
    """The operations of one executor; every method raises ExecutorError on failure."""

    def __init__(self, executor: Executor, read_seconds: float = READ_SECONDS) -> None:
        self._timeout = (min(CONNECT_SECONDS, read_seconds), read_seconds)
        self._executor = executor
        self._url = executor.url.rstrip("/")
        self._session = requests.Session()
        self._session.headers["X-API-Key"] = executor.api_key
        self._session.verify = str(executor.ca_bundle) if executor.ca_bundle else True
        # Its size is limited as it comes, so it must not grow when it is unpacked.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.mount("http://", WholeAnswerAdapter())
        self._session.mount("https://", WholeAnswerAdapter())
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
        path = next((path for field, path in _PATHS.items() if field in request), "/database/update")
        try:
            body = msgspec.json.encode({"job_id": job_id, **request})
            headers = {"Content-Type": "application/json"}
            return self._job(self._json("POST", path, data=body, headers=headers))
        except JobUnknown as error:
            sentence = f"{self._name} does not take this kind of job. Update it to the version of Vuls Web."
            raise JobRejected(sentence) from error

    def jobs(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """Return the jobs among `job_ids` that the executor knows."""
        found: dict[str, Job] = {}
        for job_id, reply in self.replies(job_ids).items():
            if isinstance(reply, AnswerUnexpected):
                raise reply
            found[job_id] = reply
        return found

    def replies(self, job_ids: Iterable[str]) -> dict[str, Job | AnswerUnexpected]:
        """Return the known jobs, or why a job's description is not understood."""
        ids = list(job_ids)
        found: dict[str, Job | AnswerUnexpected] = {}
        for start in range(0, len(ids), IDS_PER_REQUEST):
            wanted = ids[start : start + IDS_PER_REQUEST]
            answer = self._json("GET", "/jobs", params={"ids": ",".join(wanted)})
            documents = answer.get("jobs")
            if not isinstance(documents, list):
                raise self._unexpected(answers.Unexpected("the list of jobs is missing"))
            for document in documents:
                job_id = document.get("id") if isinstance(document, dict) else None
                if isinstance(job_id, str) and job_id in wanted:
                    try:
                        found[job_id] = self._job(document)
                    except AnswerUnexpected as error:
                        found[job_id] = error
        return found

    def log(self, job_id: str, offset: int) -> LogPiece:
        """Return one piece of the job's log, from byte `offset`."""
        answer = self._json("GET", f"/jobs/{job_id}/logs", params={"offset": offset})
        try:
            answers.check_log(answer, offset)
        except answers.Unexpected as error:
            raise self._unexpected(error) from error
        return LogPiece(answer["text"], answer["next_offset"])

    def results(self, job: Job) -> Iterator[tuple[str, bytes]]:
        """Yield server name and document of each of the job's results."""
        for result in job.results:
            yield result["server"], self._send("GET", result["url"], is_result=True)

    def cancel(self, job_id: str) -> None:
        """Cancel the job; do nothing if it has ended."""
        self._send("DELETE", f"/jobs/{job_id}")

    def _job(self, document: Any) -> Job:
        try:
            answers.check_job(document)
        except answers.Unexpected as error:
            raise self._unexpected(error) from error
        return Job(
            id=document["id"],
            status=document["status"],
            steps=document["steps"],
            log_size=document["log_size"],
            error=document["error"],
            results=document["results"],
            databases=document["databases"] or {},
            tests=document.get("tests") or [],
            profile=document.get("profile"),
        )

    def _unexpected(self, error: answers.Unexpected) -> AnswerUnexpected:
        return AnswerUnexpected(
            f"{self._name} sent an unexpected answer: {error}. Check that it has the version of Vuls Web."
        )

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = answers.read(self._send(method, path, **arguments))
        except ValueError as error:
            raise ExecutorUnavailable("The executor's answer was not JSON.") from error
        if not isinstance(answer, dict):
            raise ExecutorUnavailable("The executor's answer was not a JSON object.")
        return answer

    def _send(self, method: str, path: str, *, is_result: bool = False, **arguments: Any) -> bytes:
        connect, read = self._timeout
        limit = RESULT_BYTES if is_result else ANSWER_BYTES
        body = bytearray()
        try:
            with self._session.request(
                method,
                f"{self._url}{path}",
                timeout=(connect, max(read, RESULT_SECONDS) if is_result else read),
                allow_redirects=False,
                stream=True,
                **arguments,
            ) as response:
                for piece in response.iter_content(PIECE_BYTES):
                    body += piece
                    if len(body) > limit:
                        raise ExecutorUnavailable(
                            f"{self._name} sent an answer of more than {limit >> 20} MiB."
                        )
        except requests.RequestException as error:
            setting = "EXECUTOR_URL" if self._executor.name == MAIN else "its url"
            raise ExecutorUnavailable(
                f"{self._name} does not answer. Check that it is running and that {setting} is right."
            ) from error
        if response.ok:
            return bytes(body)
        raise self._error(response.status_code, bytes(body))

    @property
    def _name(self) -> str:
        return "The executor" if self._executor.name == MAIN else f"The executor {self._executor.name}"

    def _error(self, status: int, body: bytes) -> ExecutorError:
        if status == 401:
            key = "EXECUTOR_API_KEY" if self._executor.name == MAIN else "Its key"
            return JobRejected(f"{self._name} rejected our key. {key} must be the same on both sides.")
        return _error(status, body)


class ExecutorClients:
    """Clients of all executors, each opened on first use."""

    def __init__(self, executors: Sequence[Executor], read_seconds: float = READ_SECONDS) -> None:
        self._read_seconds = read_seconds
        self._executors = {executor.name: executor for executor in executors}
        self._open: dict[str, ExecutorClient] = {}
        self._unavailable: dict[str, ExecutorUnavailable] = {}

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
        if error := self._unavailable.get(name):
            raise type(error)(str(error))
        if name not in self._executors:
            raise ExecutorError(f"The executor {name} is no longer configured.")
        client = self._open.setdefault(name, ExecutorClient(self._executors[name], self._read_seconds))
        try:
            return operation(client)
        except ExecutorUnavailable as error:
            self._unavailable[name] = error
            raise


def _error(status: int, body: bytes) -> ExecutorError:
    detail, unknown = f"The executor answered {status}.", list[str]()
    with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
        document = answers.read(body)
        detail, unknown = str(document["detail"]), [str(name) for name in document.get("unknown", [])]
    if status == 404:
        return JobUnknown(detail)
    if status == NO_ROOM:
        return ExecutorBusy(detail)
    return ExecutorUnavailable(detail) if status >= 500 else JobRejected(detail, unknown)


def new_job_id() -> str:
    """Return a new random job id."""
    return uuid.uuid4().hex
