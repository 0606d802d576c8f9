"""Entry points: `app` for gunicorn, `celery` for worker and beat."""

from celery.signals import setup_logging

from vulsweb import create_app
from vulsweb.extensions import celery
from vulsweb.system import log_lines

# For Celery, which otherwise sets up its own; and for gunicorn, which only sets up its own.
setup_logging.connect(log_lines.configure)
log_lines.configure()
app = create_app()

__all__ = ["app", "celery"]
