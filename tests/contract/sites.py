"""Executors that can be down, with stand-ins for the tools and two servers in config.toml."""

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from executor import application
from tests.contract.conftest import Tools
from tests.support.serving import serving

CONFIG = '[servers.inner]\nhost = "192.0.2.1"\n[servers.outer]\nhost = "192.0.2.2"\n'


@dataclass
class Site:
    """An executor that can be down."""

    app: Flask
    tools: Tools
    jobs: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def running(self) -> contextlib.AbstractContextManager[str]:
        """Let it answer within the context."""
        return serving(self.app, port=self.port)

    def job_ids(self) -> set[str]:
        """Return the ids of its jobs."""
        return {path.parent.name for path in self.jobs.glob("*/job.json")}


def make_site(folder: Path, key: str) -> Site:
    """Return a site with its files in a new folder."""
    (folder / "tools").mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    settings = {
        "EXECUTOR_API_KEY": key,
        "EXECUTOR_DATA_DIR": str(folder / "executor"),
        "EXECUTOR_VULS_CONFIG": str(folder / "config.toml"),
        "VULSWEB_TOOLS_DIR": str(folder / "tools"),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tools = Tools(folder / "tools")
    return Site(application.create_app(settings), tools, folder / "executor" / "jobs", port)
