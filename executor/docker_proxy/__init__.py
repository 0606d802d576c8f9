"""Lets through to Docker only what the executor does.

Nothing that the executor sends reaches Docker: each call is parsed, held against an allow-list, and made anew
from the values. A call that is spelled so that this proxy and Docker would read it differently cannot exist.
"""

from executor.docker_proxy.application import create_app

__all__ = ["create_app"]
