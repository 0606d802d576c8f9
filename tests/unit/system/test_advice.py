"""What advice names exists: containers, files, settings, commands."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from executor.engines import docker as executor_docker
from tests.conftest import NOW, executors_at
from vulsweb import cli
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.system import executor_checks, service_checks
from vulsweb.system.checks import Check, NoAnswer
from vulsweb.system.executor_checks import Database, Health, Tool
from vulsweb.vuls.catalogue import DatabaseType

ROOT = Path(__file__).parents[3]
AWAY = NoAnswer("Connection refused")
OTHER = Executor("dmz", "https://dmz", "key", tags=("dmz",))
DATABASE = Database(DatabaseType.NVD, rows=1, fetched_at=NOW, old=True)


def health(**differences: object) -> Health:
    disk = {"free_bytes": 0, "total_bytes": 1}
    machine = {"load": 1, "cpus": 1, "memory_free_bytes": 0, "memory_total_bytes": 100}
    given: dict[str, object] = {"tools": (Tool("vuls", False, None),), "databases": (), "disk": disk}
    return Health(**{"engine": "local", "machine": machine} | given | differences)  # type: ignore[arg-type]


def everything_amiss() -> list[Check]:
    (main,) = executors_at("http://executor")
    assert main.name == MAIN
    late = service_checks.PostgresqlInfo("17", NOW - timedelta(hours=1), timedelta(minutes=1))
    return [
        service_checks.worker_check(AWAY),
        service_checks.beat_check(AWAY, NOW),
        service_checks.beat_check(late, NOW),
        service_checks.redis_check(AWAY),
        service_checks.postgresql_check(AWAY),
        service_checks.postgresql_check(late),
        *(
            check
            for executor in (main, OTHER)
            for answer in (
                AWAY,
                NoAnswer("403", refused=True),
                health(),
                health(databases=(DATABASE,)),
                health(docker=f"Docker does not answer at tcp://proxy. {executor_docker.DAEMON_ADVICE}"),
                health(docker=f"The proxy cannot reach Docker. {executor_docker.PROXY_ADVICE}"),
            )
            for check in executor_checks.executor_checks(answer, executor)
        ),
    ]


@pytest.fixture(scope="module")
def advice() -> str:
    return " ".join(sentence for check in everything_amiss() for sentence in check.advice)


def test_settings_in_advice_are_in_the_list_of_settings(advice: str) -> None:
    settings = (ROOT / "docs" / "operations" / "settings.md").read_text()
    named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", advice))

    assert {"EXECUTOR_API_KEY", "DATABASE_URL", "DOCKER_GID"} <= named
    assert [name for name in named if f"`{name}`" not in settings] == []


def test_containers_services_and_secrets_in_advice_are_in_the_compose_file(advice: str) -> None:
    compose = (ROOT / "docker-compose.yml").read_text()

    (container,) = set(re.findall(r"`docker logs ([\w-]+)`", advice))
    assert f"container_name: ${{VULSWEB_EXECUTOR_CONTAINER:-{container}}}\n" in compose
    assert "vuls-executor" in container
    (service,) = set(re.findall(r"`deploy/compose ps ([\w-]+)`", advice))
    assert f"\n  {service}:\n" in compose
    files = set(
        re.findall(r"\b([a-z_]+)(?= and executor_api_keys in the secrets| in the secrets folder)", advice)
    )
    assert files == {"executor_api_key", "executor_api_keys", "redis_url", "database_url"}
    assert [name for name in files if f"{name}: {{file: " not in compose] == []


def test_commands_in_advice_exist(advice: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = {command.name for command in cli.COMMANDS}

    assert set(re.findall(r"\bmake ([a-z-]+)", advice)) <= targets
    assert set(re.findall(r"`vulsweb ([a-z-]+)", advice)) <= commands
    assert "make up" in advice
    assert "`vulsweb prepare`" in advice
