"""Chooses the engine that the settings name."""

from executor.config import Settings
from executor.engines import Engine
from executor.engines.local import LocalEngine


def create_engine(settings: Settings) -> Engine:
    """Create the engine that runs the tools."""
    if not settings.docker:
        return LocalEngine(settings)
    # Only here: each runner loads it, and Docker's library takes as long as all else.
    from executor.engines.docker import DockerEngine

    return DockerEngine(settings, settings.docker)
