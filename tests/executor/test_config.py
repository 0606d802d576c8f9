from pathlib import Path

import pytest

from executor import config, create_app
from tests.executor.callers import KEY


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"EXECUTOR_API_KEY": ""}, "needs a key"),
        ({"EXECUTOR_API_KEY": "short"}, "shorter than 32"),
        ({"EXECUTOR_API_KEY": f"{KEY},short"}, "shorter than 32"),
        ({"EXECUTOR_API_KEY": f"{KEY},{KEY}1,{KEY}2"}, "one key, or two"),
        ({"EXECUTOR_API_KEY": "", "EXECUTOR_API_KEY_FILE": "/no/such/file"}, "cannot be read"),
        ({"EXECUTOR_DATA_DIR": ""}, "EXECUTOR_DATA_DIR is not set"),
        ({"EXECUTOR_DATA_DIR": "/dev/null/data"}, "EXECUTOR_DATA_DIR cannot be used"),
        ({"EXECUTOR_VULS_CONFIG": ""}, "EXECUTOR_VULS_CONFIG is not set"),
        ({"EXECUTOR_MAX_JOBS": "0"}, "EXECUTOR_MAX_JOBS is '0'"),
        ({"EXECUTOR_MAX_JOBS": "two"}, "EXECUTOR_MAX_JOBS is 'two'"),
        ({"EXECUTOR_KEEP_JOBS_DAYS": "-1"}, "EXECUTOR_KEEP_JOBS_DAYS is '-1'"),
    ],
)
def test_it_refuses_to_start_with_a_sentence(
    variables: dict[str, str], changed: dict[str, str], word: str
) -> None:
    with pytest.raises(config.ConfigError, match=word):
        create_app({**variables, **changed})


def test_a_key_may_come_from_a_file_with_its_successor(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{'a' * 32}\n{'b' * 32}\n")

    keys = config.api_keys({"EXECUTOR_API_KEY_FILE": str(file)})

    assert keys == (b"a" * 32, b"b" * 32)


def test_what_a_runner_is_told_reads_back_as_the_same_settings_and_holds_no_key(
    variables: dict[str, str],
) -> None:
    settings = config.settings({**variables, "EXECUTOR_CA_BUNDLE": "/ca.pem", "EXECUTOR_MAX_JOBS": "5"})

    told = settings.for_runner()

    assert config.settings(told) == settings
    assert not any("KEY" in name or KEY in value for name, value in told.items())


def test_relative_paths_become_absolute_as_vuls_needs_them(variables: dict[str, str]) -> None:
    settings = config.settings({**variables, "EXECUTOR_DATA_DIR": "data"})

    assert settings.data_dir == Path.cwd() / "data"
