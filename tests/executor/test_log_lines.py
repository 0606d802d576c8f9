"""The executor's log: one line a message, as text or JSON, also in a file that server and runners share."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor import config, log_lines

KEY = "a key of the executor that nobody may read"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the logging of the tests as it was."""
    root, complains = logging.getLogger(), logging.raiseExceptions
    before = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers, root.level, logging.raiseExceptions = before[0], before[1], complains


def settings(folder: Path, **variables: str) -> config.Settings:
    needed = {"EXECUTOR_DATA_DIR": str(folder), "EXECUTOR_VULS_CONFIG": str(folder / "config.toml")}
    return config.settings(needed | {"EXECUTOR_LOG_FILE": str(folder / "logs" / "executor.log")} | variables)


def test_server_and_runner_write_one_file_and_follow_when_it_is_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_lines, "LARGEST_FILE", 2000)
    log_lines.configure(settings(tmp_path), is_server=False)
    runner = logging.getLogger().handlers[1]
    log_lines.configure(settings(tmp_path), is_server=True)
    server = logging.getLogger().handlers[1]

    for number in range(60):
        for name, handler in (("runner", runner), ("server", server)):
            line = f"{name}-{number}"
            handler.handle(logging.LogRecord("executor", logging.INFO, "x.py", 1, line, (), None))
    runner.close()

    files = list((tmp_path / "logs").glob("executor.log*"))
    lines = [line.rpartition(" ")[2] for file in files for line in file.read_text().splitlines()]
    assert 1 < len(files) <= 1 + log_lines.OLD_FILES  # so that none was deleted
    assert sorted(lines) == sorted(
        f"{name}-{number}" for name in ("runner", "server") for number in range(60)
    )


def test_json_lines_hold_no_key_and_no_line_break(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_lines.configure(settings(tmp_path, VULSWEB_LOG_FORMAT="json"), [KEY], is_server=True)
    logging.getLogger("executor").warning("given: %s\n%s", KEY, "second line")

    (line,) = capsys.readouterr().out.splitlines()
    fields = json.loads(line)
    assert fields["message"] == "given: ********\nsecond line"
    assert (fields["level"], fields["process"], fields["logger"]) == ("WARNING", "executor", "executor")
    assert (tmp_path / "logs" / "executor.log").read_text().strip() == line


def test_a_runner_gets_the_same_settings(tmp_path: Path) -> None:
    ours = settings(tmp_path, VULSWEB_LOG_FORMAT="json")

    assert config.settings(ours.for_runner()).log_file == ours.log_file
    assert config.settings(ours.for_runner()).log_format == "json"


def test_a_folder_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_lines.configure(settings(tmp_path, EXECUTOR_LOG_FILE="/dev/null/x.log"), is_server=True)
    logging.getLogger("executor").warning("still here")

    output = capsys.readouterr()
    assert "still here" in output.out
    assert output.err.startswith("The log file /dev/null/x.log cannot be written:")
