"""The file that names the executors, and whose a host is."""

from pathlib import Path

import pytest

from vulsweb import config
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import ExecutorClient, ExecutorClients, ExecutorError, ExecutorUnavailable
from vulsweb.executors.settings import Executor

KEY = "k" * 32
GOOD = '[dmz]\nurl = "https://dmz.example:8443"\napi_key_file = "dmz.key"\ntags = ["dmz", "lab"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "dmz.key").write_text(f"{KEY}\n")
    (tmp_path / "short.key").write_text("short")
    path = tmp_path / "executors.toml"
    path.write_text(GOOD)
    return path


def test_an_executor_is_read_with_its_key_and_tags(file: Path) -> None:
    assert executor_settings.read(file) == (Executor("dmz", "https://dmz.example:8443", KEY, ("dmz", "lab")),)


def test_an_executor_may_have_a_certificate_of_our_own(file: Path) -> None:
    (file.parent / "ca.pem").touch()
    file.write_text(f'{GOOD}ca_bundle = "ca.pem"\n')

    assert executor_settings.read(file)[0].ca_bundle == file.parent / "ca.pem"


def test_an_empty_file_names_none(file: Path) -> None:
    file.write_text("")

    assert executor_settings.read(file) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("[dmz]", "[main]"), r"\[main\]: a name has small letters"),
        (GOOD.replace("[dmz]", '["../x"]'), "a name has small letters"),
        (GOOD.replace("https://", "ftp://"), r"\[dmz\]: url is like https://"),
        (GOOD.replace("example:8443", "example/path"), "url is like"),
        (GOOD.replace("dmz.example", "user:word@dmz.example"), "url is like"),
        (GOOD.replace('["dmz", "lab"]', "[]"), "tags is a list of one tag at least"),
        (GOOD.replace('["dmz", "lab"]', '"dmz"'), "tags is a list"),
        (GOOD.replace("dmz.key", "short.key"), "less than 32 characters"),
        (GOOD.replace("dmz.key", "none.key"), "api_key_file cannot be read"),
        (GOOD.replace('"dmz.key"', "3"), "api_key_file is the path of a file"),
        (GOOD.replace("api_key_file", "api_key"), "and nothing else"),
        (f'{GOOD}ca_bundle = "none.pem"\n', "ca_bundle names a file that is not there"),
        ("dmz = 3\n", "and nothing else"),
        ("[dmz\n", "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)

    with pytest.raises(executor_settings.ExecutorsError, match=said) as refused:
        executor_settings.read(file)

    assert str(file) in str(refused.value)
    assert KEY not in str(refused.value)


def test_the_settings_name_the_main_executor_first(file: Path) -> None:
    environ = {
        "EXECUTOR_URL": "http://127.0.0.1:8001",
        "EXECUTOR_API_KEY": KEY,
        "VULSWEB_EXECUTORS_FILE": str(file),
    }

    assert [executor.name for executor in config.executors(environ)] == ["main", "dmz"]
    file.write_text("[dmz\n")
    with pytest.raises(config.ConfigError, match=r"VULSWEB_EXECUTORS_FILE: .* cannot be read"):
        config.executors(environ)


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ([], "main"),
        (["web"], "main"),
        (["web", "lab"], "dmz"),
        (["lab", "office"], "dmz"),  # both claim it: the first in the file has it
        (["office"], "office"),
    ],
)
def test_a_host_is_the_first_executors_that_claims_one_of_its_tags(tags: list[str], name: str) -> None:
    known = [
        Executor("main", "http://a", KEY),
        Executor("dmz", "http://b", KEY, ("dmz", "lab")),
        Executor("office", "http://c", KEY, ("office",)),
    ]

    assert executor_settings.for_tags(known, tags).name == name


def test_a_key_is_never_part_of_what_is_printed() -> None:
    assert KEY not in repr(Executor("main", "http://a", KEY))


def test_one_that_did_not_answer_is_not_asked_again_by_the_same_worker_function() -> None:
    asked: list[str] = []

    def question(client: ExecutorClient) -> None:
        asked.append(name)
        client.health()

    known = [Executor("main", "http://127.0.0.1:1", KEY), Executor("dmz", "http://127.0.0.1:1", KEY, ("d",))]
    with ExecutorClients(known) as clients:
        for name in ("main", "main", "dmz", "main", "dmz"):
            with pytest.raises(ExecutorUnavailable, match="does not answer"):
                clients.ask(name, question)

    assert asked == ["main", "dmz"]


def test_an_executor_that_is_not_in_the_settings_cannot_be_asked() -> None:
    with ExecutorClients([]) as clients, pytest.raises(ExecutorError, match="gone is not in the settings"):
        clients.ask("gone", lambda client: client.health())
