import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import sqlalchemy

from tests.local.conftest import ask, eventually
from tests.support.waiting import patience
from vulsweb.local import postgres
from vulsweb.local.children import Child, Process
from vulsweb.local.folder import open_folder
from vulsweb.local.stack import run
from vulsweb.local.valkey import free_port

StartSmallStack = Callable[[dict[str, str]], "subprocess.Popen[str]"]


def urls(stack: "subprocess.Popen[str]") -> dict[str, str]:
    assert stack.stdout is not None
    answer: dict[str, str] = json.loads(stack.stdout.readline())
    return answer


def test_a_port_in_use_is_one_sentence(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = run({"VULSWEB_DATA_DIR": str(place / "data"), "VULSWEB_PORT": str(port)})

    assert code == 1
    assert capfd.readouterr() == ("", f"Port {port} on 127.0.0.1 is in use; set VULSWEB_PORT to another.\n")
    assert not (place / "data" / "postgres").exists()


def test_an_address_of_another_machine_is_one_sentence(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run({"VULSWEB_DATA_DIR": str(place / "data"), "VULSWEB_HOST": "192.0.2.1"})

    assert code == 1
    assert capfd.readouterr().err == "'192.0.2.1' is not an address of this machine; change VULSWEB_HOST.\n"


def test_a_folder_in_use_is_one_sentence(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_folder(place):
        code = run({"VULSWEB_DATA_DIR": str(place)})

    assert code == 1
    assert capfd.readouterr().err.startswith(f"Process {os.getpid()} already runs Vuls Web on {place};")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql+psycopg2://nobody@127.0.0.1:1/none"),
        ("DATABASE_URL", "nonsense"),
        ("REDIS_URL", "redis://127.0.0.1:1/0"),
        ("REDIS_URL", "nonsense"),
    ],
)
def test_an_external_server_that_does_not_answer_is_one_sentence(
    name: str, url: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run({"VULSWEB_DATA_DIR": str(place / "data"), "VULSWEB_PORT": str(free_port()), name: url})

    assert code == 1
    output = capfd.readouterr().err
    assert output.startswith(f"The server in {name} does not answer: ")
    assert output.count("\n") == 1


def test_an_external_database_is_used_and_none_is_started(
    place: Path, start_small_stack: StartSmallStack
) -> None:
    with postgres(place / "elsewhere", durable=False) as url:
        stack = start_small_stack({"VULSWEB_DATA_DIR": str(place / "data"), "DATABASE_URL": url})
        found = urls(stack)
        names = [process.name() for process in psutil.Process(stack.pid).children()]

    assert found["database"] == url
    assert names == ["valkey-server"]
    assert not (place / "data" / "postgres").exists()


def test_a_stopped_stack_exits_with_0_and_leaves_no_processes(
    place: Path, start_small_stack: StartSmallStack
) -> None:
    stack = start_small_stack({"VULSWEB_DATA_DIR": str(place / "data")})
    urls(stack)
    family = psutil.Process(stack.pid).children(recursive=True)

    stack.terminate()
    rest, _ = stack.communicate(timeout=patience(60))

    assert (stack.returncode, rest) == (0, "Stopping.\n")
    assert not any(process.is_running() for process in family)


def names_of(processes: Iterable[psutil.Process]) -> set[str]:
    names = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # PostgreSQL starts some that live for a moment
            names.add(process.name())
    return names


def test_no_child_outlives_a_supervisor_that_is_killed(
    place: Path, start_small_stack: StartSmallStack
) -> None:
    stack = start_small_stack({"VULSWEB_DATA_DIR": str(place / "data")})
    urls(stack)
    family = psutil.Process(stack.pid).children(recursive=True)
    assert {"postgres", "valkey-server"} <= names_of(family)

    stack.kill()

    assert eventually(lambda: not any(process.is_running() for process in family))


def test_a_child_holds_the_data_folder_until_it_ends(
    place: Path, python_child: Callable[..., Child], tmp_path: Path
) -> None:
    with open_folder(place / "data") as folder:
        slow = python_child("slow", "import time; time.sleep(1)")
        process = Process(slow, tmp_path / "slow.log", [folder.children_lock.fileno()])

    with open_folder(place / "data"):
        assert process.exit_code() == 0


def test_a_start_right_after_a_kill_loses_no_data(place: Path, start_small_stack: StartSmallStack) -> None:
    environ = {"VULSWEB_DATA_DIR": str(place / "data")}
    stack = start_small_stack(environ)
    ask(urls(stack)["database"], "CREATE TABLE hosts AS SELECT 'web01' AS name")
    stack.kill()

    again = start_small_stack(environ)

    assert ask(urls(again)["database"], "SELECT name FROM hosts") == "web01"


def test_a_database_server_that_is_killed_comes_back_with_its_rows(
    place: Path, start_small_stack: StartSmallStack
) -> None:
    stack = start_small_stack({"VULSWEB_DATA_DIR": str(place / "data")})
    url = urls(stack)["database"]
    ask(url, "CREATE TABLE hosts AS SELECT 'web01' AS name")
    server = next(item for item in psutil.Process(stack.pid).children() if item.name() == "postgres")

    server.kill()
    assert stack.stdout is not None
    output = stack.stdout.readline()

    assert output == "postgres ended with signal SIGKILL; restarted (1 of 3 this minute).\n"
    assert eventually(lambda: answers(url))
    assert ask(url, "SELECT name FROM hosts") == "web01"


def answers(url: str) -> bool:
    try:
        return ask(url, "SELECT 1") == 1
    except sqlalchemy.exc.OperationalError:
        return False
