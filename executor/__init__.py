"""The executor: a small application that turns a closed list of operations into real commands."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request, send_file
from werkzeug.exceptions import BadRequest, Conflict, HTTPException, NotFound, Unauthorized

from executor import config, kinds
from executor.audit import Audit
from executor.databases.catalogue import misfit
from executor.databases.folder import DatabaseFolder
from executor.jobs.dispatch import Dispatcher
from executor.jobs.store import Job, JobStatus, JobStore, new_job
from executor.keys import Keys

LARGEST_BODY_BYTES = 256 * 1024
MOST_IDS = 500
LONGEST_OFFSET_DIGITS = 15

bp = Blueprint("executor", __name__)


class Executor:
    """What the routes share: the settings, the jobs on disk and who runs them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.keys = Keys(variables)
        self.settings = config.settings(variables)
        try:
            self.store = JobStore(self.settings.data_dir, self.settings.work_dir)
            self.databases = DatabaseFolder(self.settings.databases_dir)
            self.audit = Audit(self.settings.data_dir)
        except OSError as error:
            raise config.ConfigError(f"EXECUTOR_DATA_DIR cannot be used: {error}.") from error
        self.dispatcher = Dispatcher(self.settings, self.store)


def create_app(overrides: Mapping[str, str] | None = None) -> Flask:
    """Build the executor and take up its jobs; `overrides` are laid over the environment's variables.

    Raise ConfigError where a setting is missing or wrong: without a key it does not start.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    executor = app.extensions["executor"] = Executor(config.environment(overrides))
    app.before_request(_check_key)
    app.after_request(_audited)
    app.register_blueprint(bp)
    app.register_error_handler(kinds.InvalidError, _invalid)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OSError, _storage_error)
    executor.dispatcher.recover()
    return app


@bp.get("/health")
def health() -> dict[str, Any]:
    """Say that the executor lives and, to those with a key, what it can work with."""
    if "X-API-Key" not in request.headers:
        return {"status": "ok"}
    profile, tools = _executor().settings.profile, _executor().dispatcher.engine.tools()
    return {
        "status": "ok",
        "engine": "docker" if _executor().settings.docker else "local",
        "profile": profile,
        "misfit": misfit(profile, (tools["vuls"] or {}).get("version")),
        "tools": tools,
        "databases": _executor().databases.present(),
        "disk": _disk(_executor().settings.data_dir),
    }


@bp.post("/scan")
def scan() -> tuple[dict[str, Any], int]:
    """Accept a scan."""
    return _submit(kinds.scan_request(_body()))


@bp.post("/database/update")
def update_database() -> tuple[dict[str, Any], int]:
    """Accept a database update."""
    return _submit(kinds.database_request(_body(), _executor().settings.profile))


@bp.get("/jobs")
def list_jobs() -> dict[str, Any]:
    """Show many jobs at once; unknown ids are left out."""
    if "ids" not in request.args:
        raise kinds.InvalidError("ids", "ids is missing: name the jobs, with commas between them.")
    ids = [job_id for job_id in request.args["ids"].split(",") if job_id]
    if len(ids) > MOST_IDS:
        raise kinds.InvalidError("ids", f"At most {MOST_IDS} jobs can be asked for at once.")
    known = (_find(job_id) for job_id in dict.fromkeys(ids))
    jobs = _looked_after([job for job in known if job])
    positions = _positions(jobs)
    return {"jobs": [_shown(job, positions) for job in jobs]}


@bp.get("/jobs/<job_id>")
def show_job(job_id: str) -> dict[str, Any]:
    """Show a job."""
    return _shown(_job_or_404(job_id))


@bp.get("/jobs/<job_id>/logs")
def show_log(job_id: str) -> dict[str, Any]:
    """Show the log from an offset on, as much as fits in one reply."""
    job = _job_or_404(job_id)
    store = _executor().store
    given = request.args.get("offset", "0")
    if not given.isascii() or not given.isdigit() or len(given) > LONGEST_OFFSET_DIGITS:
        raise kinds.InvalidError("offset", "offset must be a whole number, 0 or more.")
    offset = int(given)
    if offset > store.log_size(job.id):
        raise kinds.InvalidError("offset", "offset is beyond the end of the log.")
    text, next_offset = store.read_log(job.id, offset, ended=job.status.has_ended)
    ended = job.status.has_ended and next_offset == store.log_size(job.id)
    return {"offset": offset, "next_offset": next_offset, "text": text, "ended": ended}


@bp.get("/jobs/<job_id>/results/<int:number>")
def show_result(job_id: str, number: int) -> Response:
    """Hand out a result document byte for byte."""
    job = _job_or_404(job_id)
    if number >= len(job.results):
        raise NotFound("There is no such result.")
    return send_file(_executor().store.result(job.id, number), mimetype="application/json")


@bp.delete("/jobs/<job_id>")
def cancel_job(job_id: str) -> tuple[dict[str, Any], int]:
    """Have a job end; harmless where it has ended already."""
    job = _job_or_404(job_id)
    if job.status.has_ended:
        return _shown(job), 200
    return _shown(_executor().dispatcher.cancel(job)), 202


def _check_key() -> None:
    given = request.headers.get("X-API-Key")
    if given is None and request.endpoint == "executor.health":
        return
    g.key = _executor().keys.match(given)
    if g.key is None:
        raise Unauthorized("The key in X-API-Key is missing or wrong.")


def _audited(response: Response) -> Response:
    key = g.get("key")
    # Only what a view has read: a stranger's body never is, nor one that is too large.
    was_read = key and request.method == "POST" and response.status_code not in (404, 405, 413)
    body = request.get_data() if was_read else b""
    _executor().audit.note(key, request.method, request.full_path.rstrip("?"), body, response.status_code)
    return response


def _submit(wanted: kinds.Request) -> tuple[dict[str, Any], int]:
    executor = _executor()
    existing = executor.store.load(wanted.job_id)
    if existing is not None:
        return _repeated(existing, wanted)
    if wanted.kind == "scan":
        kinds.check_servers(_shared_config(), wanted.body["servers"])
    job = new_job(wanted.job_id, wanted.kind, wanted.body, wanted.steps, lane=wanted.lane, group=wanted.group)
    if not executor.store.create(job):
        # Its twin came at the same moment and won.
        return _repeated(_job_or_404(wanted.job_id), wanted)
    executor.dispatcher.dispatch(job.lane)
    return _shown(job), 202


def _repeated(job: Job, wanted: kinds.Request) -> tuple[dict[str, Any], int]:
    if (job.kind, job.request) != (wanted.kind, wanted.body):
        raise Conflict("There is another job with this job_id.")
    (job,) = _looked_after([job])
    return _shown(job), 200


def _disk(folder: Path) -> dict[str, int]:
    usage = shutil.disk_usage(folder)
    return {"free_bytes": usage.free, "total_bytes": usage.total}


def _shared_config() -> str:
    path = _executor().settings.vuls_config
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise kinds.InvalidError("servers", f"The shared config.toml cannot be read: {error}.") from error


def _body() -> Any:
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error


def _executor() -> Executor:
    executor: Executor = current_app.extensions["executor"]
    return executor


def _find(job_id: str) -> Job | None:
    return _executor().store.load(job_id) if kinds.JOB_ID.fullmatch(job_id) else None


def _job_or_404(job_id: str) -> Job:
    job = _find(job_id)
    if job is None:
        raise NotFound("There is no such job.")
    (job,) = _looked_after([job])
    return job


def _looked_after(jobs: list[Job]) -> list[Job]:
    """Return the jobs as they really are, and see to it that those which wait get their turn."""
    dispatcher = _executor().dispatcher
    settled = [dispatcher.settle(job) for job in jobs]
    for lane in {job.lane for job in settled if dispatcher.needs_runner(job)}:
        dispatcher.dispatch(lane)
    return settled


def _positions(jobs: list[Job]) -> dict[str, int]:
    lanes = {job.lane for job in jobs if job.status is JobStatus.QUEUED}
    found = [_executor().store.positions(lane) for lane in lanes]
    return {job_id: place for places in found for job_id, place in places.items()}


def _shown(job: Job, positions: Mapping[str, int] | None = None) -> dict[str, Any]:
    hidden = ("request", "sequence", "lane", "turn")
    shown = {key: value for key, value in asdict(job).items() if key not in hidden}
    places = _positions([job]) if positions is None else positions
    return {**shown, "position": places.get(job.id), "log_size": _executor().store.log_size(job.id)}


def _problem(status: int, title: str, detail: str, **more: Any) -> Response:
    document = {"status": status, "title": title, "detail": detail, **more}
    return Response(json.dumps(document), status, mimetype="application/problem+json")


def _invalid(error: kinds.InvalidError) -> Response:
    named = {"unknown": error.unknown} if error.unknown else {}
    return _problem(422, "Unprocessable Content", str(error), field=error.field, **named)


def _http_error(error: HTTPException) -> Response:
    return _problem(error.code or 500, error.name, error.description or error.name)


def _storage_error(error: OSError) -> Response:
    current_app.logger.error("%s %s: %s", request.method, request.path, error)
    return _problem(
        503, "Service Unavailable", f"The executor cannot use its data folder: {error.strerror or error}."
    )
