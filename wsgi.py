"""Entry points: `app` for gunicorn, `celery` for worker and beat."""

from typing import Any

from celery.signals import setup_logging

from vulsweb import config, create_app
from vulsweb.extensions import celery
from vulsweb.system import log_lines


@setup_logging.connect
def configure_logging(**_: Any) -> None:
    """Configure the log; Celery otherwise sets up its own."""
    log_lines.configure(config.log_settings(config.environment()))


# For gunicorn, which only sets up its own.
configure_logging()
app = create_app()

__all__ = ["app", "celery"]
