"""Entry points: `app` for gunicorn, `celery` for worker and beat."""

from vulsweb import create_app
from vulsweb.extensions import celery

app = create_app()

__all__ = ["app", "celery"]
