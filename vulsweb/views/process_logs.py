"""`/system/logs`: the logs of the processes, for admins."""

from pathlib import Path

from flask import Blueprint, Response, abort, current_app, render_template, request, send_file
from flask_login import login_required

from vulsweb.system import log_files
from vulsweb.system.log_files import LogFile
from vulsweb.views import live
from vulsweb.views.list_query import one_line

LINES_SHOWN = 200

bp = Blueprint("process_logs", __name__, url_prefix="/system/logs")


@bp.get("/")
@login_required
def index() -> str:
    """Show the last lines of each process, or the matching ones."""
    found, words = _chosen(), one_line(request.args, "search")
    shown = [(file, log_files.search(file, words, LINES_SHOWN)) for file in found] if words else []
    return render_template(
        "system/logs.html",
        folder=current_app.config["LOG_DIR"],
        files=_files(),
        chosen=found,
        process=request.args.get("process", ""),
        words=words,
        found=[(file, lines) for file, lines in shown if lines.lines],
        tails=[] if words else [(file, log_files.tail(file, LINES_SHOWN)) for file in found],
        fingerprint=live.fingerprint,
    )


@bp.get("/<name>/tail")
@login_required
def tail(name: str) -> Response:
    """Return the last lines of a process when there are new ones."""
    file = _file_or_404(name)
    lines = log_files.tail(file, LINES_SHOWN)
    return live.fragment("system/_log_tail.html", live.fingerprint(lines), file=file, lines=lines)


@bp.get("/<name>/download")
@login_required
def download(name: str) -> Response:
    """Send the log of a process as a file."""
    file = _file_or_404(name)
    try:
        content = file.open()
    except OSError:
        abort(404)
    return send_file(content, mimetype="text/plain", as_attachment=True, download_name=f"{file.name}.log")


def _files() -> list[LogFile]:
    folder: Path | None = current_app.config["LOG_DIR"]
    return log_files.files(folder)


def _chosen() -> list[LogFile]:
    name = request.args.get("process", "")
    return [file for file in _files() if not name or file.name == name]


def _file_or_404(name: str) -> LogFile:
    return next((file for file in _files() if file.name == name), None) or abort(404)
