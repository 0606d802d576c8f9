"""The file of executors, and the executor of each host."""

from pathlib import Path

import pytest

from vulsweb import config
from vulsweb.executors import settings as executor_settings
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


def test_an_executor_may_have_a_ca_bundle(file: Path) -> None:
    (file.parent / "ca.pem").touch()
    file.write_text(f'{GOOD}ca_bundle = "ca.pem"\n')

    assert executor_settings.read(file)[0].ca_bundle == file.parent / "ca.pem"


def test_an_empty_file_has_no_executors(file: Path) -> None:
    file.write_text("")

    assert executor_settings.read(file) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("[dmz]", "[main]"), r"\[main\]: a name has only lowercase letters"),
        (GOOD.replace("[dmz]", '["../x"]'), "a name has only lowercase letters"),
        (GOOD.replace("https://", "ftp://"), r"\[dmz\]: url must be like https://"),
        (GOOD.replace("example:8443", "example/path"), "url must be like"),
        (GOOD.replace("dmz.example", "user:word@dmz.example"), "url must be like"),
        (GOOD.replace('["dmz", "lab"]', "[]"), "tags must be a list of at least one host tag"),
        (GOOD.replace('["dmz", "lab"]', '"dmz"'), "tags must be a list"),
        (GOOD.replace("dmz.key", "short.key"), "fewer than 32 characters"),
        (GOOD.replace("dmz.key", "none.key"), "api_key_file cannot be read"),
        (GOOD.replace('"dmz.key"', "3"), "api_key_file must be the path of a file"),
        (GOOD.replace("api_key_file", "api_key"), "use only the settings url"),
        (f'{GOOD}ca_bundle = "none.pem"\n', "ca_bundle names a file that does not exist"),
        ("dmz = 3\n", "use only the settings url"),
        ("[dmz\n", "cannot be read"),
    ],
)
def test_an_error_in_the_file_is_reported_with_its_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)

    with pytest.raises(executor_settings.ExecutorsError, match=said) as refused:
        executor_settings.read(file)

    assert str(file) in str(refused.value)
    assert KEY not in str(refused.value)


def test_the_main_executor_comes_first(file: Path) -> None:
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
        (["lab", "office"], "dmz"),  # both have a tag: the first in the file wins
        (["office"], "office"),
    ],
)
def test_a_host_belongs_to_the_first_executor_with_one_of_its_tags(tags: list[str], name: str) -> None:
    executors = [
        Executor("main", "http://a", KEY),
        Executor("dmz", "http://b", KEY, ("dmz", "lab")),
        Executor("office", "http://c", KEY, ("office",)),
    ]

    assert executor_settings.for_tags(executors, tags).name == name


def test_a_key_is_never_printed() -> None:
    assert KEY not in repr(Executor("main", "http://a", KEY))
