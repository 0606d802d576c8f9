"""The single-machine stack: PostgreSQL and a Redis from wheels, and our four programs."""

from vulsweb.local.single import postgres, redis
from vulsweb.local.stack import run

__all__ = ["postgres", "redis", "run"]
