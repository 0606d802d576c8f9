"""Chooses the engine that the settings name."""

from executor.config import Settings
from executor.engines import Engine
from executor.engines.docker import DockerEngine
from executor.engines.local import LocalEngine


def create_engine(settings: Settings) -> Engine:
    """Create the engine that runs the tools."""
    return DockerEngine(settings, settings.docker) if settings.docker else LocalEngine(settings)
