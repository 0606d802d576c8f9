"""The executor: a small application that turns requests into real commands.

It accepts only a closed list of operations.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request, send_file
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    HTTPException,
    NotFound,
    Unauthorized,
)

from executor import config, log_lines
from executor.audit import AuditLog
from executor.databases.catalogue import CATALOGUE, profile_mismatch, why_ended
from executor.databases.folder import DatabaseFolder
from executor.disk import shortage
from executor.jobs.dispatch import Dispatcher
from executor.jobs.job import Job, JobStatus, new_job
from executor.jobs.store import JobStore
from executor.keys import Keys
from executor.recipes.vuls_config import check_servers
from executor.requests import (
    JOB_ID,
    InvalidError,
    Request,
    database_request,
    detection_request,
    scan_request,
)

MAX_BODY_BYTES = 256 * 1024
MAX_IDS = 500
MAX_OFFSET_DIGITS = 15

bp = Blueprint("executor", __name__)


class NoRoom(HTTPException):
    """The disk is full: nothing new begins."""

    code, name = 507, "Insufficient Storage"


class Executor:
    """What the routes share: settings, keys, stored jobs and the dispatcher."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.keys = Keys(variables)
        self.settings = config.settings(variables)
        try:
            self.store = JobStore(self.settings.data_dir, self.settings.work_dir)
            self.databases = DatabaseFolder(self.settings.databases_dir)
            self.audit = AuditLog(self.settings.data_dir)
        except OSError as error:
            raise config.ConfigError(f"EXECUTOR_DATA_DIR cannot be used: {error}.") from error
        self.dispatcher = Dispatcher(self.settings, self.store)


def create_app(overrides: Mapping[str, str] | None = None) -> Flask:
    """Create the application and recover its jobs; `overrides` replace environment variables.

    Raise ConfigError if a setting is missing or wrong: without a key the executor does not start.
    """
    variables = config.environment(overrides)
    if overrides is None:
        keys = [key.decode() for key in config.api_keys(variables)]
        log_lines.configure(config.settings(variables), keys, is_server=True)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    executor = app.extensions["executor"] = Executor(variables)
    app.register_blueprint(bp)
    executor.dispatcher.recover()
    return app


@bp.before_app_request
def check_key() -> None:
    """Refuse a request without a valid key.

    Only a request for /health may come without a key. A wrong key is refused there too.
    """
    given = request.headers.get("X-API-Key")
    if given is None and request.endpoint == "executor.health":
        return
    g.key = _executor().keys.match(given)
    if g.key is None:
        raise Unauthorized("The key in X-API-Key is missing or wrong.")


@bp.after_app_request
def record_request(response: Response) -> Response:
    """Add the request to the audit log."""
    key = g.get("key")
    # Only a body that a view has read: not an unauthenticated caller's, nor one that is too large.
    was_read = key and request.method == "POST" and response.status_code not in (404, 405, 413)
    body = request.get_data() if was_read else b""
    _executor().audit.record(key, request.method, request.full_path.rstrip("?"), body, response.status_code)
    return response


@bp.app_errorhandler(InvalidError)
def answer_invalid(error: InvalidError) -> Response:
    """Answer 422 and name the field."""
    unknown = {"unknown": error.unknown} if error.unknown else {}
    return _problem(422, "Unprocessable Content", str(error), field=error.field, **unknown)


@bp.app_errorhandler(HTTPException)
def answer_http_error(error: HTTPException) -> Response:
    """Answer with the status of an HTTP error."""
    return _problem(error.code or 500, error.name, error.description or error.name)


@bp.app_errorhandler(OSError)
def answer_storage_error(error: OSError) -> Response:
    """Answer 503 when the data folder cannot be used."""
    current_app.logger.error("%s %s: %s", request.method, request.path, error)
    return _problem(
        503, "Service Unavailable", f"The executor cannot use its data folder: {error.strerror or error}."
    )


@bp.get("/health")
def health() -> dict[str, Any]:
    """Report the executor's health.

    Without a key, the answer only says that the executor is up. With a key, it also says what the executor
    has.
    """
    if "X-API-Key" not in request.headers:
        return {"status": "ok"}
    settings, tools = _executor().settings, _executor().dispatcher.engine.tools()
    disk = shutil.disk_usage(settings.data_dir)
    docker = {"docker": {"problem": _executor().dispatcher.engine.problem()}} if settings.docker else {}
    return docker | {
        "status": "ok",
        "time": datetime.now(UTC).isoformat(),
        "engine": "docker" if settings.docker else "local",
        "profile": settings.profile,
        "misfit": profile_mismatch(settings.profile, (tools["vuls"] or {}).get("version")),
        "tools": tools,
        "databases": _executor().databases.present(),
        "ended": _ended_feeds(tools),
        "disk": {
            "free_bytes": disk.free,
            "total_bytes": disk.total,
            "problem": shortage(settings.disks) or "",
        },
        "machine": _machine(),
    }


def _ended_feeds(tools: Mapping[str, Mapping[str, str | None] | None]) -> dict[str, str]:
    versions = {tool: (described or {}).get("version") for tool, described in tools.items()}
    reasons = {name: why_ended(name, versions.get(each.tool)) for name, each in CATALOGUE.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _machine() -> dict[str, Any]:
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    names = {"memory_free_bytes": "MemAvailable", "memory_total_bytes": "MemTotal"}
    sizes = {name: int(memory[key].split()[0]) * 1024 for name, key in names.items()}  # in KiB
    return {"load": round(os.getloadavg()[0], 2), "cpus": os.cpu_count() or 1, **sizes}


@bp.post("/scan")
def scan() -> tuple[dict[str, Any], int]:
    """Accept a scan."""
    return _submit(scan_request(_json_body()))


@bp.post("/detection")
def detect() -> tuple[dict[str, Any], int]:
    """Accept documents of earlier scans, to look for vulnerabilities again."""
    request.max_content_length = MAX_BODY_BYTES + _executor().settings.result_megabytes * 10**6
    return _submit(*detection_request(_json_body()))


@bp.post("/database/update")
def update_database() -> tuple[dict[str, Any], int]:
    """Accept a database update."""
    return _submit(database_request(_json_body(), _executor().settings.profile))


@bp.get("/jobs")
def list_jobs() -> dict[str, Any]:
    """Show several jobs; unknown ids are left out."""
    if "ids" not in request.args:
        raise InvalidError("ids", "ids is missing: list the ids of jobs, separated by commas.")
    ids = [job_id for job_id in request.args["ids"].split(",") if job_id]
    if len(ids) > MAX_IDS:
        raise InvalidError("ids", f"A request may list at most {MAX_IDS} ids.")
    known = (_find(job_id) for job_id in dict.fromkeys(ids))
    jobs = _reconcile([job for job in known if job])
    positions = _positions(jobs)
    return {"jobs": [_document(job, positions) for job in jobs]}


@bp.get("/jobs/<job_id>")
def show_job(job_id: str) -> dict[str, Any]:
    """Show a job."""
    return _document(_job_or_404(job_id))


@bp.get("/jobs/<job_id>/logs")
def show_log(job_id: str) -> dict[str, Any]:
    """Show a job's log from an offset.

    The text is limited to the size of a reply; `next_offset` is where the rest begins.
    """
    job = _job_or_404(job_id)
    store = _executor().store
    given = request.args.get("offset", "0")
    if not given.isascii() or not given.isdigit() or len(given) > MAX_OFFSET_DIGITS:
        raise InvalidError("offset", "offset must be a whole number, 0 or more.")
    offset = int(given)
    if offset > store.log_size(job.id):
        raise InvalidError("offset", "offset is beyond the end of the log.")
    text, next_offset = store.read_log(job.id, offset, ended=job.status.has_ended)
    ended = job.status.has_ended and next_offset == store.log_size(job.id)
    return {"offset": offset, "next_offset": next_offset, "text": text, "ended": ended}


@bp.get("/jobs/<job_id>/results/<int:number>")
def show_result(job_id: str, number: int) -> Response:
    """Send a result document byte for byte."""
    job = _job_or_404(job_id)
    if number >= len(job.results):
        raise NotFound("There is no such result.")
    return send_file(_executor().store.result(job.id, number), mimetype="application/json")


@bp.delete("/jobs/<job_id>")
def cancel_job(job_id: str) -> tuple[dict[str, Any], int]:
    """Cancel a job; has no effect if it has ended."""
    job = _job_or_404(job_id)
    if job.status.has_ended:
        return _document(job), 200
    return _document(_executor().dispatcher.cancel(job)), 202


def _submit(wanted: Request, documents: Sequence[Mapping[str, Any]] = ()) -> tuple[dict[str, Any], int]:
    executor = _executor()
    existing = executor.store.load(wanted.job_id)
    if existing is not None:
        return _existing(existing, wanted)
    if "servers" in wanted.body:
        try:
            shared = executor.settings.vuls_config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError("servers", f"The shared config.toml cannot be read: {error}.") from error
        check_servers(shared, wanted.body["servers"])
    if problem := shortage(executor.settings.disks):
        raise NoRoom(problem)
    job = new_job(wanted.job_id, wanted.kind, wanted.body, wanted.steps, lane=wanted.lane, group=wanted.group)
    if not executor.store.create(job, documents):
        # The same request came twice at once, and the other was first.
        return _existing(_job_or_404(wanted.job_id), wanted)
    executor.dispatcher.start_runners(job.lane)
    return _document(job), 202


def _existing(job: Job, wanted: Request) -> tuple[dict[str, Any], int]:
    # A job whose record was damaged has no request: it is lost, whatever was asked for.
    if job.request and (job.kind, job.request) != (wanted.kind, wanted.body):
        raise Conflict("There is another job with this job_id.")
    (job,) = _reconcile([job])
    return _document(job), 200


def _json_body() -> Any:
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error


def _executor() -> Executor:
    executor: Executor = current_app.extensions["executor"]
    return executor


def _find(job_id: str) -> Job | None:
    return _executor().store.load(job_id) if JOB_ID.fullmatch(job_id) else None


def _job_or_404(job_id: str) -> Job:
    job = _find(job_id)
    if job is None:
        raise NotFound("There is no such job.")
    (job,) = _reconcile([job])
    return job


def _reconcile(jobs: list[Job]) -> list[Job]:
    """Return the true state of the jobs.

    Start runners for the jobs that wait for one.
    """
    dispatcher = _executor().dispatcher
    reconciled = [dispatcher.reconcile(job) for job in jobs]
    for lane in {job.lane for job in reconciled if dispatcher.needs_runner(job)}:
        dispatcher.start_runners(lane)
    return reconciled


def _positions(jobs: list[Job]) -> dict[str, int]:
    lanes = {job.lane for job in jobs if job.status is JobStatus.QUEUED}
    found = [_executor().store.positions(lane) for lane in lanes]
    return {job_id: position for positions in found for job_id, position in positions.items()}


def _document(job: Job, positions: Mapping[str, int] | None = None) -> dict[str, Any]:
    hidden = ("request", "sequence", "lane", "turn", "before")
    shown = {key: value for key, value in asdict(job).items() if key not in hidden}
    if job.status is JobStatus.QUEUED and shown["steps"]:
        shown["steps"][0]["message"] = shortage(_executor().settings.disks) or shown["steps"][0]["message"]
    positions = _positions([job]) if positions is None else positions
    return {
        **shown,
        "profile": _executor().settings.profile,
        "position": positions.get(job.id),
        "log_size": _executor().store.log_size(job.id),
    }


def _problem(status: int, title: str, detail: str, **more: Any) -> Response:
    document = {"status": status, "title": title, "detail": detail, **more}
    return Response(json.dumps(document), status, mimetype="application/problem+json")
