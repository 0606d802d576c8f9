"""Serves the proxy: `python -m executor.docker_proxy 0.0.0.0:2375`."""

import logging
import sys

from aiohttp import web

from executor import config
from executor.docker_proxy import create_app


def main() -> None:
    """Serve until the process gets a signal."""
    host, _, port = sys.argv[1].rpartition(":")
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
    # A client that has gone must not keep Docker sending the log of a silent scan.
    web.run_app(
        create_app(config.environment()),
        host=host,
        port=int(port),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1,
        print=None,
    )


if __name__ == "__main__":
    main()
