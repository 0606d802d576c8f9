"""The local stack: PostgreSQL, Valkey and the programs of Vuls Web."""

from vulsweb.local.single import postgres, redis
from vulsweb.local.stack import run

__all__ = ["postgres", "redis", "run"]
