"""The engine that the settings ask for."""

from executor.config import Settings
from executor.engines import Engine
from executor.engines.docker import DockerEngine
from executor.engines.local import LocalEngine


def engine(settings: Settings) -> Engine:
    """Return the engine that runs this executor's tools."""
    return DockerEngine(settings, settings.docker) if settings.docker else LocalEngine(settings)
