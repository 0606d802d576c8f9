"""The health of the whole system. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from vulsweb.executors.settings import Executor
from vulsweb.system import service_checks
from vulsweb.system.checks import Check, State, ask_all
from vulsweb.system.executor_checks import Database, Health, Tool, ask_executor, executor_checks


@dataclass(frozen=True)
class ExecutorStatus:
    """One executor, its tools and databases (none without an answer)."""

    name: str
    tags: tuple[str, ...]
    state: State
    tools: tuple[Tool, ...] = ()
    databases: tuple[Database, ...] = ()


@dataclass(frozen=True)
class System:
    """The state of all components at one moment."""

    checks: tuple[Check, ...]
    executors: tuple[ExecutorStatus, ...]  # the main one first

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Return the main executor's tools."""
        return self.executors[0].tools if self.executors else ()

    @property
    def databases(self) -> tuple[Database, ...]:
        """Return the main executor's databases."""
        return self.executors[0].databases if self.executors else ()

    @property
    def state(self) -> State:
        """Return the worst state of all checks."""
        return max((check.state for check in self.checks), key=list(State).index)


def read(config: Mapping[str, Any], now: datetime) -> System:
    """Check all components at once; takes about two seconds at most."""
    executors: Sequence[Executor] = config["EXECUTORS"]
    postgresql, redis, *healths = ask_all(
        partial(service_checks.ask_postgresql, config["SQLALCHEMY_DATABASE_URI"]),
        partial(service_checks.ask_redis, config["REDIS_URL"]),
        *(partial(ask_executor, executor, now) for executor in executors),
    )
    checks = [
        service_checks.worker_check(redis),
        service_checks.beat_check(postgresql, now),
        service_checks.redis_check(redis),
        service_checks.postgresql_check(postgresql),
    ]
    statuses = []
    for executor, health in zip(executors, healths, strict=True):
        checks += executor_checks(health, executor)
        if isinstance(health, Health):
            about = (State.OK, health.tools, health.profile_databases)
            statuses.append(ExecutorStatus(executor.name, executor.tags, *about))
        else:
            statuses.append(ExecutorStatus(executor.name, executor.tags, State.FAILED))
    return System(tuple(checks), tuple(statuses))
