"""The lines of web, worker and beat: one each, without secrets, as text or JSON, also in a file."""

import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from vulsweb.config import ConfigError, LogSettings, log_settings
from vulsweb.system import log_lines

ROOT = Path(__file__).parents[3]
TOKEN = "vulsweb_" + "a1B2-_" * 7
Log = Callable[..., None]


@pytest.fixture
def restored() -> Iterator[None]:
    """Leave the logging of the tests as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            with contextlib.suppress(OSError):  # what could not be written to a full disk
                handler.close()
            handler.close()
    root.handlers, root.level = before[0], before[1]


class Collecting(logging.Handler):
    """Collects lines."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def record(message: str, *arguments: object, **fields: Any) -> logging.LogRecord:
    return logging.LogRecord("vulsweb.x", logging.WARNING, "x.py", 1, message, arguments, fields.get("error"))


def as_json(message: str, *arguments: object, **fields: Any) -> dict[str, Any]:
    line = log_lines.JsonLine("worker").format(record(message, *arguments, **fields))
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def as_text(message: str, *arguments: object) -> str:
    return log_lines.OneLine("%(levelname)s %(name)s: %(message)s").format(record(message, *arguments))


def test_a_json_line_says_when_where_how_bad_and_which_run() -> None:
    fields = as_json("run %d: %s", 12, "timed out")

    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "level": "WARNING",
        "process": "worker",
        "logger": "vulsweb.x",
        "message": "run 12: timed out",
        "run": 12,
    }


def test_control_characters_of_hosts_make_no_second_line() -> None:
    hostile = "web-1\n2026-01-01 ERROR fake\r\x1b[31m\u2028"

    assert len(as_text("%s", hostile).splitlines()) == 1
    assert as_json("%s", hostile)["message"] == hostile


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"refused {TOKEN}.", "refused vulsweb_********."),
        ("redis://:pass@host:1/0 is gone", "redis://:********@host:1/0 is gone"),
        ("postgresql://vulsweb:p%40ss@db/vulsweb", "postgresql://vulsweb:********@db/vulsweb"),
        ("key of the executor", "key of the executor"),
        ("a-known-secret-value in it", "******** in it"),
        ("http://[::1]:80/a:b@c", "http://[::1]:80/a:b@c"),
    ],
)
def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch, message: str, shown: str) -> None:
    monkeypatch.setattr(log_lines, "_secrets", set())
    log_lines.hide(["a-known-secret-value", ""])

    assert as_text("%s", message).endswith(f": {shown}")
    assert as_json("%s", message)["message"] == shown


def test_an_exception_is_in_the_same_json_line_and_masked() -> None:
    try:
        raise ValueError(TOKEN)
    except ValueError as error:
        fields = as_json("failed", error=(ValueError, error, error.__traceback__))

    assert "ValueError: vulsweb_********" in fields["trace"]


def test_lines_of_a_request_have_its_id_and_its_user(
    signed_in: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []
    handler = Collecting(lines)
    handler.setFormatter(log_lines.JsonLine("web"))
    logging.getLogger().addHandler(handler)
    caplog.set_level(logging.INFO)
    try:
        answer = signed_in.post("/keys/generate", data={"name": "scanner"})
    finally:
        logging.getLogger().removeHandler(handler)

    fields = next(each for each in map(json.loads, lines) if each["message"].startswith("key scanner"))
    assert fields["user"] == "admin"
    assert fields["request"] == answer.headers["X-Request-ID"]
    assert log_lines.CONTEXT.get() is None


@pytest.mark.usefixtures("restored")
def test_a_file_has_the_same_lines_and_several_processes_lose_none(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "web.log"
    script = (
        "import logging, sys; from pathlib import Path\n"
        "from vulsweb.config import LogSettings; from vulsweb.system import log_lines\n"
        "log_lines.LARGEST_FILE = 20_000\n"
        "log_lines.OLD_FILES = 50\n"
        f"log_lines.configure(LogSettings('web', False, Path({str(file)!r})))\n"
        "for number in range(300): logging.info('line %s-%d', sys.argv[1], number)\n"
    )
    command = [sys.executable, "-c", script]
    writers = [
        subprocess.Popen([*command, name], cwd=ROOT, stderr=subprocess.PIPE, text=True) for name in "abc"
    ]
    errors = [writer.communicate()[1] for writer in writers]

    lines = [line for each in file.parent.glob("web.log*") for line in each.read_text().splitlines()]
    wanted = {f"line {name}-{number}" for name in "abc" for number in range(300)}
    assert {line.partition("root: ")[2] for line in lines} == wanted
    assert len(lines) == len(wanted)
    assert len(list(file.parent.glob("web.log.*"))) >= 2
    assert file.stat().st_mode & 0o777 == 0o600
    assert all("line" in error for error in errors)  # on stderr too


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("path", ["/dev/null/web.log", "/proc/web.log"])
def test_a_file_that_cannot_be_written_is_said_once_and_stops_nothing(
    capsys: pytest.CaptureFixture[str], path: str
) -> None:
    log_lines.configure(LogSettings("web", as_json=False, file=Path(path)))
    for _ in range(3):
        logging.getLogger("vulsweb.x").warning("still here")

    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith(f"The log file {path} cannot be written:")]) == 1
    assert len([line for line in lines if "still here" in line]) == 3


def test_a_file_that_can_grow_no_more_loses_no_line_of_the_other_output(tmp_path: Path) -> None:
    script = (
        "import logging, resource; from pathlib import Path\n"
        "from vulsweb.config import LogSettings; from vulsweb.system import log_lines\n"
        # As a full disk does, it makes each write fail.
        "resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, 16_000))\n"
        f"log_lines.configure(LogSettings('web', False, Path({str(tmp_path / 'web.log')!r})))\n"
        "for number in range(500): logging.warning('line %d %s', number, 'x' * 100)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)

    assert done.stderr.count(": line ") == 500
    assert done.stderr.count("cannot be written: [Errno 27] File too large") == 1
    assert 10_000 < (tmp_path / "web.log").stat().st_size <= 16_000


def test_a_wrong_format_stops_the_program() -> None:
    with pytest.raises(ConfigError, match=r"VULSWEB_LOG_FORMAT is 'xml'; use text or json\."):
        log_settings({"VULSWEB_LOG_FORMAT": "xml"})
    assert log_settings({}) == LogSettings("vulsweb", as_json=False, file=None)


def test_every_message_about_a_run_can_be_found_by_its_number() -> None:
    calls = [
        (path.name, line.strip())
        for path in (ROOT / "vulsweb").rglob("*.py")
        for line in path.read_text().splitlines()
        if "run %d" in line
    ]

    assert len(calls) > 5
    assert not [call for call in calls if log_lines.ABOUT_A_RUN not in call[1]]
