import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from executor import config
from executor.engines import Command, Outcome
from executor.engines.local import LocalEngine
from executor.errors import CancelledError, ToolMissingError, ToolTimeoutError
from tests.executor.callers import KEY, until
from tests.executor.fakes import FakeTools
from tests.executor.processes import is_alive
from tests.support.waiting import patience

Run = Callable[..., Outcome]


@pytest.fixture
def engine(variables: dict[str, str]) -> LocalEngine:
    return LocalEngine(config.settings(variables))


@pytest.fixture
def said() -> list[bytes]:
    """The output of the tool, piece by piece."""
    return []


@pytest.fixture
def run(engine: LocalEngine, fakes: FakeTools, tmp_path: Path, said: list[bytes]) -> Run:
    folder = tmp_path / "work"
    folder.mkdir()

    def run_script(
        text: str,
        *,
        check: Callable[[], None] = lambda: None,
        timeout_seconds: int = 20,
        engine: LocalEngine = engine,
    ) -> Outcome:
        fakes.write("vuls", text)
        command = Command("vuls", ("scan", "a b", "$(x)"), timeout_seconds)
        return engine.run(command, job_id="job", folder=folder, write=said.append, check=check)

    return run_script


def family(folder: Path) -> list[int]:
    return [int(word) for word in (folder / "work" / "family").read_text().split()]


# A parent and a child that both ignore TERM and write their process ids.
STUBBORN = """#!/bin/sh
trap '' TERM
sleep 600 &
echo $$ $! > family.new
mv family.new family
while :; do sleep 1; done
"""


def cancel_once_it_runs(folder: Path) -> Callable[[], None]:
    def check() -> None:
        if (folder / "work" / "family").exists():
            raise CancelledError

    return check


def test_arguments_reach_the_tool_unchanged(run: Run, said: list[bytes]) -> None:
    outcome = run('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')

    assert b"".join(said) == b"scan|a b|$(x)|"
    assert outcome == Outcome(7, b"scan|a b|$(x)|")


def test_a_tool_sees_little_of_the_environment_and_no_key(
    run: Run, said: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTOR_API_KEY", KEY)
    monkeypatch.setenv("GOSTDB_SQLITE3_PATH", "/elsewhere")

    run("#!/bin/sh\nenv\n")

    names = {line.partition("=")[0] for line in b"".join(said).decode().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"HOME", "PATH", "LANG"}


def test_proxy_and_certificate_authorities_are_passed_on(variables: dict[str, str]) -> None:
    engine = LocalEngine(
        config.settings({**variables, "EXECUTOR_HTTPS_PROXY": "http://p:1", "EXECUTOR_CA_BUNDLE": "/ca.pem"})
    )

    environment = engine.environment(Command("gost", (), 1), Path("/"))

    assert (
        environment["HTTPS_PROXY"] == environment["HTTP_PROXY"] == environment["HTTP-PROXY"] == "http://p:1"
    )
    assert environment["SSL_CERT_FILE"] == "/ca.pem"
    assert "127.0.0.1" in environment["NO_PROXY"]


def test_cancelling_ends_the_whole_group_even_if_it_ignores_term(run: Run, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        run(STUBBORN, check=cancel_once_it_runs(tmp_path))

    until(lambda: not any(map(is_alive, family(tmp_path))))


def test_a_cancelled_tool_may_clean_up(
    run: Run, variables: dict[str, str], tmp_path: Path, said: list[bytes]
) -> None:
    variables["EXECUTOR_KILL_GRACE_SECONDS"] = str(round(patience(10)))
    patient = LocalEngine(config.settings(variables))
    script = "#!/bin/sh\ntrap 'echo tidied; exit 1' TERM\necho $$ > family\nwhile :; do sleep 0.1; done\n"

    with pytest.raises(CancelledError):
        run(script, check=cancel_once_it_runs(tmp_path), engine=patient)

    assert b"tidied" in b"".join(said)


def test_a_tool_that_takes_too_long_is_ended(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ToolTimeoutError, match="vuls did not end within 1 seconds"):
        run(STUBBORN, timeout_seconds=1)

    until(lambda: not any(map(is_alive, family(tmp_path))))


def test_child_processes_end_with_their_tool(run: Run, tmp_path: Path) -> None:
    outcome = run("#!/bin/sh\nsleep 600 &\necho $! > family\necho done\n")

    assert outcome.exit_code == 0
    until(lambda: not any(map(is_alive, family(tmp_path))))


def test_a_process_that_left_the_group_with_the_output_open_delays_nothing(run: Run, tmp_path: Path) -> None:
    run(
        "#!/bin/sh\nsetsid sh -c 'echo $$ > family; exec sleep 600' &\n"
        "until [ -s family ]; do sleep 0.01; done\n"
    )
    outcome = run("#!/bin/sh\necho again\n")

    assert outcome.tail == b"again\n"
    (escaped,) = family(tmp_path)
    assert is_alive(escaped)
    os.kill(escaped, signal.SIGKILL)


def test_a_tool_that_closes_its_output_is_still_waited_for(run: Run) -> None:
    outcome = run("#!/bin/sh\nexec >&- 2>&-\nsleep 0.3\nexit 3\n")

    assert outcome.exit_code == 3


def test_hostile_bytes_are_passed_on_unchanged(run: Run, said: list[bytes]) -> None:
    run("#!/bin/sh\nprintf '\\000\\377\\033[31mred\\303'\n")

    assert b"".join(said) == b"\0\xff\x1b[31mred\xc3"


def test_a_crash_gives_a_negative_signal_number(run: Run) -> None:
    outcome = run("#!/bin/sh\nkill -SEGV $$\n")

    assert outcome.exit_code == -11


def test_a_missing_tool_is_named_and_the_fix_too(engine: LocalEngine, tmp_path: Path) -> None:
    command = Command("vuls", ("scan",), 5)

    with pytest.raises(ToolMissingError, match=r"vuls was not found.*`make tools`.*VULSWEB_TOOLS_DIR"):
        engine.run(
            command,
            job_id="job",
            folder=tmp_path,
            write=lambda _: None,
            check=lambda: None,
        )


def test_a_tool_that_cannot_be_started_is_named(run: Run) -> None:
    with pytest.raises(ToolMissingError, match="vuls could not be started"):
        run("#!/no/such/interpreter\n")


def test_the_process_number_of_an_ended_tool_is_never_signalled(engine: LocalEngine, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as innocent:
        (tmp_path / "tool.lock").write_text(str(innocent.pid))

        engine.end_leftovers("job", tmp_path)

        time.sleep(0.1)
        assert innocent.poll() is None
        innocent.kill()


def test_health_shows_the_versions_that_the_build_wrote(engine: LocalEngine, fakes: FakeTools) -> None:
    fakes.write("vuls", "#!/bin/sh\n")
    fakes.write("gost", "#!/bin/sh\n")
    (fakes.folder / "versions.json").write_text(json.dumps({"vuls": "v0.26.0", "gost": 4}))

    tools = engine.tools()

    assert tools["vuls"] == {"path": str(fakes.folder / "vuls"), "version": "v0.26.0"}
    assert tools["gost"] == {"path": str(fakes.folder / "gost"), "version": None}
    assert tools["goval-dictionary"] is None


def test_a_tool_on_the_search_path_is_found(variables: dict[str, str], tmp_path: Path) -> None:
    elsewhere = FakeTools(tmp_path / "elsewhere")
    elsewhere.write("vuls", "#!/bin/sh\n")

    engine = LocalEngine(config.settings({**variables, "PATH": str(elsewhere.folder)}))

    assert engine.find("vuls") == elsewhere.folder / "vuls"
