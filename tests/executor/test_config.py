import re
from pathlib import Path

import pytest

from executor import config
from executor.application import create_app
from tests.executor.callers import KEY

DOCKER = {
    "EXECUTOR_ENGINE": "docker",
    "EXECUTOR_WORK_DIR": "/data/jobs",
    "EXECUTOR_DATABASES_DIR": "/data/databases",
    "EXECUTOR_JOBS_VOLUME": "jobs",
    "EXECUTOR_DATABASES_VOLUME": "databases",
}


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
        ({"EXECUTOR_ENGINE": "podman"}, "EXECUTOR_ENGINE is 'podman'; write local or docker"),
        ({"EXECUTOR_PROFILE": "new"}, "EXECUTOR_PROFILE is 'new'; write classic or current"),
        ({**DOCKER, "EXECUTOR_WORK_DIR": ""}, "EXECUTOR_WORK_DIR is not set"),
        ({**DOCKER, "EXECUTOR_JOBS_VOLUME": ""}, "EXECUTOR_JOBS_VOLUME is not set"),
        ({**DOCKER, "EXECUTOR_SSH_VOLUME": "ssh"}, "go together"),
        ({**DOCKER, "EXECUTOR_DOCKER_MEMORY": "much"}, "write a size such as 512m"),
        ({**DOCKER, "EXECUTOR_DOCKER_CPUS": "0"}, "write a number such as 1 or 0.5"),
        ({**DOCKER, "EXECUTOR_DOCKER_USER": "root"}, "the numbers of a user and a group"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_message(
    variables: dict[str, str], changed: dict[str, str], word: str
) -> None:
    with pytest.raises(config.ConfigError, match=word):
        create_app({**variables, **changed})


def test_a_file_may_hold_the_old_and_the_new_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{'a' * 32}\n{'b' * 32}\n")

    keys = config.api_keys({"EXECUTOR_API_KEY_FILE": str(file)})

    assert keys == (b"a" * 32, b"b" * 32)


def test_a_runners_environment_gives_the_same_settings_without_the_key(
    variables: dict[str, str],
) -> None:
    settings = config.settings({**variables, "EXECUTOR_CA_BUNDLE": "/ca.pem", "EXECUTOR_MAX_JOBS": "5"})

    passed = settings.for_runner()

    assert config.settings(passed) == settings
    assert not any("KEY" in name or KEY in value for name, value in passed.items())


def test_relative_paths_become_absolute_as_vuls_needs_them(variables: dict[str, str]) -> None:
    settings = config.settings({**variables, "EXECUTOR_DATA_DIR": "data"})

    assert settings.data_dir == Path.cwd() / "data"


def test_a_runners_environment_gives_the_same_docker_settings(variables: dict[str, str]) -> None:
    given = {
        **variables,
        **DOCKER,
        "EXECUTOR_PROFILE": "current",
        "EXECUTOR_DOCKER_CPUS": "0.5",
        "DOCKER_HOST": "tcp://proxy:2375",
    }

    settings = config.settings(given)

    assert config.settings(settings.for_runner()) == settings


def test_the_images_have_the_versions_of_the_tools_that_are_built() -> None:
    tools = Path(config.__file__).parent / "tools"
    modules = {tool: (tools / tool / "go.mod").read_text() for tool in config.IMAGES["classic"]}

    built = {
        tool: re.findall(rf"^require github.com/[a-z-]+/{tool} (v\S+)$", module, re.MULTILINE)
        for tool, module in modules.items()
    }

    # v0.12.1 is v0.12.0 with git in its image.
    assert built.pop("go-cve-dictionary") == ["v0.12.0"]
    assert built == {
        tool: [image.rpartition(":")[2]]
        for tool, image in config.IMAGES["classic"].items()
        if tool != "go-cve-dictionary"
    }
