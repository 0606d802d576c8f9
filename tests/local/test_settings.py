from pathlib import Path

import pytest

from vulsweb.local import settings
from vulsweb.local.errors import StackError


def test_nothing_needs_to_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    found = settings.read({})

    assert (found.host, found.port, found.data_dir) == ("127.0.0.1", 8000, tmp_path / "data")
    assert (found.admin_password, found.database_url, found.redis_url) == (None, None, None)


@pytest.mark.parametrize("word", ["eighty", "0", "65536", "-1", "80.0", "٨٠"])
def test_a_bad_port_is_one_sentence(word: str) -> None:
    with pytest.raises(StackError) as caught:
        settings.read({"VULSWEB_PORT": word})

    assert str(caught.value) == f"VULSWEB_PORT is {word!r}; write a number from 1 to 65535."


def test_a_bad_path_of_the_site_is_one_sentence() -> None:
    with pytest.raises(StackError, match="write a path such as /vuls"):
        settings.read({"VULSWEB_ROOT_PATH": "vuls"})


def test_other_programs_get_neither_secrets_nor_the_executors_proxy() -> None:
    environ = {
        "EXECUTOR_HTTPS_PROXY": "http://127.0.0.1:1",
        "EXECUTOR_CA_BUNDLE": "/ca.pem",
        "EXECUTOR_API_KEY": "k",
        "SECRET_KEY": "s",
        "DATABASE_URL": "postgresql://",
        "REDIS_URL": "redis://",
        "SECRET_KEY_FILE": "/secret",
        "VULSWEB_ADMIN_PASSWORD": "p",
        "VULSWEB_HTTPS": "yes",
    }

    found = settings.read(environ)

    assert found.shared == {"VULSWEB_HTTPS": "yes", "VULSWEB_URL": "http://127.0.0.1:8000"}
    assert set(found.executor) == {"EXECUTOR_HTTPS_PROXY", "EXECUTOR_CA_BUNDLE", "EXECUTOR_PROFILE"}


def test_urls_of_external_servers_may_be_in_files(tmp_path: Path) -> None:
    (tmp_path / "database").write_text("postgresql://me:password@db.example/vulsweb\n")

    found = settings.read({"DATABASE_URL_FILE": str(tmp_path / "database")})

    assert found.database_url == "postgresql+psycopg2://me:password@db.example/vulsweb"
    assert found.shared.keys() == {"VULSWEB_URL"}


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"VULSWEB_HOST": "::1", "VULSWEB_PORT": "9000"}, "http://[::1]:9000"),
        ({"VULSWEB_ROOT_PATH": "/vuls/"}, "http://127.0.0.1:8000/vuls"),
        ({"VULSWEB_URL": "https://vuls.example.org"}, "https://vuls.example.org"),
    ],
)
def test_messages_lead_to_the_stack_or_to_the_proxy_before_it(environ: dict[str, str], address: str) -> None:
    assert settings.read(environ).shared["VULSWEB_URL"] == address


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="REDIS_URL_FILE cannot be read"):
        settings.read({"REDIS_URL_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("built", "fetched", "profile"),
    [
        ([], [], "classic"),
        (["vuls", "gost"], [], "classic"),
        (["current/vuls"], [], "current"),
        # What was fetched stands, whatever was built later.
        (["current/vuls"], ["gost.sqlite3"], "classic"),
        (["vuls"], ["vuls2.db"], "current"),
        (["vuls", "current/vuls"], ["vuls2.db", "oval.sqlite3"], "current"),
    ],
)
def test_the_profile_is_that_of_the_databases_or_else_of_the_tools(
    tmp_path: Path, built: list[str], fetched: list[str], profile: str
) -> None:
    files = [tmp_path / "tools" / name for name in built]
    for file in (*files, *(tmp_path / "data" / "executor" / "databases" / name for name in fetched)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    environ = {"VULSWEB_TOOLS_DIR": str(tmp_path / "tools"), "VULSWEB_DATA_DIR": str(tmp_path / "data")}

    elsewhere = {"VULSWEB_DATA_DIR": "", "EXECUTOR_DATABASES_DIR": f"{tmp_path}/data/executor/databases"}

    found = [settings.read(environ | more) for more in ({}, {"EXECUTOR_PROFILE": ""}, elsewhere)]
    chosen = settings.read({**environ, "EXECUTOR_PROFILE": "other"})

    assert [each.executor["EXECUTOR_PROFILE"] for each in found] == [profile] * 3
    assert chosen.executor["EXECUTOR_PROFILE"] == "other"
