"""The local stack: PostgreSQL and Valkey from wheels, and Vuls Web's four programs."""

from vulsweb.local.single import postgres, redis
from vulsweb.local.stack import run

__all__ = ["postgres", "redis", "run"]
