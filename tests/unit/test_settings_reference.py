"""The reference of settings names every setting that the code and the Compose files read."""

import re
from pathlib import Path

import pytest

from executor.config import IMAGES, image_variable

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "operations" / "settings.md").read_text()
NAMES = set(re.findall(r"`[A-Z_]+`", REFERENCE))
IN_CODE = re.compile(r'"((?:VULSWEB|EXECUTOR|DOCKER)_[A-Z_]*[A-Z]|DATABASE_URL|REDIS_URL|SECRET_KEY)"')
IN_COMPOSE = re.compile(r"\$\{([A-Z_]+)")


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("vulsweb/config.py", IN_CODE),
        ("vulsweb/local/settings.py", IN_CODE),
        ("executor/config.py", IN_CODE),
        ("docker-compose.yml", IN_COMPOSE),
        ("docker-compose.zone.yml", IN_COMPOSE),
    ],
)
def test_every_setting_is_in_the_reference(file: str, names: re.Pattern[str]) -> None:
    settings = set(names.findall((ROOT / file).read_text()))
    # The page says once for all secrets that `_FILE` may follow the name.
    known = {name for name in settings if {f"`{name}`", f"`{name.removesuffix('_FILE')}`"} & NAMES}

    assert settings
    assert settings - known == set()


def test_every_image_of_a_tool_is_in_the_reference() -> None:
    tools = {tool for images in IMAGES.values() for tool in images}

    assert {f"`{image_variable(tool)}`" for tool in tools} <= NAMES
