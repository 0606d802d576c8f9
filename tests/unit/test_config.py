"""Settings from the environment."""

from pathlib import Path

import pytest

from vulsweb import config

COMPLETE = {
    "SECRET_KEY": "s" * 32,
    "EXECUTOR_API_KEY": "k" * 32,
    "DATABASE_URL": "postgresql://",
    "REDIS_URL": "redis://127.0.0.1",
    "EXECUTOR_URL": "http://127.0.0.1:8001",
    "VULSWEB_VULS_CONFIG": "config.toml",
}


def test_a_complete_environment_is_enough() -> None:
    settings = config.from_environment(COMPLETE)

    assert settings["SECRET_KEY"] == "s" * 32
    assert settings["SESSION_COOKIE_SECURE"] is False


@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_a_missing_setting_is_an_error(name: str) -> None:
    with pytest.raises(config.ConfigError, match=name):
        config.from_environment({key: value for key, value in COMPLETE.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("EXECUTOR_API_KEY", "short"),
        ("VULSWEB_HTTPS", "true"),
        ("VULSWEB_RUN_TIMEOUT_HOURS", "0"),
        ("VULSWEB_RUN_TIMEOUT_HOURS", "a day"),
        ("VULSWEB_KEEP_RUNS_DAYS", "0"),
        ("VULSWEB_IDLE_MINUTES", "never"),
    ],
)
def test_a_wrong_value_stops_the_program_and_is_named(name: str, value: str) -> None:
    with pytest.raises(config.ConfigError, match=name):
        config.from_environment(COMPLETE | {name: value})


def test_the_names_of_this_machine_are_always_among_the_trusted() -> None:
    trusted = config.from_environment(COMPLETE | {"VULSWEB_TRUSTED_HOSTS": "a.example .b.example"})

    assert trusted["TRUSTED_HOSTS"] == ["a.example", ".b.example", "localhost", "127.0.0.1", "::1"]
    assert config.from_environment(COMPLETE)["TRUSTED_HOSTS"] is None


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("f" * 40 + "\n")
    given = {**COMPLETE, "SECRET_KEY": "", "SECRET_KEY_FILE": str(tmp_path / "key")}

    assert config.from_environment(given)["SECRET_KEY"] == "f" * 40


@pytest.mark.parametrize(
    ("name", "setting"), [("DATABASE_URL", "SQLALCHEMY_DATABASE_URI"), ("REDIS_URL", "REDIS_URL")]
)
def test_an_address_with_a_password_may_come_from_a_file(name: str, setting: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("scheme://:password@server/0\n")
    given = {key: value for key, value in COMPLETE.items() if key != name}

    settings = config.from_environment(given | {f"{name}_FILE": str(tmp_path / "url")})

    assert settings[setting] == "scheme://:password@server/0"


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="SECRET_KEY_FILE cannot be read"):
        config.from_environment(COMPLETE | {"SECRET_KEY_FILE": str(tmp_path / "none")})


def test_a_command_finds_the_stack_that_runs_on_its_data_folder(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / config.STACK_FILE).write_text('{"DATABASE_URL": "theirs", "REDIS_URL": "theirs"}')
    here = {"VULSWEB_DATA_DIR": str(tmp_path), "REDIS_URL": "mine"}

    found = config.with_running_stack(here)
    named = config.with_running_stack(here | {"DATABASE_URL": "mine"})
    filed = config.with_running_stack(here | {"DATABASE_URL_FILE": "mine"})

    assert (found["DATABASE_URL"], found["REDIS_URL"]) == ("theirs", "mine")
    assert named["DATABASE_URL"] == "mine"
    assert "DATABASE_URL" not in filed


def test_without_a_running_stack_the_environment_is_used_unchanged(tmp_path: Path) -> None:
    assert config.with_running_stack({"VULSWEB_DATA_DIR": str(tmp_path)}) == {
        "VULSWEB_DATA_DIR": str(tmp_path)
    }


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_database_url_need_not_name_the_driver(scheme: str) -> None:
    settings = config.from_environment(COMPLETE | {"DATABASE_URL": f"{scheme}://me@db.example/vulsweb"})

    assert settings["SQLALCHEMY_DATABASE_URI"] == "postgresql+psycopg2://me@db.example/vulsweb"


def test_the_ssh_folder_is_beside_config_toml_by_default() -> None:
    beside = config.from_environment(COMPLETE | {"VULSWEB_VULS_CONFIG": "/data/config/config.toml"})
    elsewhere = config.from_environment(COMPLETE | {"VULSWEB_SSH_DIR": "/ssh"})

    assert beside["SSH_FOLDER"] == Path("/data/config/ssh")
    assert elsewhere["SSH_FOLDER"] == Path("/ssh")


@pytest.mark.parametrize("name", ["VULSWEB_URL", "VULSWEB_PING_URL"])
@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("https://vuls.example.org", True),
        ("http://[::1]:8000/path", True),
        ("https://hc-ping.com/0000?x=1", True),
        ("vuls.example.org", False),
        ("javascript:alert(1)", False),
        ("ftp://example.org", False),
        ("https://a b", False),
        ("https://a#b", False),
    ],
)
def test_a_web_address_is_checked_and_never_repeated_in_the_error(name: str, value: str, valid: bool) -> None:
    if valid:
        config.from_environment(COMPLETE | {name: value})
        return
    with pytest.raises(config.ConfigError) as refused:
        config.from_environment(COMPLETE | {name: value})

    assert str(refused.value) == f"{name} is not an address like https://vuls.example.org."
